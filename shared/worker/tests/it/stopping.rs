//! Work stops when told to, when its time is up, and when it breaks; and the log says how.

use std::time::Duration;

use slipway_domain::{
    duration::Span,
    event::{FailureKind, TaskEvent},
};
use slipway_worker::End;

use crate::{
    nats::{Nats, soon},
    planner::{decree, doorbell, next, ring, story, worker},
};

#[tokio::test]
async fn a_nudged_cancel_stops_the_work_and_is_confirmed_on_the_new_head() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let _worker = worker(&nats, "executor-1", 1, |held, _| async move {
        held.cancelled().cancelled().await;
        held.effect("stop what was started").await.unwrap();
        End::Cancelled
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    next(&bus, &task, 0).await;
    decree(&bus, &task, TaskEvent::CancelIssued).await?;
    bus.nudge_cancel(task.deployment, &task.task).await?;
    let events = story(&bus, &task).await;
    assert!(matches!(events[..2], [TaskEvent::Claimed { .. }, TaskEvent::CancelIssued]), "{events:?}");
    assert_eq!(events.last(), Some(&TaskEvent::Cancelled));
    Ok(())
}

#[tokio::test]
async fn a_cancel_without_a_nudge_is_found_and_work_that_was_done_stays_done() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let _worker = worker(&nats, "executor-1", 1, |held, _| async move {
        held.cancelled().cancelled().await;
        End::Succeeded([].into())
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    next(&bus, &task, 0).await;
    decree(&bus, &task, TaskEvent::CancelIssued).await?;
    let events = story(&bus, &task).await;
    assert!(matches!(events.last(), Some(TaskEvent::Succeeded { .. })), "{events:?}");
    Ok(())
}

#[tokio::test]
async fn work_beyond_its_time_out_is_stopped_and_failed() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let _worker = worker(&nats, "executor-1", 1, |held, _| async move {
        held.print(slipway_worker::Stream::Out, "waiting for godot\n");
        held.cancelled().cancelled().await;
        End::Failed(slipway_domain::event::Failure {
            tail: held.tail(),
            ..slipway_domain::event::Failure::step("stopped")
        })
    })
    .await?;
    let mut task = doorbell();
    task.order.timeout = Span(Duration::from_millis(100));
    ring(&bus, &task).await;
    let events = story(&bus, &task).await;
    let Some(TaskEvent::Failed { cause }) = events.last() else { panic!("{events:?}") };
    assert_eq!(cause.kind, FailureKind::TimedOut);
    assert_eq!(cause.tail, ["waiting for godot"]);
    Ok(())
}

#[tokio::test]
async fn a_panic_is_a_failure_and_the_worker_goes_on() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let _worker = worker(&nats, "executor-1", 1, |_, doorbell| async move {
        assert!(doorbell.attempt > 1, "as the test wants");
        End::Succeeded([].into())
    })
    .await?;
    let mut task = doorbell();
    ring(&bus, &task).await;
    let events = story(&bus, &task).await;
    assert!(matches!(events.last(), Some(TaskEvent::Failed { .. })), "{events:?}");
    task = doorbell();
    task.attempt = 2;
    ring(&bus, &task).await;
    assert!(matches!(story(&bus, &task).await.last(), Some(TaskEvent::Succeeded { .. })));
    Ok(())
}

#[tokio::test]
async fn outputs_above_the_limit_fail_the_attempt() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let _worker = worker(&nats, "executor-1", 1, |_, _| async {
        End::Succeeded([("big".to_owned(), "x".repeat(9 * 1024 * 1024).into())].into())
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    let events = story(&bus, &task).await;
    let Some(TaskEvent::Failed { cause }) = events.last() else { panic!("{events:?}") };
    assert!(cause.message.contains("8388608"), "{}", cause.message);
    Ok(())
}

#[tokio::test]
async fn what_was_printed_last_is_stored_although_the_task_ends_at_once() -> anyhow::Result<()> {
    const LINES: usize = 8 * 1024;
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let reader = bus.clone();
    let _worker = worker(&nats, "executor-1", 1, move |held, doorbell| {
        let reader = reader.clone();
        async move {
            let text: String = (0..LINES).map(|n| format!("line {n} {}\n", "x".repeat(80))).collect();
            held.print(slipway_worker::Stream::Out, &text);
            // Ends while its lines are on their way.
            while reader.read_logs(doorbell.deployment, 0, 1).await.unwrap().is_empty() {}
            End::Succeeded([].into())
        }
    })
    .await?;
    let task = doorbell();
    ring(&bus, &task).await;
    story(&bus, &task).await;
    let stored = soon("the last line", async {
        loop {
            let lines = bus.read_logs(task.deployment, 0, 2 * LINES).await.unwrap();
            if lines.last().is_some_and(|line| line.text.starts_with(&format!("line {} ", LINES - 1))) {
                return lines;
            }
        }
    });
    assert_eq!(stored.await.len(), LINES);
    Ok(())
}
