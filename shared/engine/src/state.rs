//! Everything that the log says, folded. `apply` is the only mutation.
//!
//! What deployments share (the lane and the limit of an environment, the slots of a target) is admitted here in
//! the order of the log: a `Started` or `Granted` without room at its own place is void, for
//! everybody who folds, and `decide` tries again later.

mod admission;
mod damage;
mod limits;
mod yields;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use chrono::{DateTime, Utc};
use slipway_domain::{
    event::{Actor, Address, Entry, GateEvent, GateScope, Outcome, PlanEvent, Recorded, Verdict},
    id::{DeploymentId, TaskKey},
    manifest::Queue,
    name::{EnvironmentName, HolderName, ProjectName, TargetName},
    release::Request,
};

use crate::{
    deployment::{Deployment, End, Impossible, Task, TaskState, rollout::approval, task::AfterFailure},
    gate::Rule,
};

pub use admission::{Denied, Waits};
pub use limits::Full;

/// One project in one environment: where deployments queue.
pub type Lane = (ProjectName, EnvironmentName);

/// All deployments that are not forgotten.
#[derive(Debug, Clone, Default)]
pub struct State {
    head: u64,
    now: Option<DateTime<Utc>>,
    deployments: HashMap<DeploymentId, Deployment>,
    /// Unfinished deployments in log order.
    lanes: HashMap<Lane, VecDeque<DeploymentId>>,
    /// What holds for all, as the log said last.
    set: limits::Set,
    running: limits::Running,
    /// Slots that are taken, by target.
    busy: HashMap<TargetName, u32>,
    /// Running deployments that use a target, in the order of the log.
    users: HashMap<TargetName, BTreeSet<(u64, DeploymentId)>>,
    /// What each holder holds.
    held: HashMap<HolderName, BTreeSet<(DeploymentId, TaskKey)>>,
    /// Ended and no longer kept.
    forgotten: HashSet<DeploymentId>,
}

/// What a log entry changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Deployments for which something new may be decided; the entry's own first.
    pub touched: Vec<DeploymentId>,
    /// Why the entry, or a part of it, is void; normal.
    pub void: Vec<String>,
}

