//! `docker-run` where a container stands already: the old one stays until the new one is good.

use anyhow::Result;
use slipway_domain::{
    duration::Span,
    event::{FailureKind, TaskEvent},
    manifest::Switch,
    order::{RunContainer, Work},
};
use slipway_integration_tests::{machine, ports, wait};

use crate::{
    run::container,
    stage::{Stage, get},
};

#[tokio::test]
async fn a_good_container_replaces_the_old_one_and_a_bad_one_does_not() -> Result<()> {
    let stage = Stage::start().await?;
    let first = stage.ask("web", Work::DockerRun(container(stage.page("web", "one", true).await?, None)));
    stage.succeed(&first).await?;

    let bad = stage.ask("web", Work::DockerRun(container(stage.page("web", "bad", false).await?, None)));
    let failure = stage.fail(&bad).await?;
    assert!(failure.message.contains("answered 404"), "{}", failure.message);
    assert!(failure.message.contains("still serves"), "{}", failure.message);
    assert!(failure.tail.iter().any(|line| line == "serving"), "{:?}", failure.tail);
    let left = stage.containers().await?;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((left[0].0.as_str(), left[0].1.as_str()), (first.name("shop-web").as_str(), "running"));

    let second = stage.ask("web", Work::DockerRun(container(stage.page("web", "two", true).await?, None)));
    let outputs = stage.succeed(&second).await?;
    assert_eq!(get(outputs["ports"]["80"].as_u64().unwrap()).await?, "two");
    let left = stage.containers().await?;
    assert_eq!(left.len(), 1, "the old one is gone: {left:?}");
    Ok(())
}

