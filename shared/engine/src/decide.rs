//! What to write next. A decision rests on the folded state and the time alone; the expected
//! sequence makes it void if anything moved meanwhile.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    duration::Span,
    event::{Address, Failure, FailureKind, GateEvent, GateScope, PlanEvent, TaskEvent},
    id::{DeploymentId, TaskKey, derive},
    manifest::{Action, DEFAULT_TIMEOUT, Step},
    name::{HolderName, TargetName},
};
use uuid::Uuid;

use crate::{
    compile,
    deployment::{Deployment, Progress, Task, TaskState, task::MAX_LOST},
    gate::GateState,
    ready::{self, Readiness},
    state::State,
};

/// How long after its time-out a task that nobody ended is failed by the planner.
pub const GRACE: TimeDelta = TimeDelta::seconds(30);
/// The longest pause before another attempt.
const MAX_BACKOFF: TimeDelta = TimeDelta::minutes(5);

/// One append.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Where to.
    pub address: Address,
    /// The head that the subject must have.
    pub expected: u64,
    /// What.
    pub events: Events,
}

/// Events of one family.
#[derive(Debug, Clone, PartialEq)]
pub enum Events {
    /// For a plan subject.
    Plan(Vec<PlanEvent>),
    /// For a task subject.
    Task(Vec<TaskEvent>),
    /// For a gate subject.
    Gate(Vec<GateEvent>),
}

/// All that is to be written for one deployment now; at most one append per subject.
pub fn decide(state: &State, id: DeploymentId, now: DateTime<Utc>) -> Vec<Decision> {
    let Some(deployment) = state.get(id).filter(|d| d.end.is_none() && d.corrupt.is_none()) else { return Vec::new() };
    if deployment.request.rules_version != slipway_domain::release::RULES_VERSION {
        return Vec::new();
    }
    let mut decisions = Vec::new();
    let plan = match &deployment.progress {
        None => planned(deployment),
        Some(_) if deployment.started_at.is_none() => start(state, deployment),
        Some(progress) => {
            gates(deployment, progress, now, &mut decisions);
            tasks(deployment, progress, now, &mut decisions);
            advance(state, deployment, progress, now)
        }
    };
    if !plan.is_empty() {
        decisions.push(Decision {
            address: Address::Plan(id),
            expected: deployment.plan_head,
            events: Events::Plan(plan),
        });
    }
    decisions
}

fn planned(deployment: &Deployment) -> Vec<PlanEvent> {
    if let Some(cancel) = &deployment.cancel {
        let outcome = slipway_domain::event::Outcome::Cancelled;
        return vec![PlanEvent::Finished {
            outcome,
            reason: Some(format!("cancelled by {}: {}", cancel.by, cancel.reason)),
        }];
    }
    vec![match compile::compile(&deployment.request) {
        Ok(plan) => PlanEvent::Planned { digest: plan.digest(), plan: Box::new(plan) },
        Err(problems) => PlanEvent::Rejected { problems },
    }]
}

fn start(state: &State, deployment: &Deployment) -> Vec<PlanEvent> {
    match &deployment.cancel {
        Some(cancel) => {
            let outcome = slipway_domain::event::Outcome::Cancelled;
            vec![PlanEvent::Finished {
                outcome,
                reason: Some(format!("cancelled by {}: {}", cancel.by, cancel.reason)),
            }]
        }
        None if state.may_start(deployment) => vec![PlanEvent::Started],
        None => Vec::new(),
    }
}