impl State {
    /// An empty state: nothing was read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The sequence of the last entry that was applied; 0 before the first.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The server's time of that entry.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        self.now
    }

    /// A deployment that is not forgotten.
    pub fn get(&self, id: DeploymentId) -> Option<&Deployment> {
        self.deployments.get(&id)
    }

    /// All deployments that are not forgotten, in no order.
    pub fn deployments(&self) -> impl ExactSizeIterator<Item = &Deployment> {
        self.deployments.values()
    }

    /// Whether it ended and was forgotten.
    pub fn is_forgotten(&self, id: DeploymentId) -> bool {
        self.forgotten.contains(&id)
    }

    /// Slots of a target that are taken.
    pub fn taken(&self, target: &TargetName) -> u32 {
        self.busy.get(target).copied().unwrap_or(0)
    }

    /// The running deployments that use a target, in the order of the log.
    pub fn users_of(&self, target: &TargetName) -> impl Iterator<Item = DeploymentId> {
        self.users.get(target).into_iter().flatten().map(|(_, id)| *id)
    }

    /// What a holder holds.
    pub fn held_by(&self, holder: &HolderName) -> impl Iterator<Item = &(DeploymentId, TaskKey)> {
        self.held.get(holder).into_iter().flatten()
    }

    /// Every holder of a claim.
    pub fn holders(&self) -> impl Iterator<Item = &HolderName> {
        self.held.iter().filter(|(_, tasks)| !tasks.is_empty()).map(|(holder, _)| holder)
    }

    /// Drops an ended deployment from memory. Later entries of it are void.
    pub fn forget(&mut self, id: DeploymentId) {
        if self.deployments.get(&id).is_some_and(|d| d.end.is_some()) {
            self.deployments.remove(&id);
            self.forgotten.insert(id);
        }
    }

    /// A forgotten deployment was purged: without its request, nothing of it means anything.
    pub fn purged(&mut self, id: DeploymentId) {
        self.forgotten.remove(&id);
    }

    /// Takes in one entry of the log, in order.
    pub fn apply(&mut self, recorded: &Recorded) -> Applied {
        self.head = recorded.seq;
        self.now = Some(recorded.at);
        let id = recorded.address.deployment();
        if id == DeploymentId::POLICY {
            return self.set_policy(recorded);
        }
        let mut applied = Applied::default();
        let over = |d: &Deployment| d.end.is_some() || d.corrupt.is_some();
        if self.forgotten.contains(&id) || self.deployments.get(&id).is_some_and(over) {
            if !self.abandon(id, recorded, &mut applied) {
                applied.void.push("its deployment is over or stopped".to_owned());
            }
            return applied;
        }
        if !self.deployments.contains_key(&id) && !begins(&recorded.entry) {
            applied.void.push("its deployment was never requested".to_owned());
            return applied;
        }
        applied.touched.push(id);
        if let Err(impossible) = self.apply_entry(id, recorded, &mut applied)
            && let Some(deployment) = self.deployments.get_mut(&id)
        {
            deployment.corrupt = Some(format!("entry {}: {impossible}", recorded.seq));
        }
        if !applied.void.is_empty()
            && let Some(deployment) = self.deployments.get_mut(&id)
        {
            deployment.voids.push(recorded.seq);
        }
        applied
    }

    fn apply_entry(&mut self, id: DeploymentId, recorded: &Recorded, applied: &mut Applied) -> Result<(), Impossible> {
        match (&recorded.address, &recorded.entry) {
            (Address::Plan(_), Entry::Plan(envelope)) => {
                for event in &envelope.events {
                    self.apply_plan(id, recorded, &envelope.actor, event, applied)?;
                }
                if let Some(deployment) = self.deployments.get_mut(&id) {
                    deployment.plan_head = recorded.seq;
                }
                Ok(())
            }
            (Address::Task(_, key), Entry::Task(envelope)) => {
                for event in &envelope.events {
                    self.change_task(id, key, applied, |task, rules| {
                        task.apply(recorded.seq, recorded.at, &envelope.actor, event, rules)
                    })?;
                }
                Ok(())
            }
            (Address::Gate(_, step, GateScope::All), Entry::Gate(envelope)) => {
                let deployment = self.deployments.get_mut(&id).ok_or_else(|| Impossible("no deployment".into()))?;
                let request = &deployment.request;
                let progress =
                    deployment.progress.as_mut().ok_or_else(|| Impossible("a gate appeared before the plan".into()))?;
                let place = progress.position(step).and_then(|i| {
                    let run = &mut progress.steps[i];
                    let approval = approval(&progress.plan.steps[i].step, run.targets)?;
                    Some((approval, run.any_gate_mut()?))
                });
                let (approval, gate) =
                    place.ok_or_else(|| Impossible(format!("step `{step}` is not a gate of the plan")))?;
                let rule = Rule::approval(approval);
                for event in &envelope.events {
                    gate.apply(recorded.seq, recorded.at, &envelope.actor, event, |person, verdict| {
                        rule.takes(verdict) && rule.may_vote(request, person)
                    })?;
                }
                Ok(())
            }
            (Address::Gate(_, step, GateScope::Target(target)), Entry::Gate(envelope)) => {
                let key = TaskKey::new(step.clone(), target.clone());
                for event in &envelope.events {
                    self.apply_guidance(id, &key, recorded, &envelope.actor, event, applied)?;
                }
                Ok(())
            }
            (address, _) => Err(Impossible(format!("an entry does not belong to its subject {address:?}"))),
        }
    }

    /// A person is asked about a failed task, answers, or was heard.
    fn apply_guidance(
        &mut self,
        id: DeploymentId,
        key: &TaskKey,
        recorded: &Recorded,
        actor: &Actor,
        event: &GateEvent,
        applied: &mut Applied,
    ) -> Result<(), Impossible> {
        let deployment = self.deployments.get_mut(&id).ok_or_else(|| Impossible("no deployment".into()))?;
        let guided = deployment.request.guided_failure.clone().unwrap_or_default();
        let rule = Rule::guidance(&guided);
        let request = deployment.request.clone();
        deployment.change_task(key, |task| {
            task.guidance.apply(recorded.seq, recorded.at, actor, event, |person, verdict| {
                rule.takes(verdict) && rule.may_vote(&request, person)
            })
        })??;
        let GateEvent::Decided { verdict, reason } = event else { return Ok(()) };
        self.change_task(id, key, applied, |task, _| {
            task.guide(recorded.at, *verdict, reason);
            Ok(())
        })?;
        if *verdict == Verdict::Exclude
            && let Some(progress) = self.deployments.get_mut(&id).and_then(|d| d.progress.as_mut())
        {
            for i in 0..progress.steps.len() {
                progress.skip(i, Some(&key.target), &format!("its target is excluded: {reason}"));
            }
        }
        Ok(())
    }

    fn apply_plan(
        &mut self,
        id: DeploymentId,
        recorded: &Recorded,
        actor: &Actor,
        event: &PlanEvent,
        applied: &mut Applied,
    ) -> Result<(), Impossible> {
        let by_planner = matches!(actor, Actor::Planner { .. });
        match event {
            PlanEvent::Requested { request } if !self.deployments.contains_key(&id) => {
                if request.id != id {
                    applied.void.push("the request names another deployment".to_owned());
                    return Ok(());
                }
                self.queue(recorded, (**request).clone(), applied);
                Ok(())
            }
            PlanEvent::Started { policy } if by_planner => {
                self.start(id, recorded, *policy, applied);
                Ok(())
            }
            PlanEvent::Yielded if by_planner => {
                self.give_back(id, recorded, applied);
                Ok(())
            }
            PlanEvent::Granted { tasks } if by_planner => {
                for key in tasks {
                    self.grant(id, key, recorded.at, applied)?;
                }
                Ok(())
            }
            PlanEvent::Abandoned { .. } => {
                applied.void.push("nothing has stopped it that it would have to be given up for".to_owned());
                Ok(())
            }
            event => {
                let deployment = self.deployments.get_mut(&id).ok_or_else(|| Impossible("no deployment".into()))?;
                deployment.apply_plan((recorded.seq, recorded.at), actor, event)?;
                let waits = !deployment.holds_lane();
                if deployment.end.is_some() {
                    self.leave(id, recorded.at, applied);
                }
                // Who can not start any more, or gives back its place, leaves it to another.
                if self.holds_back() && (waits || matches!(event, PlanEvent::Finished { .. })) {
                    applied.touched.extend(self.startable(recorded.at));
                }
                Ok(())
            }
        }
    }

    /// Puts a new deployment at the end of its lane, or refuses it there.
    fn queue(&mut self, recorded: &Recorded, request: Request, applied: &mut Applied) {
        let mut deployment = Deployment::requested(recorded, request);
        let id = deployment.id();
        let lane = self.lanes.entry(lane(&deployment)).or_default();
        let before = lane.iter().find(|id| self.deployments.get(*id).is_some_and(|d| d.yielded.is_none()));
        match (deployment.request.queue, before) {
            (Queue::Reject, Some(first)) => {
                let reason = format!("deployment {first} is not over, and the environment's queue takes no second one");
                applied.void.push(reason.clone());
                let (seq, at) = (recorded.seq, recorded.at);
                let problems = vec![reason.clone()];
                deployment.end = Some(End { outcome: Outcome::Rejected, reason: Some(reason), problems, seq, at });
            }
            _ => lane.push_back(id),
        }
        self.deployments.insert(id, deployment);
    }

    fn start(&mut self, id: DeploymentId, recorded: &Recorded, policy: u64, applied: &mut Applied) {
        let Some(deployment) = self.deployments.get(&id) else { return };
        let known = if policy < self.set.seq { Err(Waits::Stale) } else { Ok(()) };
        if let Err(waits) = known.and_then(|()| self.admits(deployment, recorded.at)) {
            applied.void.push(format!("the start: {waits}"));
            return;
        }
        self.running.start(deployment, recorded.seq);
        for target in &deployment.request.targets {
            self.users.entry(target.name.clone()).or_default().insert((deployment.seq, id));
        }
        if let Some(deployment) = self.deployments.get_mut(&id) {
            deployment.started_at.get_or_insert(recorded.at);
            deployment.yielded = None;
        }
    }

    fn grant(
        &mut self,
        id: DeploymentId,
        key: &TaskKey,
        at: DateTime<Utc>,
        applied: &mut Applied,
    ) -> Result<(), Impossible> {
        let Some(deployment) = self.deployments.get(&id) else { return Ok(()) };
        if let Err(reason) = self.may_grant(deployment, key, at, 0, 0) {
            applied.void.push(format!("grant of {key}: {reason}"));
            return Ok(());
        }
        self.change_task(id, key, applied, |task, _| {
            task.grant(at);
            Ok(())
        })
    }

    /// Changes a task and everything that is counted over tasks.
    fn change_task(
        &mut self,
        id: DeploymentId,
        key: &TaskKey,
        applied: &mut Applied,
        change: impl FnOnce(&mut Task, AfterFailure) -> Result<(), Impossible>,
    ) -> Result<(), Impossible> {
        let deployment = self.deployments.get_mut(&id).ok_or_else(|| Impossible("no deployment".into()))?;
        let progress =
            deployment.progress.as_ref().ok_or_else(|| Impossible(format!("task {key} appeared before the plan")))?;
        let i = progress.position(&key.step).ok_or_else(|| Impossible(format!("{key} is not part of the plan")))?;
        let rules = AfterFailure {
            attempts: deployment.attempts(i),
            guided: deployment.request.guided_failure.is_some() && deployment.cancel.is_none(),
        };
        let (before, after) = deployment.change_task(key, |task| {
            let before = (task.takes_slot(), holder_of(task));
            change(task, rules)?;
            Ok::<_, Impossible>((before, (task.takes_slot(), holder_of(task))))
        })??;
        self.move_slot(&key.target, before.0, after.0, id, applied);
        if before.1 != after.1 {
            if let Some(tasks) = before.1.and_then(|holder| self.held.get_mut(&holder)) {
                tasks.remove(&(id, key.clone()));
            }
            if let Some(holder) = after.1 {
                self.held.entry(holder).or_default().insert((id, key.clone()));
            }
        }
        Ok(())
    }

    fn move_slot(&mut self, target: &TargetName, before: bool, after: bool, id: DeploymentId, applied: &mut Applied) {
        let taken = self.busy.entry(target.clone()).or_default();
        match (before, after) {
            (false, true) => *taken += 1,
            (true, false) => {
                *taken = taken.saturating_sub(1);
                let others = self.users.get(target).into_iter().flatten().map(|(_, other)| *other);
                applied.touched.extend(others.filter(|other| *other != id));
            }
            _ => {}
        }
    }

    /// An ended deployment gives back all it took.
    fn leave(&mut self, id: DeploymentId, at: DateTime<Utc>, applied: &mut Applied) {
        self.let_go(id, applied);
        let Some(deployment) = self.deployments.get(&id) else { return };
        for target in &deployment.request.targets {
            if let Some(users) = self.users.get_mut(&target.name) {
                users.remove(&(deployment.seq, id));
            }
        }
        if deployment.holds_lane() {
            self.running.end(deployment);
        }
        let lane = lane(deployment);
        if let Some(queue) = self.lanes.get_mut(&lane) {
            queue.retain(|other| *other != id);
            if queue.is_empty() {
                self.lanes.remove(&lane);
            }
        }
        let next = self.lanes.get(&lane).and_then(|queue| self.due_of(queue, at).next()).map(Deployment::id);
        applied.touched.extend(next);
    }
}

fn holder_of(task: &Task) -> Option<HolderName> {
    match &task.state {
        TaskState::Running { claim, .. } => Some(claim.holder.clone()),
        _ => None,
    }
}

fn lane(deployment: &Deployment) -> Lane {
    (deployment.project().clone(), deployment.request.environment.clone())
}

fn begins(entry: &Entry) -> bool {
    matches!(entry, Entry::Plan(envelope) if matches!(envelope.events.first(), Some(PlanEvent::Requested { .. })))
}
