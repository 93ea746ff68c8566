//! What is written to the plan subject of a running deployment: skips, retries, grants, the end.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    duration::Span,
    event::PlanEvent,
    id::{TaskKey, derive},
    manifest::Step,
    name::TargetName,
};

use super::{delta, time_is_up};
use crate::{
    deployment::{Deployment, Progress, Task, TaskState},
    ready::{self, Readiness},
    state::State,
};

/// The longest pause before another attempt.
const MAX_BACKOFF: TimeDelta = TimeDelta::minutes(5);

/// Skips, retries and grants; and when all is over, the end.
pub(super) fn advance(
    state: &State,
    deployment: &Deployment,
    progress: &Progress,
    now: DateTime<Utc>,
) -> Vec<PlanEvent> {
    if ready::is_done(progress) {
        let (outcome, reason) = ready::outcome(deployment, progress);
        return vec![PlanEvent::Finished { outcome, reason }];
    }
    if let (Some(end), None) = (time_is_up(deployment), &deployment.cancel)
        && now >= end
    {
        let timeout = deployment.request.timeout.unwrap_or(Span::secs(0));
        return vec![PlanEvent::CancelRequested { reason: format!("its time-out of {timeout} passed") }];
    }
    let mut events = Vec::new();
    let mut grants = Vec::new();
    let mut slots: HashMap<&TargetName, u32> = HashMap::new();
    for (i, run) in progress.steps.iter().enumerate() {
        if run.is_settled() {
            continue;
        }
        let step = &progress.plan.steps[i].step;
        if ready::may_announce(progress, i) {
            grants.push(TaskKey::new(step.name.clone(), TargetName::notifier()));
        }
        match ready::readiness(deployment, progress, i) {
            Readiness::Waiting => {}
            Readiness::Skip(reason) => {
                if run.tasks.iter().any(skippable) || run.gate.is_some() {
                    events.push(PlanEvent::StepSkipped { step: step.name.clone(), target: None, reason });
                }
            }
            Readiness::Run => {
                retries(deployment, step, &run.tasks, &mut events);
                if run.counts.bad > ready::tolerated(step)
                    && step.rolling.is_some()
                    && run.tasks.iter().any(|t| t.state == TaskState::Pending)
                {
                    let reason = format!("{} targets failed before it", run.counts.bad);
                    events.push(PlanEvent::StepSkipped { step: step.name.clone(), target: None, reason });
                    continue;
                }
                let mut places = 0;
                for task in run.tasks.iter().filter(|t| matches!(t.state, TaskState::Pending | TaskState::RetryAt(..)))
                {
                    let key = TaskKey::new(step.name.clone(), task.target.clone());
                    let taken = slots.entry(&task.target).or_default();
                    if state.may_grant(deployment, &key, now, places, *taken).is_ok() {
                        *taken += 1;
                        places += usize::from(task.state == TaskState::Pending);
                        grants.push(key);
                    }
                }
            }
        }
    }
    if !grants.is_empty() {
        events.push(PlanEvent::Granted { tasks: grants });
    }
    events
}

fn skippable(task: &Task) -> bool {
    use TaskState::{Asking, FailedAttempt, Pending, RetryAt};
    matches!(task.state, Pending | FailedAttempt(_) | RetryAt(..) | Asking(_))
}

fn retries(deployment: &Deployment, step: &Step, tasks: &[Task], events: &mut Vec<PlanEvent>) {
    for task in tasks {
        let (TaskState::FailedAttempt(_), Some(ended)) = (&task.state, task.ended_at) else { continue };
        let backoff = step.retry.as_ref().map_or(Span::secs(1), |r| r.backoff);
        let doubled = delta(backoff) * 2_i32.saturating_pow(task.failures.saturating_sub(1).min(16));
        // Up to a tenth longer, so that what failed together does not come back together.
        let seed = derive(&[
            &deployment.id().to_string(),
            step.name.as_str(),
            task.target.as_str(),
            &task.failures.to_string(),
        ]);
        let pause = doubled.min(MAX_BACKOFF);
        let jitter = pause * i32::from(seed.as_bytes()[0]) / 2560;
        events.push(PlanEvent::RetryScheduled {
            task: TaskKey::new(step.name.clone(), task.target.clone()),
            not_before: ended + pause + jitter,
        });
    }
}
