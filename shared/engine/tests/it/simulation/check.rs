//! What must hold over a history, looked at entry by entry. As far as it can be it is counted from
//! the log's own facts, not from what the fold says of itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    event::{
        Actor, Address, Entry, Failure, FailureKind, GateEvent, GateScope, PlanEvent, Recorded, TaskEvent, Verdict,
    },
    id::{DeploymentId, TaskKey},
    manifest::{Freeze, ResultCondition},
    policy::Policy,
};
use slipway_engine::{
    State,
    deployment::{Deployment, Progress, TaskState, rollout::approval},
    ready,
    retention::{Past, purgeable},
    view,
};

use super::rollout;
use crate::world::Log;

type Key = (DeploymentId, TaskKey);

#[derive(Default)]
struct Facts {
    held: BTreeSet<(DeploymentId, String)>,
    lost: HashMap<Key, u32>,
    failed: HashMap<Key, u32>,
    not_before: HashMap<Key, DateTime<Utc>>,
    /// Since when a task's time runs.
    since: HashMap<Key, DateTime<Utc>>,
    ends: HashMap<DeploymentId, u32>,
    cancelled: BTreeSet<DeploymentId>,
    paused: BTreeSet<DeploymentId>,
    policy: Policy,
    /// Votes at the newest opening of a gate.
    votes: HashMap<Address, Opening>,
}

#[derive(Default)]
struct Opening {
    seq: u64,
    votes: BTreeMap<String, Verdict>,
    drift: Option<String>,
}

/// Panics with the first promise that the history breaks.
pub fn check(log: &Log) {
    let (mut state, mut facts) = (State::new(), Facts::default());
    for recorded in &log.entries {
        facts.before(&state, recorded);
        let granted: Vec<Key> = granted_keys(recorded).filter(|key| !is_granted(&state, key)).collect();
        let running = facts.running(&state);
        let applied = state.apply(recorded);
        if facts.running(&state) > running {
            let cancelled = state.get(recorded.address.deployment()).is_some_and(|d| d.cancel.is_some());
            facts.started(facts.running(&state), recorded.at, cancelled);
        }
        for key in granted.iter().filter(|key| is_granted(&state, key)) {
            facts.admitted(&state, recorded, key);
        }
        facts.after(&state, recorded);
        drop(applied);
        shared(&state);
    }
    assert!(facts.ends.values().all(|ends| *ends == 1), "one end per deployment: {:?}", facts.ends);
}

fn granted_keys(recorded: &Recorded) -> impl Iterator<Item = Key> + '_ {
    let id = recorded.address.deployment();
    let events = match &recorded.entry {
        Entry::Plan(envelope) => envelope.events.as_slice(),
        _ => &[],
    };
    events.iter().flat_map(move |event| match event {
        PlanEvent::Granted { tasks } => tasks.iter().map(|key| (id, key.clone())).collect(),
        _ => Vec::new(),
    })
}

fn is_granted(state: &State, (id, key): &Key) -> bool {
    let task = state.get(*id).and_then(|d| d.progress.as_ref()).and_then(|p| p.task(key));
    task.is_some_and(|task| matches!(task.state, TaskState::Granted { .. }))
}

/// A deployment, its progress, and a task's step.
fn place<'a>(state: &'a State, (id, key): &Key) -> (&'a Deployment, &'a Progress, usize) {
    let deployment = state.get(*id).unwrap();
    let progress = deployment.progress.as_ref().unwrap();
    (deployment, progress, progress.position(&key.step).unwrap())
}

/// Whether it is not one of the step's tasks, but the word to people that they are asked.
fn is_announcement(progress: &Progress, i: usize, key: &TaskKey) -> bool {
    progress.steps[i].position(&key.target).is_none()
}

impl Facts {
    /// What the entry may be at its place, by what was true before it.
    fn before(&mut self, state: &State, recorded: &Recorded) {
        let id = recorded.address.deployment();
        if let (Address::Task(_, key), Entry::Task(envelope)) = (&recorded.address, &recorded.entry) {
            for event in &envelope.events {
                self.task(state, recorded, &(id, key.clone()), event);
            }
        }
    }