#[tokio::test]
async fn with_a_fixed_host_port_the_old_one_stops_first_and_comes_back() -> Result<()> {
    let stage = Stage::start().await?;
    let port = ports::reserve()?;
    let host = Some(port.number());
    let served = u64::from(port.number());
    let first = stage.ask("web", Work::DockerRun(container(stage.page("web", "one", true).await?, host)));
    stage.succeed(&first).await?;
    assert_eq!(get(served).await?, "one");

    let bad = stage.ask("web", Work::DockerRun(container(stage.page("web", "bad", false).await?, host)));
    let failure = stage.fail(&bad).await?;
    assert!(failure.message.contains("serves again"), "{}", failure.message);
    assert_eq!(get(served).await?, "one");

    let ends = stage.ask("web", Work::DockerRun(container(stage.script("web", "exit 4").await?, host)));
    let failure = stage.fail(&ends).await?;
    assert!(failure.message.contains("exit code 4"), "{}", failure.message);
    assert_eq!(get(served).await?, "one");

    let second = stage.ask("web", Work::DockerRun(container(stage.page("web", "two", true).await?, host)));
    let outputs = stage.succeed(&second).await?;
    assert_eq!(outputs["ports"]["80"], served);
    assert_eq!(get(served).await?, "two");
    assert_eq!(stage.containers().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_port_of_somebody_else_fails_the_step_and_leaves_the_old_one_alone() -> Result<()> {
    let stage = Stage::start().await?;
    let port = ports::reserve()?;
    let _taken = std::net::TcpListener::bind(("0.0.0.0", port.number()))?;
    let first = stage.ask("web", Work::DockerRun(container(stage.page("web", "one", true).await?, None)));
    let served = stage.succeed(&first).await?["ports"]["80"].as_u64().unwrap();
    let image = stage.page("web", "two", true).await?;
    let failure = stage.fail(&stage.ask("web", Work::DockerRun(container(image, Some(port.number()))))).await?;
    assert!(failure.message.contains("has that port"), "{}", failure.message);
    assert_eq!(get(served).await?, "one");
    assert_eq!(stage.containers().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_cancel_during_the_wait_brings_the_old_one_back() -> Result<()> {
    let stage = Stage::start().await?;
    let port = ports::reserve()?;
    let host = Some(port.number());
    let first = stage.ask("web", Work::DockerRun(container(stage.page("web", "one", true).await?, host)));
    stage.succeed(&first).await?;

    let mut slow = container(stage.page("web", "bad", false).await?, host);
    slow.health.as_mut().unwrap().within = Span::secs(60);
    let ask = stage.ask("web", Work::DockerRun(slow));
    let head = stage.ring(&ask).await?;
    stage.until_printed(&ask, "serving").await;
    stage.cancel(&ask).await?;
    assert_eq!(stage.end(&ask, head).await?, TaskEvent::Cancelled);
    assert_eq!(get(u64::from(port.number())).await?, "one");
    assert_eq!(stage.containers().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_step_whose_time_is_up_is_undone() -> Result<()> {
    let stage = Stage::start().await?;
    let port = ports::reserve()?;
    let host = Some(port.number());
    let first = stage.ask("web", Work::DockerRun(container(stage.page("web", "one", true).await?, host)));
    stage.succeed(&first).await?;
    let mut slow = container(stage.page("web", "bad", false).await?, host);
    slow.health.as_mut().unwrap().within = Span::secs(60);
    let mut ask = stage.ask("web", Work::DockerRun(slow));
    ask.order.timeout = Span::secs(3);
    let failure = stage.fail(&ask).await?;
    assert_eq!(failure.kind, FailureKind::TimedOut, "{}", failure.message);
    assert_eq!(get(u64::from(port.number())).await?, "one");
    assert_eq!(stage.containers().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_name_that_somebody_else_took_is_left_alone() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.page("web", "one", true).await?;
    let ask = stage.ask("web", Work::DockerRun(container(image.clone(), None)));
    machine::run("docker", &["pull", &image.pinned()]).await?;
    let label = format!("slipway.project={}", stage.project);
    let name = ask.name("shop-web");
    machine::run("docker", &["create", "--name", &name, "--label", &label, &image.pinned(), "/x"]).await?;
    let failure = stage.fail(&ask).await?;
    assert!(failure.message.contains("which this step did not make"), "{}", failure.message);
    wait::until("the foreign container is there", || async {
        stage
            .containers()
            .await
            .map_err(|e| e.to_string())
            .and_then(|all| if all.len() == 1 { Ok(()) } else { Err(format!("{all:?}")) })
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn what_may_be_taken_back_keeps_the_old_container_and_brings_it_back_when_told() -> Result<()> {
    let mut stage = Stage::start().await?;
    let port = ports::reserve()?;
    let (host, served) = (Some(port.number()), u64::from(port.number()));
    let kept = |mut work: slipway_domain::order::RunContainer| {
        work.keep_predecessor = true;
        Work::DockerRun(work)
    };
    let first = stage.ask("web", kept(container(stage.page("web", "one", true).await?, host)));
    stage.succeed(&first).await?;
    let second = stage.ask("web", kept(container(stage.page("web", "two", true).await?, host)));
    stage.succeed(&second).await?;
    assert_eq!(get(served).await?, "two");
    let states = async || -> Result<Vec<(String, String)>> {
        Ok(stage.containers().await?.into_iter().map(|(name, state, _)| (name, state)).collect())
    };
    let (one, two) = (first.name("shop-web"), second.name("shop-web"));
    let there = states().await?;
    assert!(there.contains(&(one.clone(), "exited".into())) && there.contains(&(two, "running".into())), "{there:?}");

    stage.succeed(&second.taken_back()).await?;
    assert_eq!(get(served).await?, "one");
    assert_eq!(states().await?, [(one.clone(), "running".to_owned())]);
    // A holder that was lost after the last effect is followed by one that finds nothing left to do.
    stage.succeed(&second.taken_back().taken_back()).await?;
    assert_eq!(states().await?, [(one, "running".to_owned())]);

    let third = stage.ask("web", Work::DockerRun(container(stage.page("web", "three", true).await?, host)));
    stage.succeed(&third).await?;
    assert_eq!(states().await?, [(third.name("shop-web"), "running".to_owned())], "nothing is kept for ever");

    let fourth = stage.ask("web", kept(container(stage.page("web", "four", true).await?, host)));
    stage.succeed(&fourth).await?;
    let back = fourth.taken_back();
    stage.ring(&back).await?;
    stage.lose_executor(&back).await?;
    stage.start_executor().await?;
    stage.succeed(&back.taken_back()).await?;
    assert_eq!(get(served).await?, "three");
    Ok(())
}

#[tokio::test]
async fn a_step_may_say_which_container_stops_first() -> Result<()> {
    let stage = Stage::start().await?;
    let port = ports::reserve()?;
    let switched = |image, switch, port: Option<u16>| {
        Work::DockerRun(RunContainer { switch: Some(switch), ..container(image, port) })
    };
    let first =
        stage.ask("web", switched(stage.page("web", "one", true).await?, Switch::StartFirst, Some(port.number())));
    stage.succeed(&first).await?;
    // Both can not have the port, and the old one may not be stopped for it.
    let image = stage.page("web", "two", true).await?;
    let contested = stage.ask("web", switched(image.clone(), Switch::StartFirst, Some(port.number())));
    let failure = stage.fail(&contested).await?;
    assert!(failure.message.contains("needs the port of the old one"), "{}", failure.message);
    assert!(failure.message.contains("still serves"), "{}", failure.message);
    assert_eq!(get(port.number().into()).await?, "one");

    // Stopped first although both could be at once, so that it has to be started again.
    let bad = stage.ask("web", switched(stage.page("web", "bad", false).await?, Switch::StopFirst, None));
    let failure = stage.fail(&bad).await?;
    assert!(failure.message.contains("serves again"), "{}", failure.message);
    let second = stage.ask("web", switched(image, Switch::StopFirst, None));
    let outputs = stage.succeed(&second).await?;
    assert_eq!(get(outputs["ports"]["80"].as_u64().unwrap()).await?, "two");
    assert_eq!(stage.containers().await?.len(), 1);
    Ok(())
}
