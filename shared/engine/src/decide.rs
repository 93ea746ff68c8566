//! What to write next. A decision rests on the folded state and the time alone; the expected
//! sequence makes it void if anything moved meanwhile.

mod advance;
mod news;
mod people;
mod tasks;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    duration::Span,
    event::{Address, GateEvent, Outcome, PlanEvent, TaskEvent},
    id::DeploymentId,
    name::{HolderName, NOTIFIER, TargetName},
};
use uuid::Uuid;

pub use news::News;
pub use tasks::timeout;

use crate::{
    compile,
    deployment::{CancelRequest, Deployment, Progress, Task, TaskState},
    gate::GateState,
    state::State,
    yielding::may_yield,
};

/// How long after its time-out a task that nobody ended is failed by the planner.
pub const GRACE: TimeDelta = TimeDelta::seconds(30);

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
    decide_about(state, id, &News::All, now, &Promised::new())
}

/// Slots of targets that grants will take which are on their way into the log.
pub type Promised = HashMap<TargetName, u32>;

/// As [`decide`], if nothing else is new since it was last asked, and leaving the promised slots to others.
pub fn decide_about(
    state: &State,
    id: DeploymentId,
    news: &News,
    now: DateTime<Utc>,
    promised: &Promised,
) -> Vec<Decision> {
    let Some(deployment) = state.get(id).filter(|d| d.end.is_none() && d.corrupt.is_none()) else { return Vec::new() };
    if deployment.request.rules_version != slipway_domain::release::RULES_VERSION {
        return Vec::new();
    }
    let mut decisions = Vec::new();
    let plan = match &deployment.progress {
        None => planned(deployment),
        Some(_) if deployment.started_at.is_none() => start(state, deployment, now),
        Some(progress) => {
            people::gates(deployment, progress, now, &mut decisions);
            people::guidance(deployment, progress, news, now, &mut decisions);
            tasks::tasks(deployment, progress, news, now, &mut decisions);
            let plan = advance::advance(state, deployment, progress, now, promised);
            if plan.is_empty() { lane(state, deployment, now) } else { plan }
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
        return vec![cancelled(cancel)];
    }
    vec![match compile::compile(&deployment.request) {
        Ok(plan) => PlanEvent::Planned { digest: plan.digest(), plan: Box::new(plan) },
        Err(problems) => PlanEvent::Rejected { problems },
    }]
}

fn start(state: &State, deployment: &Deployment, now: DateTime<Utc>) -> Vec<PlanEvent> {
    if let Some(cancel) = &deployment.cancel {
        return vec![cancelled(cancel)];
    }
    if let Some(newer) = state.superseded_by(deployment) {
        let reason = Some(format!("deployment {newer} took its place in the queue"));
        return vec![PlanEvent::Finished { outcome: Outcome::Superseded, reason }];
    }
    started(state, deployment, now)
}

/// With nothing else to write: the lane is given back, or taken again.
fn lane(state: &State, deployment: &Deployment, now: DateTime<Utc>) -> Vec<PlanEvent> {
    if deployment.yielded.is_none() {
        return if may_yield(deployment) { vec![PlanEvent::Yielded] } else { Vec::new() };
    }
    // What is cancelled comes to its own end.
    match deployment.cancel {
        None => start(state, deployment, now),
        Some(_) => started(state, deployment, now),
    }
}

fn started(state: &State, deployment: &Deployment, now: DateTime<Utc>) -> Vec<PlanEvent> {
    let may = state.may_start(deployment, now).is_ok();
    if may { vec![PlanEvent::Started { policy: state.policy_seq() }] } else { Vec::new() }
}

/// The end of a deployment that never started.
fn cancelled(cancel: &CancelRequest) -> PlanEvent {
    let reason = Some(format!("cancelled by {}: {}", cancel.by, cancel.reason));
    PlanEvent::Finished { outcome: Outcome::Cancelled, reason }
}

fn time_is_up(deployment: &Deployment) -> Option<DateTime<Utc>> {
    Some(deployment.started_at? + delta(deployment.request.timeout?))
}

pub(crate) fn delta(span: Span) -> TimeDelta {
    TimeDelta::from_std(span.0).unwrap_or(TimeDelta::days(3650))
}

/// The places of steps, and tasks of them, that something may be new about; tasks that did not begin are left out.
fn concerned<'a>(progress: &'a Progress, news: &'a News) -> Vec<(usize, Vec<&'a Task>)> {
    match news {
        News::All => progress
            .steps
            .iter()
            .enumerate()
            .filter(|(_, run)| run.counts.begun > 0 || run.announcement.is_some())
            .map(|(i, run)| (i, run.under_way().collect()))
            .collect(),
        News::Tasks(keys) => {
            let mut places: BTreeMap<usize, Vec<&Task>> = BTreeMap::new();
            for key in keys {
                let Some(i) = progress.position(&key.step) else { continue };
                let run = &progress.steps[i];
                let task = run.position(&key.target).and_then(|place| run.tasks.get(place));
                places.entry(i).or_default().extend(task.filter(|task| task.takes_place()));
            }
            places.into_iter().collect()
        }
    }
}