    fn task(&mut self, state: &State, recorded: &Recorded, key: &Key, event: &TaskEvent) {
        let name = (key.0, key.1.to_string());
        match event {
            TaskEvent::Claimed { .. } => {
                assert!(self.held.insert(name), "{} was claimed twice without an end between", key.1);
                self.since.insert(key.clone(), recorded.at);
                self.claimed(state, key);
            }
            TaskEvent::Checkpoint { .. } => {}
            TaskEvent::Told { .. } => assert!(self.held.contains(&name), "nobody holds {} who could be told", key.1),
            TaskEvent::CancelIssued => {
                let (deployment, progress, i) = place(state, key);
                let by_gate = is_announcement(progress, i, &key.1);
                assert!(deployment.cancel.is_some() || by_gate, "{} was told to stop without a cancel", key.1);
                let whole = rollout::whole(progress, i).unwrap_or(i);
                let is_always = |i: usize| progress.plan.steps[i].step.when.result == ResultCondition::Always;
                let always = is_always(i) || is_always(whole);
                assert!(by_gate || !always, "{} runs always and was told to stop", key.1);
            }
            TaskEvent::LeaseExpired { .. } => {
                assert!(self.held.remove(&name), "the lease of {} ended though nobody held it", key.1);
                self.since.insert(key.clone(), recorded.at);
                let lost = self.lost.entry(key.clone()).or_default();
                *lost += 1;
                assert!(*lost <= 5, "{} was lost {lost} times and goes on", key.1);
            }
            TaskEvent::Failed { cause } => {
                let was_held = self.held.remove(&name);
                self.failure(state, recorded, key, cause, was_held);
            }
            _ => assert!(self.held.remove(&name), "{} ended though nobody held it", key.1),
        }
    }

    fn failure(&mut self, state: &State, recorded: &Recorded, key: &Key, cause: &Failure, was_held: bool) {
        match cause.kind {
            FailureKind::CrashLoop => {
                assert_eq!(self.lost.get(key), Some(&5), "{} is taken for a crash loop too early", key.1);
            }
            FailureKind::TimedOut if matches!(recorded.entry.actor(), Actor::Planner { .. }) => {
                let (_, progress, i) = place(state, key);
                let timeout = slipway_engine::decide::timeout(&progress.plan.steps[i].step).0;
                let end = self.since[key] + TimeDelta::from_std(timeout).unwrap() + TimeDelta::seconds(30);
                assert!(recorded.at >= end, "{} was failed before its time was up", key.1);
            }
            _ => assert!(was_held, "{} failed though nobody held it", key.1),
        }
        *self.failed.entry(key.clone()).or_default() += 1;
    }

    fn claimed(&self, state: &State, key: &Key) {
        let (deployment, progress, i) = place(state, key);
        if is_announcement(progress, i, &key.1) || progress.task(&key.1).unwrap().restoring.is_some() {
            return;
        }
        assert!(deployment.started_at.is_some(), "{} began before its deployment", key.1);
        if deployment.cancel.is_none() {
            let whole = rollout::whole(progress, i).unwrap_or(i);
            assert!(progress.needs(whole).all(|n| progress.steps[n].is_settled()), "{} began before its needs", key.1);
        }
        for n in progress.before[i].iter().filter(|_| key.1.step.as_str() == "web") {
            assert!(
                progress.steps[*n].gate.is_none() || !ready::has_failed(progress, *n),
                "{} began unapproved",
                key.1
            );
        }
    }

    fn running(&self, state: &State) -> usize {
        state.deployments().filter(|d| d.is_running()).count()
    }

    /// A start took effect; all of a case go to one environment. What is cancelled comes to its end also while frozen.
    fn started(&self, running: usize, at: DateTime<Utc>, cancelled: bool) {
        let limits = self.policy.environments.values().chain(&self.policy.deployments);
        let limit = limits.min().copied().unwrap_or(u32::MAX);
        let frozen = |freeze: &Freeze| freeze.from.unwrap() <= at && at < freeze.until.unwrap();
        let frozen = !cancelled && self.policy.freezes.iter().any(frozen);
        assert!(!frozen, "a deployment started during {:?}", self.policy.freezes);
        assert!(running <= limit as usize, "{running} deployments run, and the limits are {:?}", self.policy);
    }

