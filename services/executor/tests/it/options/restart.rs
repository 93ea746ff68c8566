//! When an engine starts a container again, how long one may take to end, and one that is only created.

use anyhow::Result;
use slipway_domain::order::Work;
use slipway_integration_tests::machine;

use super::{Own, inspect, work};
use crate::stage::Stage;

#[tokio::test]
async fn the_restart_policy_is_the_steps_and_unless_stopped_without_a_word() -> Result<()> {
    let stage = Stage::start().await?;
    for (options, name, times) in [
        ("restart: no", "", 0),
        ("restart: always", "always", 0),
        ("restart: on-failure", "on-failure", 0),
        ("restart: on-failure:3", "on-failure", 3),
        ("restart: unless-stopped", "unless-stopped", 0),
        ("init: true", "unless-stopped", 0),
    ] {
        let (_, seen) = stage.run_with(options).await?;
        let policy = &seen["HostConfig"]["RestartPolicy"];
        assert_eq!((&policy["Name"], &policy["MaximumRetryCount"]), (&name.into(), &times.into()), "{options}");
    }
    Ok(())
}

#[tokio::test]
async fn an_old_container_that_is_kept_does_not_come_back_by_itself_and_has_its_policy_when_taken_back() -> Result<()> {
    let stage = Stage::start().await?;
    let (old, _) = stage.run_with("restart: always").await?;
    let mut ask = stage.with("restart: always").await?;
    if let Work::DockerRun(run) = &mut ask.order.work {
        run.keep_predecessor = true;
    }
    stage.succeed(&ask).await?;
    let kept = inspect(&old.name("shop-web")).await?;
    assert_eq!(kept["State"]["Running"], false);
    assert_eq!(kept["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped", "else an engine that restarts starts it");
    stage.succeed(&ask.taken_back()).await?;
    let back = inspect(&old.name("shop-web")).await?;
    assert_eq!(back["State"]["Running"], true);
    assert_eq!(back["HostConfig"]["RestartPolicy"]["Name"], "always");
    Ok(())
}

#[tokio::test]
async fn a_container_has_the_time_to_end_that_its_step_gives_it() -> Result<()> {
    let volume = Own::name();
    let stage = Stage::start().await?;
    let script = "trap '/bin/busybox sleep 5; echo finished > /data/end; exit 0' TERM; while :; do /bin/busybox sleep 60 & wait $!; done";
    let image = stage.script("slow", script).await?;
    // One that is not wanted has 3 s otherwise.
    let options = format!(
        "stop-grace: 30s\nvolumes: [{}:/data]\nhealth: {{exec: [/bin/busybox, 'false'], within: 1s}}",
        volume.0
    );
    let failure = stage.fail(&stage.ask("web", Work::DockerRun(work(image, &options)))).await?;
    assert!(failure.message.contains("exit code 1"), "{}", failure.message);
    let image = stage.script("look", "exit 0").await?;
    let look = super::job(image, "/bin/busybox cat /data/end", &format!("volumes: [{}:/data]", volume.0));
    let look = stage.ask("look", look);
    stage.succeed(&look).await?;
    stage.until_printed(&look, "finished").await;
    Ok(())
}

#[tokio::test]
async fn a_container_that_is_only_created_is_not_started_has_outputs_and_is_replaced() -> Result<()> {
    let stage = Stage::start().await?;
    let (running, _) = stage.run_with("init: true").await?;
    let ask = stage.with("create-only: true\nrestart: always\nlabels: {shop.a: b}").await?;
    let outputs = stage.succeed(&ask).await?;
    let seen = inspect(&ask.name("shop-web")).await?;
    assert_eq!(seen["State"]["Status"], "created");
    assert_eq!(seen["HostConfig"]["RestartPolicy"]["Name"], "always");
    assert_eq!(outputs["container_id"], seen["Id"]);
    assert_eq!(outputs["name"], ask.name("shop-web"));
    assert_eq!(outputs["inspect"]["State"]["Status"], "created");
    let left = stage.containers().await?;
    assert_eq!(left.len(), 1, "{} is replaced: {left:?}", running.name("shop-web"));

    let again = ask.adopted();
    stage.succeed(&again).await?;
    assert_eq!(stage.containers().await?.len(), 1);
    let next = stage.with("create-only: true").await?;
    stage.succeed(&next).await?;
    assert_eq!(stage.containers().await?.len(), 1);
    machine::run("docker", &["start", &next.name("shop-web")]).await?;

    let bad = stage.with("health: {exec: [/bin/busybox, 'false'], within: 1s}").await?;
    let failure = stage.fail(&bad).await?;
    assert!(failure.message.contains("still serves"), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn one_that_was_only_created_is_not_started_by_a_way_back() -> Result<()> {
    let stage = Stage::start().await?;
    let only = stage.with("create-only: true").await?;
    stage.succeed(&only).await?;
    let bad = stage.with("health: {exec: [/bin/busybox, 'false'], within: 1s}").await?;
    stage.fail(&bad).await?;
    stage.fail(&bad.again()).await?;
    assert_eq!(inspect(&only.name("shop-web")).await?["State"]["Status"], "created");
    Ok(())
}
