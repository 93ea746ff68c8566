//! `docker-run` whose holder was lost at some point: the next one adopts.

use anyhow::Result;
use slipway_domain::{duration::Span, event::TaskEvent, order::Work};
use slipway_integration_tests::{machine, ports};

use crate::{
    run::container,
    stage::{Stage, get},
};

#[tokio::test]
async fn a_container_that_runs_already_is_gone_on_with() -> Result<()> {
    let mut stage = Stage::start().await?;
    let first = stage.ask("web", Work::DockerRun(container(stage.page("web", "one", true).await?, None)));
    stage.succeed(&first).await?;

    let mut work = container(stage.page("web", "two", true).await?, None);
    work.health.as_mut().unwrap().stay = Span::secs(4);
    let ask = stage.ask("web", Work::DockerRun(work));
    stage.ring(&ask).await?;
    stage.until_printed(&ask, "good after").await;
    stage.lose_executor(&ask).await?;
    let before = stage.containers().await?;
    let id = &before.iter().find(|(name, ..)| *name == ask.name("shop-web")).expect("the new one is there").2;
    assert_eq!(before.len(), 2, "old and new: {before:?}");

    stage.start_executor().await?;
    let outputs = stage.succeed(&ask.adopted()).await?;
    assert_eq!(outputs["container_id"], id.as_str());
    let after = stage.containers().await?;
    assert_eq!(after.len(), 1, "{after:?}");
    assert_eq!(get(outputs["ports"]["80"].as_u64().unwrap()).await?, "two");
    Ok(())
}

#[tokio::test]
async fn one_that_was_created_and_not_started_is_made_anew() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.page("web", "one", true).await?;
    let ask = stage.ask("web", Work::DockerRun(container(image.clone(), None)));
    machine::run("docker", &["pull", &image.pinned()]).await?;
    let name = ask.name("shop-web");
    let labels = [
        format!("slipway.project={}", stage.project),
        "slipway.environment=staging".into(),
        format!("slipway.deployment={}", ask.id),
        "slipway.step=web".into(),
        "slipway.target=web-01".into(),
        "slipway.kind=run".into(),
        "slipway.epoch=0".into(),
    ];
    let mut create = vec!["create", "--name", &name];
    create.extend(labels.iter().flat_map(|label| ["--label", label]));
    let pinned = image.pinned();
    create.push(&pinned);
    let id = machine::run("docker", &create).await?;
    let outputs = stage.succeed(&ask.adopted()).await?;
    assert_ne!(outputs["container_id"], id.trim());
    assert_eq!(stage.containers().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_old_one_that_the_lost_holder_stopped_is_brought_back() -> Result<()> {
    let stage = Stage::start().await?;
    let port = ports::reserve()?;
    let host = Some(port.number());
    let first = stage.ask("web", Work::DockerRun(container(stage.page("web", "one", true).await?, host)));
    stage.succeed(&first).await?;
    let stop = async || machine::run("docker", &["stop", &first.name("shop-web")]).await;

    stop().await?;
    let bad = stage.ask("web", Work::DockerRun(container(stage.page("web", "bad", false).await?, host)));
    let failure = stage.fail(&bad.adopted()).await?;
    assert!(failure.message.contains("serves again"), "{}", failure.message);
    assert_eq!(get(u64::from(port.number())).await?, "one");

    stop().await?;
    let mut cancelled = stage.ask("web", Work::DockerRun(container(stage.page("web", "x", true).await?, host)));
    cancelled.stop = true;
    assert_eq!(stage.perform(&cancelled.adopted()).await?, TaskEvent::Cancelled);
    assert_eq!(get(u64::from(port.number())).await?, "one");
    Ok(())
}

#[tokio::test]
async fn a_lost_holder_in_the_middle_of_a_stop_first_replacement_costs_nothing() -> Result<()> {
    let mut stage = Stage::start().await?;
    let port = ports::reserve()?;
    let host = Some(port.number());
    let first = stage.ask("web", Work::DockerRun(container(stage.page("web", "one", true).await?, host)));
    stage.succeed(&first).await?;
    let ask = stage.ask("web", Work::DockerRun(container(stage.page("web", "two", true).await?, host)));
    stage.ring(&ask).await?;
    stage.until_printed(&ask, "to free its port").await;
    stage.lose_executor(&ask).await?;
    stage.start_executor().await?;
    stage.succeed(&ask.adopted()).await?;
    assert_eq!(get(u64::from(port.number())).await?, "two");
    assert_eq!(stage.containers().await?.len(), 1);
    Ok(())
}