/// Opens and decides gates.
fn gates(deployment: &Deployment, progress: &Progress, now: DateTime<Utc>, decisions: &mut Vec<Decision>) {
    for (i, run) in progress.steps.iter().enumerate() {
        let (Some(gate), Action::Approval(approval)) = (&run.gate, &progress.plan.steps[i].step.action) else {
            continue;
        };
        if run.skipped.is_some() {
            continue;
        }
        let event = match &gate.state {
            GateState::Closed if ready::readiness(deployment, progress, i) == Readiness::Run => {
                GateEvent::Opened { plan_digest: progress.digest.clone(), expires: now + delta(approval.timeout) }
            }
            GateState::Open { .. } => match gate.decision(approval, now) {
                Some((verdict, reason)) => GateEvent::Decided { verdict, reason },
                None => continue,
            },
            _ => continue,
        };
        let step = progress.plan.steps[i].name().clone();
        decisions.push(Decision {
            address: Address::Gate(deployment.id(), step, GateScope::All),
            expected: gate.head,
            events: Events::Gate(vec![event]),
        });
    }
}

/// Ends tasks whose time is over, whose holders keep dying, or that a cancel or a decided gate makes void.
fn tasks(deployment: &Deployment, progress: &Progress, now: DateTime<Utc>, decisions: &mut Vec<Decision>) {
    for (i, run) in progress.steps.iter().enumerate() {
        let step = &progress.plan.steps[i].step;
        let stop = deployment.cancel.is_some() && step.when.result != slipway_domain::manifest::ResultCondition::Always;
        if run.counts.begun > 0 {
            for task in &run.tasks {
                push_task(deployment, step, task, end_of(step, task, stop, now), decisions);
            }
        }
        if let Some(task) = &run.announcement {
            let stop = stop || run.is_settled();
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

fn deadline(step: &Step, task: &Task) -> Option<DateTime<Utc>> {
    let since = match &task.state {
        TaskState::Granted { since, .. } => *since,
        TaskState::Running { claim, .. } => claim.at,
        _ => return None,
    };
    Some(since + delta(timeout(step)) + GRACE)
}

/// Skips, retries and grants; and when all is over, the end.
fn advance(state: &State, deployment: &Deployment, progress: &Progress, now: DateTime<Utc>) -> Vec<PlanEvent> {
    if ready::is_done(progress) {
        let (outcome, reason) = ready::outcome(deployment, progress);
        return vec![PlanEvent::Finished { outcome, reason }];
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
    matches!(task.state, TaskState::Pending | TaskState::FailedAttempt(_) | TaskState::RetryAt(..))
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

fn delta(span: Span) -> TimeDelta {
    TimeDelta::from_std(span.0).unwrap_or(TimeDelta::days(3650))
}

/// The next time at which `decide` may say more although nothing was written.
pub fn wake(state: &State, id: DeploymentId) -> Option<DateTime<Utc>> {
    let deployment = state.get(id).filter(|d| d.is_running())?;
    let progress = deployment.progress.as_ref()?;
    let mut times = Vec::new();
    for (i, run) in progress.steps.iter().enumerate() {
        let step = &progress.plan.steps[i].step;
        if let Some(GateState::Open { expires, .. }) = run.gate.as_ref().map(|g| &g.state) {
            times.push(*expires);
        }
        if run.counts.begun > 0 || run.announcement.is_some() {
            times.extend(run.tasks.iter().chain(&run.announcement).filter_map(|task| match &task.state {
                TaskState::RetryAt(at, _) => Some(*at),
                _ => deadline(step, task),
            }));
        }
    }
    times.into_iter().min()
}

/// What to write when a holder is gone: its leases end. `alive` is the boot that it runs in now, if any.
pub fn expire(state: &State, holder: &HolderName, alive: Option<Uuid>, reason: &str) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for (id, key) in state.held_by(holder) {
        let task = state.get(*id).and_then(|d| d.progress.as_ref()).and_then(|p| p.task(key));
        let Some(task) = task else { continue };
        let TaskState::Running { claim, .. } = &task.state else { continue };
        if alive == Some(claim.boot) {
            continue;
        }
        decisions.push(Decision {
            address: Address::Task(*id, key.clone()),
            expected: task.head,
            events: Events::Task(vec![TaskEvent::LeaseExpired { reason: reason.to_owned() }]),
        });
    }
    decisions
}