    /// A grant took effect.
    fn admitted(&mut self, state: &State, recorded: &Recorded, key: &Key) {
        self.since.insert(key.clone(), recorded.at);
        let (deployment, progress, i) = place(state, key);
        assert!(deployment.is_running(), "{} was granted to one without its lane", key.1);
        let step = &progress.plan.steps[i].step;
        let whole = rollout::whole(progress, i);
        let begun = whole.is_some_and(|whole| rollout::began_before(progress, whole, key));
        let is_always = |i: usize| progress.plan.steps[i].step.when.result == ResultCondition::Always;
        let always = match whole {
            Some(whole) => is_always(whole) || (is_always(i) && begun),
            None => is_always(i),
        };
        assert!(progress.steps[i].skipped.is_none(), "{} was granted though its step is left out", key.1);
        if progress.task(&key.1).unwrap().restoring.is_some() {
            return;
        }
        assert!(always || !self.cancelled.contains(&key.0), "{} was granted after the cancel", key.1);
        if is_announcement(progress, i, &key.1) {
            return;
        }
        assert!(!self.paused.contains(&key.0), "{} was granted during a pause", key.1);
        if let Some(at) = self.not_before.remove(key) {
            assert!(recorded.at >= at, "{} was granted before its retry was due", key.1);
        }
        let failed = self.failed.get(key).copied().unwrap_or(0);
        let attempts = step.retry.as_ref().map_or(1, |r| r.attempts);
        let asked = progress.task(&key.1).unwrap().guidance.opened().is_some();
        assert!(failed < attempts || asked, "{} was granted after {failed} failures", key.1);
        let own = whole.unwrap_or(i);
        let before = progress.before[own].iter().filter(|n| rollout::whole(progress, **n).is_none());
        let looks = before.filter(|n| ready::has_failed(progress, **n)).count();
        match progress.plan.steps[own].step.when.result {
            ResultCondition::Success => assert_eq!(looks, 0, "{} was granted though one before it failed", key.1),
            ResultCondition::Failure if !step.needs.is_empty() => assert!(looks > 0, "{}: nothing failed", key.1),
            _ => {}
        }
        let here = step.when.condition.as_deref() != Some("#{Target != 'web-02'}") || key.1.target.as_str() != "web-02";
        assert!(here, "{} was granted though its condition leaves it out", key.1);
        if let Some(rolling) = &progress.plan.steps[own].step.rolling {
            let bad = rollout::bad_targets(progress, own);
            let goes_on = failed > 0 || begun;
            assert!(bad <= rolling.max_failures as usize || goes_on, "{} began after too many failed", key.1);
        }
        if let Some(whole) = whole {
            rollout::granted_in_series(progress, whole, i, &key.1);
        }
    }

    /// What the entry added.
    fn after(&mut self, state: &State, recorded: &Recorded) {
        let id = recorded.address.deployment();
        match &recorded.entry {
            Entry::Plan(envelope) => envelope.events.iter().for_each(|event| self.plan(id, event)),
            Entry::Gate(envelope) => {
                for event in &envelope.events {
                    self.gate(state, recorded, event);
                }
            }
            Entry::Task(_) => {}
        }
    }

    fn plan(&mut self, id: DeploymentId, event: &PlanEvent) {
        match event {
            PlanEvent::Finished { .. } | PlanEvent::Rejected { .. } => {
                *self.ends.entry(id).or_default() += 1;
                assert!(!self.held.iter().any(|(other, _)| *other == id), "it ended while a task was held");
            }
            PlanEvent::PolicySet { policy } => self.policy = (**policy).clone(),
            PlanEvent::CancelRequested { .. } => drop(self.cancelled.insert(id)),
            PlanEvent::Paused { .. } => drop(self.paused.insert(id)),
            PlanEvent::Resumed => drop(self.paused.remove(&id)),
            PlanEvent::RetryScheduled { task, not_before } => {
                self.not_before.insert((id, task.clone()), *not_before);
            }
            _ => {}
        }
    }

    fn gate(&mut self, state: &State, recorded: &Recorded, event: &GateEvent) {
        let opening = self.votes.entry(recorded.address.clone()).or_default();
        let Address::Gate(id, step, scope) = &recorded.address else { return };
        let Some(deployment) = state.get(*id) else { return };
        let Some(progress) = &deployment.progress else { return };
        match event {
            GateEvent::Opened { .. } => *opening = Opening { seq: recorded.seq, ..Opening::default() },
            GateEvent::Voted { opened, plan_digest, person, verdict, drift, .. } => {
                let guidance = matches!(scope, GateScope::Target(_));
                let answers = if guidance {
                    *verdict != Verdict::Approve
                } else {
                    matches!(verdict, Verdict::Approve | Verdict::Reject)
                };
                if *opened == opening.seq && *plan_digest == progress.digest && person.as_str() != "eve" && answers {
                    if opening.drift != *drift {
                        opening.votes.clear();
                        opening.drift.clone_from(drift);
                    }
                    opening.votes.insert(person.to_string(), *verdict);
                }
            }
            GateEvent::Decided { verdict: Verdict::Approve, .. } => {
                let i = progress.position(step).unwrap();
                let approval = approval(&progress.plan.steps[i].step, progress.steps[i].targets).unwrap();
                let approvals = opening.votes.values().filter(|v| **v == Verdict::Approve).count();
                assert!(approvals >= approval.votes as usize, "{step} was decided by {:?}", opening.votes);
            }
            GateEvent::Decided { verdict, reason } => {
                let said = opening.votes.values().any(|v| v == verdict);
                assert!(said || reason.contains("nobody decided"), "{step}: {verdict} by {:?}", opening.votes);
            }
        }
    }
}

