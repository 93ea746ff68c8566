//! An engine that does not answer for a while: what was begun there is gone on with when it is back.

use anyhow::Result;
use slipway_domain::{event::TaskEvent, image::ImageRef, order::Work};
use slipway_integration_tests::{link::Link, machine, ports, wait};

use crate::{
    job::job,
    run::container,
    stage::{Ask, Stage, get},
};

/// What people are told while the engine is away.
const AWAY: &str = "waiting until it answers";

/// A job that says when it is told to end, and with which code.
fn patient(image: &ImageRef, code: u8) -> Work {
    let script = format!(
        "trap 'exit 9' TERM; echo begun; while [ ! -e /go ]; do /bin/busybox sleep 0.1; done; echo done; exit {code}"
    );
    job(image, &script)
}

/// Tells such a job to end.
async fn go(id: &str) -> Result<()> {
    machine::run("docker", &["exec", id, "/bin/busybox", "touch", "/go"]).await.map(drop)
}

/// A stage, and a link to its engine that can be cut.
async fn apart() -> Result<(Stage, Link)> {
    let stage = Stage::start().await?;
    let link = Link::start_unix(&stage.docker, &stage.folder.path().join("docker.sock")).await?;
    Ok((stage, link))
}

fn through(link: &Link, ask: Ask) -> Ask {
    let mut ask = ask;
    ask.order.docker = Some(link.docker());
    ask
}

async fn lines(stage: &Stage, ask: &Ask, text: &str) -> usize {
    stage.logs(ask).await.iter().filter(|line| line.text == text).count()
}

#[tokio::test]
async fn a_job_goes_on_and_runs_once() -> Result<()> {
    let (stage, link) = apart().await?;
    let image = stage.script("tool", "exit 9").await?;
    let ask = through(&link, stage.ask("job", patient(&image, 0)));
    let head = stage.ring(&ask).await?;
    stage.until_printed(&ask, "begun").await;
    let id = stage.containers().await?.remove(0).2;
    link.cut();
    stage.until_printed(&ask, AWAY).await;
    link.mend();
    stage.until_printed(&ask, "answers again after").await;
    go(&id).await?;
    let TaskEvent::Succeeded { outputs } = stage.end(&ask, head).await? else { panic!("it did not succeed") };
    assert_eq!((&outputs["container_id"], &outputs["exit_code"]), (&id.as_str().into(), &0.into()));
    assert_eq!(stage.containers().await?.len(), 1);
    assert_eq!(lines(&stage, &ask, "done").await, 1, "{:#?}", stage.logs(&ask).await);
    Ok(())
}

#[tokio::test]
async fn the_exit_code_of_a_job_that_ends_meanwhile_is_known() -> Result<()> {
    let (stage, link) = apart().await?;
    let image = stage.script("tool", "exit 9").await?;
    for code in [0, 5] {
        let ask = through(&link, stage.ask(&format!("job{code}"), patient(&image, code)));
        let head = stage.ring(&ask).await?;
        stage.until_printed(&ask, "begun").await;
        let all = stage.containers().await?;
        let id = &all.iter().find(|(_, state, _)| state == "running").expect("it runs").2;
        link.cut();
        stage.until_printed(&ask, AWAY).await;
        go(id).await?;
        wait::until("it ended", || async {
            let state = machine::run("docker", &["inspect", "--format", "{{.State.Status}}", id]).await;
            state.map_err(|error| error.to_string()).and_then(|s| if s.trim() == "exited" { Ok(()) } else { Err(s) })
        })
        .await;
        link.mend();
        match stage.end(&ask, head).await? {
            TaskEvent::Succeeded { outputs } => assert_eq!((code, &outputs["container_id"]), (0, &id.as_str().into())),
            TaskEvent::Failed { cause } => {
                assert_eq!(code, 5);
                assert!(cause.message.contains("exit code 5; the Docker engine was away"), "{}", cause.message);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(lines(&stage, &ask, "done").await, 1, "{:#?}", stage.logs(&ask).await);
    }
    Ok(())
}

#[tokio::test]
async fn what_was_cancelled_meanwhile_is_stopped_when_the_engine_is_back() -> Result<()> {
    let (stage, link) = apart().await?;
    let image = stage.script("tool", "exit 9").await?;
    let ask = through(&link, stage.ask("job", patient(&image, 0)));
    let head = stage.ring(&ask).await?;
    stage.until_printed(&ask, "begun").await;
    link.cut();
    stage.until_printed(&ask, AWAY).await;
    stage.cancel(&ask).await?;
    link.mend();
    assert_eq!(stage.end(&ask, head).await?, TaskEvent::Cancelled);
    let state = machine::run("docker", &["inspect", "--format", "{{.State.Running}}", &ask.name("job")]).await?;
    assert_eq!(state.trim(), "false");
    Ok(())
}

#[tokio::test]
async fn a_replacement_goes_on_where_it_was() -> Result<()> {
    let (stage, link) = apart().await?;
    let port = ports::reserve()?;
    let host = Some(port.number());
    let first = stage.ask("web", Work::DockerRun(container(stage.page("web", "one", true).await?, host)));
    stage.succeed(&first).await?;
    for (page, heard) in [("two", "to free its port"), ("three", "started shop-web"), ("four", "good after")] {
        let ask = stage.ask("web", Work::DockerRun(container(stage.page("web", page, true).await?, host)));
        let ask = through(&link, ask);
        let head = stage.ring(&ask).await?;
        stage.until_printed(&ask, heard).await;
        link.cut();
        // It may have been done by then.
        wait::until("the engine is missed, or it is done", || async {
            let logs = stage.logs(&ask).await;
            let over = logs.iter().any(|line| line.text.contains(AWAY) || line.text.contains("removed the old"));
            if over { Ok(()) } else { Err(logs) }
        })
        .await;
        link.mend();
        let end = stage.end(&ask, head).await?;
        assert!(matches!(end, TaskEvent::Succeeded { .. }), "{end:#?}");
        assert_eq!(get(u64::from(port.number())).await?, page);
        assert_eq!(stage.containers().await?.len(), 1, "after {page}");
    }
    let ask = stage.ask("web", Work::DockerRun(container(stage.page("web", "bad", false).await?, host)));
    let ask = through(&link, ask);
    let head = stage.ring(&ask).await?;
    stage.until_printed(&ask, "to free its port").await;
    link.cut();
    stage.until_printed(&ask, AWAY).await;
    link.mend();
    let TaskEvent::Failed { cause } = stage.end(&ask, head).await? else { panic!("it did not fail") };
    assert!(cause.message.contains("serves again"), "{}", cause.message);
    assert_eq!(get(u64::from(port.number())).await?, "four");
    Ok(())
}
