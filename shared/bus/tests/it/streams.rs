//! Streams are made once, checked ever after, and fit into small servers.

use async_nats::jetstream::{self, stream};
use slipway_bus::{Bus, BusError};
use slipway_domain::presence::Role;

use crate::{
    nats::{Nats, soon},
    plan, started,
};

#[tokio::test]
async fn several_services_may_make_the_streams_at_the_same_time() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let waiting = tokio::spawn({
        let config = nats.config(Role::Executor, "executor-1");
        async move { Bus::connect(&config).await?.await_streams().await }
    });
    let makers = ["a", "b", "c"].map(|id| {
        let config = nats.config(Role::Planner, id);
        async move { Bus::connect(&config).await?.ensure_streams(1).await }
    });
    for made in futures::future::join_all(makers).await {
        made?;
    }
    soon("the one that waits", waiting).await??;
    Ok(())
}

#[tokio::test]
async fn an_existing_stream_that_may_forget_is_refused_by_name() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let js = jetstream::new(async_nats::connect(nats.url()).await?);
    js.create_stream(stream::Config {
        name: "DEPLOYMENTS".into(),
        subjects: vec!["deployment.>".into()],
        ..Default::default()
    })
    .await?;
    let bus = Bus::connect(&nats.config(Role::Planner, "planner-1")).await?;
    let error = bus.ensure_streams(1).await.unwrap_err();
    assert!(matches!(error, BusError::Settings { .. }), "{error}");
    assert!(error.to_string().contains("stream DEPLOYMENTS has discard Old, but Slipway needs discard New"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_server_with_little_room_gets_smaller_streams() -> anyhow::Result<()> {
    let nats = Nats::start_with("", "max_file: 1GB\n max_mem: 128MB")?;
    let bus = nats.bus().await?;
    assert_eq!(bus.append(&plan(), 0, &started()).await?.seq(), Some(1));
    Ok(())
}

#[tokio::test]
async fn how_full_the_log_is_can_be_asked() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let js = jetstream::new(async_nats::connect(nats.url()).await?);
    let mut config = js.get_stream("DEPLOYMENTS").await?.cached_info().config.clone();
    config.max_bytes = 4096;
    js.update_stream(&config).await?;
    assert_eq!(bus.fill().await?, 0.0);
    let mut fills = vec![0.0];
    let refused = loop {
        match bus.append(&plan(), 0, &started()).await {
            Ok(_) => fills.push(bus.fill().await?),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, BusError::Full { .. }), "{refused}");
    assert!(fills.is_sorted() && fills.last().is_some_and(|fill| (0.8..=1.0).contains(fill)), "{fills:?}");
    config.max_bytes = -1;
    js.update_stream(&config).await?;
    assert_eq!(bus.fill().await?, 0.0);
    Ok(())
}

#[tokio::test]
async fn connecting_waits_for_a_server_that_is_not_there_yet() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    nats.kill9();
    let connecting = tokio::spawn({
        let config = nats.config(Role::Planner, "planner-1");
        async move { Bus::connect(&config).await }
    });
    tokio::task::yield_now().await;
    nats.restart()?;
    soon("the connection", connecting).await??.ensure_streams(1).await?;
    Ok(())
}