/// What deployments share, after every entry.
fn shared(state: &State) {
    let mut running: BTreeMap<String, u32> = BTreeMap::new();
    let mut lanes: BTreeMap<String, u32> = BTreeMap::new();
    let mut limits: BTreeMap<String, u32> = BTreeMap::new();
    for deployment in state.deployments() {
        assert_eq!(deployment.corrupt, None);
        for target in &deployment.request.targets {
            let limit = limits.entry(target.name.to_string()).or_default();
            *limit = (*limit).max(target.parallelism);
        }
        if deployment.is_running() {
            *lanes.entry(format!("{} {}", deployment.project(), deployment.request.environment)).or_default() += 1;
        }
        let Some(progress) = &deployment.progress else { continue };
        for (i, run) in progress.steps.iter().enumerate() {
            rollout::check(progress, i);
            for task in run.tasks.iter().filter(|t| t.takes_slot()) {
                *running.entry(task.target.to_string()).or_default() += 1;
            }
        }
    }
    for (target, limit) in limits {
        let tasks = running.get(&target).copied().unwrap_or(0);
        assert!(tasks <= limit, "{target} was overloaded with {tasks}");
    }
    assert!(lanes.values().all(|n| *n <= 1), "two deployments in one lane: {lanes:?}");
}

/// Whoever folded live, in pieces, with restarts, tells the same story as a replay.
pub fn same_story(log: &Log, planners: &[State]) {
    let (first, second) = (fold(log.entries.iter()), fold(log.entries.iter()));
    for deployment in first.deployments() {
        let story = view::deployment(deployment, 0);
        for other in planners.iter().chain([&second]) {
            let other = view::deployment(other.get(deployment.id()).unwrap(), 0);
            assert!(story == other, "a replay tells another story");
        }
    }
}

/// Whatever may be purged at any time changes nothing in what stays, nor does one of it alone.
pub fn purged(log: &Log) {
    let mut state = State::new();
    let whole = fold(log.entries.iter());
    for recorded in &log.entries {
        state.apply(recorded);
        let over = state.get(recorded.address.deployment()).and_then(Past::of);
        if over.is_none_or(|past| past.ended != recorded.seq) {
            continue;
        }
        let past: Vec<Past> = state.deployments().filter_map(Past::of).collect();
        let unfinished = state.deployments().filter(|d| d.end.is_none());
        let all = purgeable(&past, unfinished, recorded.at, recorded.seq);
        for one in &all {
            without(log, &whole, recorded.seq, &BTreeSet::from([*one]));
        }
        without(log, &whole, recorded.seq, &all);
    }
}

/// The log tells the same of the others without these, as they are purged at an entry.
fn without(log: &Log, whole: &State, at: u64, gone: &BTreeSet<DeploymentId>) {
    // As the server keeps it: of each the last entry on its plan's subject.
    let mut last = BTreeMap::new();
    for early in log.entries.iter().take_while(|early| early.seq <= at) {
        if let Address::Plan(id) = early.address {
            last.insert(id, early.seq);
        }
    }
    // An end that follows from the rest is written down before.
    let derived = |id: &DeploymentId| whole.get(*id).is_some_and(|d| d.seq == last[id]);
    let stays = |other: &&Recorded| {
        let id = other.address.deployment();
        !gone.contains(&id) || (!derived(&id) && (other.seq > at || last.get(&id) == Some(&other.seq)))
    };
    let shorter = fold(log.entries.iter().filter(stays));
    for deployment in whole.deployments().filter(|d| !gone.contains(&d.id())) {
        let left = shorter.get(deployment.id()).unwrap();
        let same = view::deployment(left, 0) == view::deployment(deployment, 0) && left.voids == deployment.voids;
        assert!(same, "without {gone:?} of entry {at}, {} tells another story", deployment.id());
    }
}

fn fold<'a>(entries: impl Iterator<Item = &'a Recorded>) -> State {
    let mut state = State::new();
    entries.for_each(|recorded| drop(state.apply(recorded)));
    state
}
