//! Ends that the planner writes to task subjects: time-outs, crash loops, stops.

use chrono::{DateTime, Utc};
use slipway_domain::{
    duration::Span,
    event::{Address, Failure, FailureKind, TaskEvent},
    id::TaskKey,
    manifest::{DEFAULT_TIMEOUT, Step},
};

use super::{Decision, Events, GRACE, News, concerned, delta};
use crate::{
    deployment::{Deployment, Progress, Task, TaskState, task::MAX_LOST},
    gate::GateState,
    ready,
};

/// Ends tasks whose time is over, whose holders keep dying, or that a cancel or a decided gate makes void.
pub(super) fn tasks(
    deployment: &Deployment,
    progress: &Progress,
    news: &News,
    now: DateTime<Utc>,
    decisions: &mut Vec<Decision>,
) {
    for (i, tasks) in concerned(progress, news) {
        let (step, run) = (&progress.plan.steps[i].step, &progress.steps[i]);
        let stop = deployment.cancel.is_some() && !ready::survives_cancel(progress, i);
        for task in tasks {
            let stop = stop && task.restoring.is_none();
            push_task(deployment, step, task, end_of(step, task, stop, now), decisions);
        }
        if let Some(task) = &run.announcement {
            let decided = run.any_gate().is_some_and(|gate| matches!(gate.state, GateState::Decided { .. }));
            let stop = stop || decided || run.is_settled();
            push_task(deployment, step, task, end_of(step, task, stop, now), decisions);
        }
    }
}

fn push_task(
    deployment: &Deployment,
    step: &Step,
    task: &Task,
    event: Option<TaskEvent>,
    decisions: &mut Vec<Decision>,
) {
    let Some(event) = event else { return };
    let key = TaskKey::new(step.name.clone(), task.target.clone());
    decisions.push(Decision {
        address: Address::Task(deployment.id(), key),
        expected: task.head,
        events: Events::Task(vec![event]),
    });
}

fn end_of(step: &Step, task: &Task, stop: bool, now: DateTime<Utc>) -> Option<TaskEvent> {
    let failed = |kind, message: String| Some(TaskEvent::Failed { cause: Failure { kind, message, tail: Vec::new() } });
    match &task.state {
        TaskState::Granted { stop: false, .. } | TaskState::Running { cancelling: false, .. } if stop => {
            Some(TaskEvent::CancelIssued)
        }
        TaskState::Running { .. } if task.told.is_some_and(|told| !told.passed_on) => {
            task.told.map(|told| TaskEvent::Told { fail: told.fail })
        }
        TaskState::Granted { .. } if task.lost >= MAX_LOST => failed(
            FailureKind::CrashLoop,
            format!("its executors were lost {} times while they worked on it", task.lost),
        ),
        TaskState::Granted { .. } | TaskState::Running { .. } if deadline(step, task).is_some_and(|d| now >= d) => {
            let what = if task.holder.is_some() { "it did not end in time" } else { "no executor took it" };
            failed(
                FailureKind::TimedOut,
                format!("{what}: {} and a grace of {}s passed", timeout(step), GRACE.num_seconds()),
            )
        }
        _ => None,
    }
}

/// How long one attempt of a step may take.
pub fn timeout(step: &Step) -> Span {
    step.timeout.unwrap_or(DEFAULT_TIMEOUT)
}

pub(super) fn deadline(step: &Step, task: &Task) -> Option<DateTime<Utc>> {
    let since = match &task.state {
        TaskState::Granted { since, .. } => *since,
        TaskState::Running { claim, .. } => claim.at,
        _ => return None,
    };
    Some(since + delta(timeout(step)) + GRACE)
}
