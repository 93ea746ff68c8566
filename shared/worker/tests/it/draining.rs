//! Shutting down: no new work, the held one ends, then goodbye.

use std::sync::Arc;

use slipway_bus::PresenceEvent;
use slipway_domain::event::TaskEvent;
use slipway_worker::End;
use tokio::sync::Notify;

use crate::{
    nats::{Nats, soon},
    planner::{doorbell, next, ring, story, worker},
};

#[tokio::test]
async fn a_worker_that_drains_takes_nothing_new_ends_what_it_holds_and_says_goodbye() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let mut worker = worker(&nats, "executor-1", 2, move |_, _| {
        let wait = wait.clone();
        async move {
            wait.notified().await;
            End::Succeeded([].into())
        }
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    next(&bus, &task, 0).await;
    let mut presence = bus.watch_presence();
    worker.shutdown.cancel();
    soon("word that it drains", async {
        loop {
            if let PresenceEvent::Up(up) = presence.next().await
                && up.draining
            {
                return;
            }
        }
    })
    .await;
    soon("nobody at the door", async { while bus.ring(&doorbell()).await.unwrap().is_some() {} }).await;
    assert!(!worker.task.is_finished());
    go.notify_one();
    soon("the worker's end", &mut worker.task).await??;
    assert!(matches!(story(&bus, &task).await.last(), Some(TaskEvent::Succeeded { .. })));
    soon("goodbye", async { while !matches!(presence.next().await, PresenceEvent::Gone { .. }) {} }).await;
    Ok(())
}
