//! `docker-job`: the exit code decides, and outlives the executor.

use anyhow::Result;
use slipway_domain::{
    event::TaskEvent,
    image::ImageRef,
    order::{RunJob, Work},
};
use slipway_integration_tests::machine;

use crate::stage::{Ask, Stage};

/// A job whose shell runs this script.
pub fn job(image: &ImageRef, script: &str) -> Work {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Work::DockerJob(RunJob {
        image: image.clone(),
        credentials: None,
        command: Some(command),
        env: [].into(),
        files: [].into(),
        options: Default::default(),
    })
}

#[tokio::test]
async fn the_exit_code_decides_and_the_output_is_shown() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.script("tool", "exit 9").await?;
    let good = stage.ask("good", job(&image, "echo out; echo err >&2"));
    let outputs = stage.succeed(&good).await?;
    assert_eq!(outputs["exit_code"], 0);
    stage.until_printed(&good, "out").await;
    stage.until_printed(&good, "err").await;
    let streams: Vec<_> = stage.logs(&good).await.into_iter().map(|line| (line.stream, line.text)).collect();
    assert!(streams.contains(&("err".into(), "err".into())), "{streams:?}");

    let bad = stage.ask("bad", job(&image, "echo broken; exit 7"));
    let failure = stage.fail(&bad).await?;
    assert!(failure.message.contains("exit code 7"), "{}", failure.message);
    assert!(failure.tail.iter().any(|line| line == "broken"), "{:?}", failure.tail);
    let kept = stage.containers().await?;
    assert_eq!(kept.len(), 2, "both stay to be looked at: {kept:?}");
    Ok(())
}

#[tokio::test]
async fn a_job_that_outlives_the_executor_is_listened_to_again_and_runs_once() -> Result<()> {
    let mut stage = Stage::start().await?;
    let image = stage.script("tool", "exit 9").await?;
    let script = "echo started; i=0; while [ $i -lt 40 ]; do i=$((i+1)); /bin/busybox sleep 0.1; done; echo finished";
    let ask = stage.ask("job", job(&image, script));
    stage.ring(&ask).await?;
    stage.until_printed(&ask, "started").await;
    let id = stage.containers().await?.remove(0).2;
    stage.lose_executor(&ask).await?;
    stage.start_executor().await?;
    let outputs = stage.succeed(&ask.adopted()).await?;
    assert_eq!(outputs["container_id"], id.as_str());
    stage.until_printed(&ask, "finished").await;
    Ok(())
}

#[tokio::test]
async fn an_ended_job_counts_for_an_adopter_and_not_for_a_new_attempt() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.script("tool", "exit 9").await?;
    let ask = stage.ask("job", job(&image, "exit 5"));
    stage.fail(&ask).await?;
    let first = stage.containers().await?.remove(0).2;
    let adopted = ask.adopted();
    assert!(stage.fail(&adopted).await?.message.contains("exit code 5"));
    assert_eq!(stage.containers().await?.remove(0).2, first, "nothing ran");
    stage.fail(&adopted.again()).await?;
    let left = stage.containers().await?;
    assert_eq!(left.len(), 1);
    assert_ne!(left[0].2, first, "it ran again");
    Ok(())
}

#[tokio::test]
async fn a_cancelled_job_is_stopped() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.script("tool", "exit 9").await?;
    let script = "trap 'echo stopping; exit 1' TERM; echo started; while true; do /bin/busybox sleep 0.1; done";
    let ask = stage.ask("job", job(&image, script));
    let head = stage.ring(&ask).await?;
    stage.until_printed(&ask, "started").await;
    stage.cancel(&ask).await?;
    assert_eq!(stage.end(&ask, head).await?, TaskEvent::Cancelled);
    stage.until_printed(&ask, "stopping").await;
    let name = ask.name("job");
    let state = machine::run("docker", &["inspect", "--format", "{{.State.Running}}", &name]).await?;
    assert_eq!(state.trim(), "false");
    Ok(())
}

#[tokio::test]
async fn a_job_that_a_lost_holder_left_is_stopped_when_the_deployment_was_cancelled() -> Result<()> {
    let mut stage = Stage::start().await?;
    let image = stage.script("tool", "exit 9").await?;
    let ask =
        stage.ask("job", job(&image, "trap 'exit 1' TERM; echo started; while true; do /bin/busybox sleep 0.1; done"));
    stage.ring(&ask).await?;
    stage.until_printed(&ask, "started").await;
    stage.lose_executor(&ask).await?;
    stage.start_executor().await?;
    let stop = Ask { stop: true, ..ask.adopted() };
    assert_eq!(stage.perform(&stop).await?, TaskEvent::Cancelled);
    let state = machine::run("docker", &["inspect", "--format", "{{.State.Running}}", &ask.name("job")]).await?;
    assert_eq!(state.trim(), "false");
    Ok(())
}

#[tokio::test]
async fn one_that_a_lost_holder_created_and_did_not_start_is_made_anew() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.script("tool", "exit 0").await?;
    let ask = stage.ask("job", job(&image, "exit 0"));
    machine::run("docker", &["pull", &image.pinned()]).await?;
    let (name, pinned) = (ask.name("job"), image.pinned());
    let labels = [
        format!("slipway.project={}", stage.project),
        "slipway.environment=staging".into(),
        format!("slipway.deployment={}", ask.id),
        "slipway.step=job".into(),
        "slipway.target=web-01".into(),
        "slipway.kind=job".into(),
        "slipway.epoch=0".into(),
    ];
    let mut create = vec!["create", "--name", &name];
    create.extend(labels.iter().flat_map(|label| ["--label", label]));
    create.push(&pinned);
    let id = machine::run("docker", &create).await?;
    let outputs = stage.succeed(&ask.adopted()).await?;
    assert_ne!(outputs["container_id"], id.trim());
    assert_eq!(stage.containers().await?.len(), 1);
    Ok(())
}
