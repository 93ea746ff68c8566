//! Holding is proven in the log; who lost the claim writes nothing more.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use slipway_bus::Bus;
use slipway_domain::{event::TaskEvent, presence::Role};
use slipway_worker::{End, Fenced};
use tokio::sync::Notify;

use crate::{
    nats::{Nats, soon},
    planner::{address, decree, doorbell, next, ring, story, until, worker},
};

#[tokio::test]
async fn a_holder_whose_lease_expired_is_fenced_and_writes_nothing_more() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let go = Arc::new(Notify::new());
    let refused = Arc::new(AtomicBool::new(false));
    let (wait, noted) = (go.clone(), refused.clone());
    let _worker = worker(&nats, "executor-1", 1, move |held, _| {
        let (wait, noted) = (wait.clone(), noted.clone());
        async move {
            wait.notified().await;
            // Its own checkpoint, so that the log is asked.
            noted.store(held.once("create the container").await == Err(Fenced), Ordering::Relaxed);
            // Never reached by the fenced: its future is dropped at the next wait.
            std::future::pending().await
        }
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    next(&bus, &task, 0).await;
    let expired = decree(&bus, &task, TaskEvent::LeaseExpired { reason: "silent".into() }).await?;
    go.notify_one();
    soon("the fence", until(|| refused.load(Ordering::Relaxed))).await;
    // The slot is free: another claim of the same task is possible, and is the next thing on its subject.
    let mut again = task.clone();
    (again.expected_seq, again.attempt, again.adopt) = (expired, 2, true);
    ring(&bus, &again).await;
    let (_, event) = next(&bus, &task, expired).await;
    assert!(matches!(event, TaskEvent::Claimed { attempt: 2, .. }), "{event:?}");
    Ok(())
}

#[tokio::test]
async fn work_is_dropped_when_the_lease_expires_unseen() -> anyhow::Result<()> {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let dropped = Arc::new(AtomicBool::new(false));
    let noted = dropped.clone();
    let _worker = worker(&nats, "executor-1", 1, move |_, _| {
        let guard = Dropped(noted.clone());
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    next(&bus, &task, 0).await;
    let expired = decree(&bus, &task, TaskEvent::LeaseExpired { reason: "silent".into() }).await?;
    soon("the work to be dropped", until(|| dropped.load(Ordering::Relaxed))).await;
    assert_eq!(bus.head_of(&address(&task)).await?, expired);
    Ok(())
}

#[tokio::test]
async fn an_effect_long_after_the_last_append_has_a_checkpoint_before_it() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let _worker = worker(&nats, "executor-1", 1, |held, _| async move {
        let started = std::time::Instant::now();
        let mut effects = 0;
        while started.elapsed() < std::time::Duration::from_millis(2500) {
            held.effect("look again").await.unwrap();
            effects += 1;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(effects > 10);
        End::Succeeded([].into())
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    let events = story(&bus, &task).await;
    let [TaskEvent::Claimed { .. }, TaskEvent::Checkpoint { intent }, TaskEvent::Succeeded { .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(intent, "look again");
    Ok(())
}

#[tokio::test]
async fn a_held_task_ends_as_if_nothing_had_happened_when_the_server_is_killed_meanwhile() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    let bus = nats.bus().await?;
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let _worker = worker(&nats, "executor-1", 1, move |held, _| {
        let wait = wait.clone();
        async move {
            wait.notified().await;
            held.once("after the kill").await.unwrap();
            End::Succeeded([].into())
        }
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    next(&bus, &task, 0).await;
    nats.kill9();
    go.notify_one();
    nats.restart()?;
    let events = story(&bus, &task).await;
    assert!(
        matches!(events[..], [TaskEvent::Claimed { .. }, TaskEvent::Checkpoint { .. }, TaskEvent::Succeeded { .. }]),
        "{events:?}"
    );
    // And the worker is there for more.
    let more = doorbell();
    ring(&bus, &more).await;
    Ok(())
}

#[tokio::test]
async fn a_claim_that_the_log_has_lost_is_let_go() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    let bus = nats.bus().await?;
    let fenced = Arc::new(AtomicBool::new(false));
    let noted = fenced.clone();
    let _worker = worker(&nats, "executor-1", 1, move |held, _| {
        let (token, noted) = (held.fenced().clone(), noted.clone());
        tokio::spawn(async move {
            token.cancelled().await;
            noted.store(true, Ordering::Relaxed);
        });
        std::future::pending()
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    next(&bus, &task, 0).await;
    nats.kill9();
    nats.wipe()?;
    nats.restart()?;
    let fresh = Bus::connect(&nats.config(Role::Planner, "planner-2")).await?;
    fresh.ensure_streams(1).await?;
    soon("the worker to notice", until(|| fenced.load(Ordering::Relaxed))).await;
    assert_eq!(fresh.head_of(&address(&task)).await?, 0);
    Ok(())
}

#[tokio::test]
async fn an_append_of_a_claim_that_the_log_has_lost_ends() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    let bus = nats.bus().await?;
    let (go, begun) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let fenced = Arc::new(AtomicBool::new(false));
    let holds = Arc::new(AtomicBool::new(false));
    let (wait, began, noted, working) = (go.clone(), begun.clone(), fenced.clone(), holds.clone());
    let _worker = worker(&nats, "executor-1", 1, move |held, _| {
        let (wait, began, noted) = (wait.clone(), began.clone(), noted.clone());
        working.store(true, Ordering::Relaxed);
        tokio::spawn(async move {
            wait.notified().await;
            began.store(true, Ordering::Relaxed);
            // Under way while the server comes back without the claim.
            let refused = held.once("create the container").await == Err(Fenced);
            noted.store(refused, Ordering::Relaxed);
        });
        std::future::pending()
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    next(&bus, &task, 0).await;
    // It knows of its claim, too.
    soon("the work to begin", until(|| holds.load(Ordering::Relaxed))).await;
    nats.kill9();
    go.notify_one();
    soon("the append to begin", until(|| begun.load(Ordering::Relaxed))).await;
    nats.wipe()?;
    nats.restart()?;
    let fresh = Bus::connect(&nats.config(Role::Planner, "planner-2")).await?;
    fresh.ensure_streams(1).await?;
    soon("the append to be refused", until(|| fenced.load(Ordering::Relaxed))).await;
    assert_eq!(fresh.head_of(&address(&task)).await?, 0);
    Ok(())
}