/// The next time at which `decide` may say more although nothing was written.
pub fn wake(state: &State, id: DeploymentId) -> Option<DateTime<Utc>> {
    wake_about(state, id, &News::All)
}

/// As [`wake`], as far as news change it.
pub fn wake_about(state: &State, id: DeploymentId, news: &News) -> Option<DateTime<Utc>> {
    let deployment = state.get(id).filter(|d| d.end.is_none() && d.corrupt.is_none())?;
    let progress = deployment.progress.as_ref()?;
    if deployment.started_at.is_none() {
        return deployment.request.not_before;
    }
    let mut times = Vec::from_iter(time_is_up(deployment).filter(|_| deployment.cancel.is_none()));
    for run in &progress.steps {
        match run.any_gate().map(|g| &g.state) {
            Some(GateState::Open { expires, .. }) if !run.rollout.given_up => times.push(*expires),
            _ => {}
        }
        if run.counts.open > 0 {
            times.extend(run.rollout.paused_until());
            if let Some(end) = run.rollout.late_after()
                && run.pending_places().next().is_some()
            {
                times.push(end + TimeDelta::milliseconds(1));
            }
        }
    }
    for (i, tasks) in concerned(progress, news) {
        let step = &progress.plan.steps[i].step;
        times.extend(tasks.into_iter().chain(&progress.steps[i].announcement).filter_map(|task| match &task.state {
            TaskState::RetryAt(at, _) => Some(*at),
            TaskState::Asking(_) => match &task.guidance.state {
                GateState::Open { expires, .. } => Some(*expires),
                _ => None,
            },
            _ => tasks::deadline(step, task),
        }));
    }
    times.into_iter().min()
}

/// What to write when a holder is gone: its leases end. `alive` is the boot that it runs in now, if any.
pub fn expire(state: &State, holder: &HolderName, alive: Option<Uuid>, reason: &str) -> Vec<Decision> {
    expire_of(state, holder, alive, reason, |_| true)
}

/// What to write when a holder's connection is gone, which proves less than silence for the whole lease: the leases end
/// of work that the next holder adopts, so that nothing happens twice even if the first one lives.
pub fn expire_adoptable(state: &State, holder: &HolderName, reason: &str) -> Vec<Decision> {
    expire_of(state, holder, None, reason, is_adoptable)
}

/// Whether whoever holds the task next finds what the last holder did, and whatever that one still does is harmless: so it
/// is with all that executors do. A message that was posted is not to be found.
fn is_adoptable(task: &Task) -> bool {
    task.target.as_str() != NOTIFIER
}

fn expire_of(
    state: &State,
    holder: &HolderName,
    alive: Option<Uuid>,
    reason: &str,
    of: impl Fn(&Task) -> bool,
) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for (id, key) in state.held_by(holder) {
        let task = state.get(*id).and_then(|d| d.progress.as_ref()?.task(key));
        let Some(task) = task.filter(|task| of(task)) else { continue };
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
