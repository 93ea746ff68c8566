//! Presence comes back by itself after the server forgot it.

use slipway_bus::{PresenceEvent, PresenceWatch};
use slipway_domain::{
    name::HolderName,
    presence::{Presence, Role},
};
use uuid::Uuid;

use crate::{
    nats::{Nats, soon},
    target,
};

fn executor(id: &str) -> Presence {
    Presence {
        role: Role::Executor,
        id: HolderName::new(id).unwrap(),
        boot: Uuid::new_v4(),
        version: "0.1.0".into(),
        targets: vec![target("web-01")],
        draining: false,
        archived: None,
    }
}

async fn next(watch: &mut PresenceWatch) -> PresenceEvent {
    soon("a presence event", watch.next()).await
}

#[tokio::test]
async fn a_watch_tells_who_is_there_then_that_it_told_all_then_what_changes() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let mut empty = bus.watch_presence();
    assert_eq!(next(&mut empty).await, PresenceEvent::Drained);
    let (one, two) = (executor("executor-1"), executor("executor-2"));
    bus.announce(&one).await?;
    bus.announce(&two).await?;
    bus.announce(&one).await?;
    let mut watch = bus.watch_presence();
    let told = [next(&mut watch).await, next(&mut watch).await];
    assert!(told.contains(&PresenceEvent::Up(one.clone())) && told.contains(&PresenceEvent::Up(two.clone())));
    assert_eq!(next(&mut watch).await, PresenceEvent::Drained);
    bus.announce(&two).await?;
    assert_eq!(next(&mut watch).await, PresenceEvent::Up(two.clone()));
    bus.withdraw(two.role, &two.id).await?;
    assert_eq!(next(&mut watch).await, PresenceEvent::Gone { role: two.role, id: two.id });
    Ok(())
}

#[tokio::test]
async fn after_a_restart_the_bucket_is_made_again_and_the_watch_goes_on() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    let bus = nats.bus().await?;
    let one = executor("executor-1");
    bus.announce(&one).await?;
    let mut watch = bus.watch_presence();
    assert_eq!(next(&mut watch).await, PresenceEvent::Up(one.clone()));
    assert_eq!(next(&mut watch).await, PresenceEvent::Drained);
    nats.kill9();
    nats.restart()?;
    assert_eq!(next(&mut watch).await, PresenceEvent::Lost);
    soon("the bucket", async { while bus.announce(&one).await.is_err() {} }).await;
    let mut events = Vec::new();
    while !(events.contains(&PresenceEvent::Up(one.clone())) && events.contains(&PresenceEvent::Drained)) {
        events.push(next(&mut watch).await);
    }
    Ok(())
}
