//! Claims: each task is done once, however many want it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use slipway_bus::Bus;
use slipway_domain::{event::TaskEvent, order::Answer, presence::Role};
use slipway_worker::{End, WorkerConfig, WorkerError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    nats::{Nats, soon},
    planner::{Do, doorbell, next, ring, story, target, until, worker},
};

#[tokio::test]
async fn a_task_is_claimed_done_and_its_outputs_are_in_the_log() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let _worker = worker(&nats, "executor-1", 1, |held, doorbell| async move {
        assert_eq!((held.deployment(), held.attempt(), held.adopt()), (doorbell.deployment, 1, false));
        held.effect("make it").await.unwrap();
        End::Succeeded([("port".to_owned(), 8081.into())].into())
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    let events = story(&bus, &task).await;
    let [TaskEvent::Claimed { holder, attempt, key, .. }, TaskEvent::Succeeded { outputs }] = &events[..] else {
        // No checkpoint: the claim itself is fresh enough for an effect.
        panic!("{events:?}")
    };
    assert_eq!((holder.as_str(), *attempt), ("executor-1", 1));
    // Nothing will be sealed to this claim.
    assert_eq!(key, "");
    assert_eq!(outputs["port"], 8081);
    Ok(())
}

#[tokio::test]
async fn two_workers_share_a_target_and_do_each_task_once() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let done = Arc::new(AtomicUsize::new(0));
    let work = |done: Arc<AtomicUsize>| {
        move |_, _| {
            let done = done.clone();
            async move {
                done.fetch_add(1, Ordering::Relaxed);
                End::Succeeded([].into())
            }
        }
    };
    let _one = worker(&nats, "executor-1", 4, work(done.clone())).await?;
    let _two = worker(&nats, "executor-2", 4, work(done.clone())).await?;
    let tasks: Vec<_> = (0..40).map(|_| doorbell()).collect();
    // Every doorbell rings several times at once, as with planners that do not know of each other.
    let rings = tasks.iter().flat_map(|task| [bus.ring(task), bus.ring(task), bus.ring(task)]);
    futures::future::try_join_all(rings).await?;
    for task in &tasks {
        let events = story(&bus, task).await;
        assert!(matches!(&events[..], [TaskEvent::Claimed { .. }, TaskEvent::Succeeded { .. }]), "{events:?}");
    }
    assert_eq!(done.load(Ordering::Relaxed), 40);
    Ok(())
}

#[tokio::test]
async fn what_rang_while_all_slots_were_taken_is_taken_when_one_is_free() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let _worker = worker(&nats, "executor-1", 1, move |_, _| {
        let wait = wait.clone();
        async move {
            wait.notified().await;
            End::Succeeded([].into())
        }
    })
    .await?;
    let tasks = [doorbell(), doorbell(), doorbell()];
    assert_eq!(bus.ring(&tasks[0]).await?, Some(Answer::Claiming));
    // One of them twice, as when the planner has lost patience.
    for task in [&tasks[1], &tasks[2], &tasks[1]] {
        assert_eq!(bus.ring(task).await?, Some(Answer::Busy));
    }
    for task in &tasks {
        go.notify_one();
        let events = story(&bus, task).await;
        assert!(matches!(&events[..], [TaskEvent::Claimed { .. }, TaskEvent::Succeeded { .. }]), "{events:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_free_slot_and_for_a_task_already_held_the_answer_is_busy() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let _worker = worker(&nats, "executor-1", 2, move |_, _| {
        let wait = wait.clone();
        async move {
            wait.notified().await;
            End::Succeeded([].into())
        }
    })
    .await?;
    let (first, second, third) = (doorbell(), doorbell(), doorbell());
    ring(&bus, &first).await;
    assert_eq!(bus.ring(&first).await?, Some(Answer::Busy));
    ring(&bus, &second).await;
    assert_eq!(bus.ring(&third).await?, Some(Answer::Busy));
    go.notify_one();
    // It was heard: nobody has to ring again.
    next(&bus, &third, 0).await;
    Ok(())
}

