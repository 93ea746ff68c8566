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

use super::{Promised, delta, time_is_up};
use crate::{
    deployment::{Deployment, Progress, StepRun, Task, TaskState},
    ready::{self, Readiness},
    state::{Denied, State},
};

/// The longest pause before another attempt.
const MAX_BACKOFF: TimeDelta = TimeDelta::minutes(5);

/// Skips, retries and grants; and when all is over, the end.
pub(super) fn advance(
    state: &State,
    deployment: &Deployment,
    progress: &Progress,
    now: DateTime<Utc>,
    promised: &Promised,
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
    let promised = |target: &TargetName| promised.get(target).copied().unwrap_or_default();
    for (i, run) in progress.steps.iter().enumerate() {
        if run.is_settled() {
            continue;
        }
        let step = &progress.plan.steps[i].step;
        if deployment.is_running() && ready::may_announce(progress, i) {
            grants.push(TaskKey::new(step.name.clone(), TargetName::notifier()));
        }
        taken_back(deployment, step, run, &mut events);
        for task in run.under_way().filter(|t| t.restoring.is_some()) {
            let key = TaskKey::new(step.name.clone(), task.target.clone());
            let taken = slots.entry(&task.target).or_insert_with_key(|target| promised(target));
            if state.may_grant(deployment, &key, now, 0, *taken).is_ok() {
                *taken += 1;
                grants.push(key);
            }
        }
        match ready::readiness(deployment, progress, i) {
            Readiness::Waiting => {}
            Readiness::Skip(reason) => {
                if run.pending().chain(run.under_way()).any(skippable) || run.gate.is_some() {
                    events.push(PlanEvent::StepSkipped { step: step.name.clone(), target: None, reason });
                }
            }
            Readiness::Run => {
                retries(deployment, step, run, |task| task.restoring.is_none(), &mut events);
                if let Some(reason) = run.rollout.stopped(&run.counts, ready::tolerated(step), now)
                    && step.rolling.is_some()
                    && run.pending().next().is_some()
                {
                    events.push(PlanEvent::StepSkipped { step: step.name.clone(), target: None, reason });
                    continue;
                }
                let mut places = 0;
                let again = |t: &&Task| t.restoring.is_none() && matches!(t.state, TaskState::RetryAt(..));
                for task in run.under_way().filter(again).chain(run.pending()) {
                    let key = TaskKey::new(step.name.clone(), task.target.clone());
                    let taken = slots.entry(&task.target).or_insert_with_key(|target| promised(target));
                    match state.may_grant(deployment, &key, now, places, *taken) {
                        Ok(()) => {
                            *taken += 1;
                            places += usize::from(task.state == TaskState::Pending);
                            grants.push(key);
                        }
                        // Nor may those that come after it.
                        Err(Denied::Window | Denied::Rollout(_)) => break,
                        Err(_) => {}
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
    task.restoring.is_none() && matches!(task.state, Pending | FailedAttempt(_) | RetryAt(..) | Asking(_))
}

/// What a step did on its targets is to be taken back, or the attempt to do so failed.
fn taken_back(deployment: &Deployment, step: &Step, run: &StepRun, events: &mut Vec<PlanEvent>) {
    if run.owes_restore() {
        let targets = run.tasks.iter().filter(|task| task.can_be_restored()).map(|task| task.target.clone()).collect();
        let failed = |task: &&Task| task.is_bad() && task.restoring.is_none() && task.state != TaskState::Cancelled;
        let reason = match (run.rollout.rejection(), run.tasks.iter().find(failed), &deployment.cancel) {
            (Some(reason), ..) => reason.to_owned(),
            (None, Some(task), _) => format!("the step failed on {}", task.target),
            (None, None, Some(cancel)) => format!("the deployment was cancelled by {}", cancel.by),
            (None, None, None) => "the step failed".to_owned(),
        };
        events.push(PlanEvent::RestoreScheduled { step: step.name.clone(), targets, reason });
    }
    retries(deployment, step, run, |task| task.restoring.is_some(), events);
}

fn retries(
    deployment: &Deployment,
    step: &Step,
    run: &StepRun,
    of: impl Fn(&&Task) -> bool,
    events: &mut Vec<PlanEvent>,
) {
    for task in run.under_way().filter(of) {
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