#[tokio::test]
async fn a_claim_with_an_outdated_head_is_lost_and_nothing_is_done() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let done = Arc::new(AtomicUsize::new(0));
    let count = done.clone();
    let _worker = worker(&nats, "executor-1", 1, move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        async { End::Succeeded([].into()) }
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    story(&bus, &task).await;
    ring(&bus, &task).await;
    // The slot is free again once the lost claim is over.
    let other = doorbell();
    ring(&bus, &other).await;
    story(&bus, &other).await;
    let (claim, _) = next(&bus, &task, 0).await;
    let (end, _) = next(&bus, &task, claim.seq).await;
    assert_eq!(bus.after(&crate::planner::address(&task), end.seq).await?, None);
    assert_eq!(done.load(Ordering::Relaxed), 2);
    Ok(())
}

#[tokio::test]
async fn a_second_process_of_the_same_state_directory_is_refused() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let first = worker(&nats, "executor-1", 1, |_, _| async { End::Cancelled }).await?;
    let config = WorkerConfig {
        role: Role::Executor,
        name: "executor-1".parse()?,
        targets: vec![target()],
        slots: 1,
        state_dir: first.state_dir.path().to_owned(),
    };
    let readiness = slipway_service::readiness::Readiness::new(&["worker"]);
    let perform =
        Do(|_, _| -> std::pin::Pin<Box<dyn Future<Output = End> + Send>> { Box::pin(async { End::Cancelled }) });
    let second =
        soon("the refusal", slipway_worker::serve(bus, config, perform, readiness, CancellationToken::new())).await;
    assert!(matches!(second, Err(WorkerError::Locked { .. })), "{second:?}");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_may_not_hear_its_target_says_so_instead_of_waiting_for_ever() -> anyhow::Result<()> {
    let some = |user: &str, hears: &str| {
        format!(
            r#"{{user: {user}, password: {user}, permissions: {{publish: [">"], subscribe: ["_INBOX_executor_{user}.>", {hears}]}}}}"#
        )
    };
    let users = format!(
        r#"authorization {{ users: [{{user: all, password: all}}, {}, {}, {}] }}"#,
        some("deaf", r#""cancel.web-01""#),
        some("hard-of-hearing", r#""task.web-01""#),
        some("hearing", r#""task.web-01", "cancel.web-01""#)
    );
    let nats = Nats::start_with(&users, "")?;
    let config = |role: Role, user: &str| {
        let mut config = nats.config(role, user);
        config.url = format!("nats://{user}:{user}@127.0.0.1:{}", nats.port);
        config
    };
    Bus::connect(&config(Role::Planner, "all")).await?.ensure_streams(1).await?;
    for (user, denied) in [("deaf", Some("task.web-01")), ("hard-of-hearing", Some("cancel.web-01")), ("hearing", None)]
    {
        let state_dir = tempfile::tempdir()?;
        let worker = WorkerConfig {
            role: Role::Executor,
            name: user.parse()?,
            targets: vec![target()],
            slots: 1,
            state_dir: state_dir.path().to_owned(),
        };
        let bus = Bus::connect(&config(Role::Executor, user)).await?;
        let readiness = slipway_service::readiness::Readiness::new(&["nats", "worker"]);
        let perform =
            Do(|_, _| -> std::pin::Pin<Box<dyn Future<Output = End> + Send>> { Box::pin(async { End::Cancelled }) });
        let shutdown = CancellationToken::new();
        let serving = slipway_worker::serve(bus, worker, perform, readiness.clone(), shutdown.clone());
        let ready = async {
            until(|| readiness.reasons().is_empty()).await;
            shutdown.cancel();
            std::future::pending::<()>().await;
        };
        let ended = soon("an end", async {
            tokio::select! { ended = serving => ended, () = ready => unreachable!() }
        })
        .await;
        match denied {
            None => assert!(ended.is_ok(), "{ended:?}"),
            Some(subject) => {
                let error = ended.unwrap_err().to_string();
                assert!(
                    error.contains(&format!("subscribe to `{subject}`")) && error.contains("target `web-01`"),
                    "{error}"
                );
                assert!(!readiness.reasons().is_empty());
            }
        }
    }
    Ok(())
}
