//! Everything that the log says, folded. `apply` is the only mutation.
//!
//! What deployments share (the lane of an environment, the slots of a target) is admitted here in
//! the order of the log: a `Started` or `Granted` without room at its own place is void, for
//! everybody who folds, and `decide` tries again later.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use chrono::{DateTime, Utc};
use slipway_domain::{
    event::{Actor, Address, Entry, GateScope, PlanEvent, Recorded},
    id::{DeploymentId, TaskKey},
    name::{EnvironmentName, HolderName, ProjectName, TargetName},
    release::RULES_VERSION,
};

use crate::{
    deployment::{Deployment, Impossible, Task, TaskState},
    gate,
    ready::{self, Readiness},
};

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
    /// Slots that are taken, by target.
    busy: HashMap<TargetName, u32>,
    /// Running deployments that use a target.
    users: HashMap<TargetName, BTreeSet<DeploymentId>>,
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
    pub fn deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.deployments.values()
    }

    /// Whether it ended and was forgotten.
    pub fn is_forgotten(&self, id: DeploymentId) -> bool {
        self.forgotten.contains(&id)
    }

    /// The unfinished deployment that holds or next gets a lane.
    pub fn first_in_lane(&self, deployment: &Deployment) -> Option<DeploymentId> {
        self.lanes.get(&lane(deployment)).and_then(|queue| queue.front().copied())
    }

    /// Slots of a target that are taken.
    pub fn taken(&self, target: &TargetName) -> u32 {
        self.busy.get(target).copied().unwrap_or(0)
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

    /// An entry of a deployment can not be read: the deployment stops, and keeps its lane, until a person looks.
    pub fn unreadable(&mut self, seq: u64, id: DeploymentId, reason: &str) {
        self.head = seq;
        if let Some(deployment) = self.deployments.get_mut(&id) {
            deployment.corrupt.get_or_insert_with(|| format!("entry {seq}: {reason}"));
        }
    }

    /// Takes in one entry of the log, in order.
    pub fn apply(&mut self, recorded: &Recorded) -> Applied {
        self.head = recorded.seq;
        self.now = Some(recorded.at);
        let id = recorded.address.deployment();
        let mut applied = Applied::default();
        let over = |d: &Deployment| d.end.is_some() || d.corrupt.is_some();
        if self.forgotten.contains(&id) || self.deployments.get(&id).is_some_and(over) {
            applied.void.push("its deployment is over or stopped".to_owned());
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
                    self.change_task(id, key, applied, |task, attempts| {
                        task.apply(recorded.seq, recorded.at, &envelope.actor, event, attempts)
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
                    let slipway_domain::manifest::Action::Approval(approval) = &progress.plan.steps[i].step.action
                    else {
                        return None;
                    };
                    Some((approval, progress.steps[i].gate.as_mut()?))
                });
                let (approval, gate) =
                    place.ok_or_else(|| Impossible(format!("step `{step}` is not a gate of the plan")))?;
                for event in &envelope.events {
                    gate.apply(recorded.seq, recorded.at, &envelope.actor, event, |person| {
                        gate::may_vote(request, approval, person)
                    })?;
                }
                Ok(())
            }
            (address, _) => Err(Impossible(format!("an entry does not belong to its subject {address:?}"))),
        }
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
                let deployment = Deployment::requested(recorded, (**request).clone());
                self.lanes.entry(lane(&deployment)).or_default().push_back(id);
                self.deployments.insert(id, deployment);
                Ok(())
            }
            PlanEvent::Started if by_planner => {
                self.start(id, recorded.at, applied);
                Ok(())
            }
            PlanEvent::Granted { tasks } if by_planner => {
                for key in tasks {
                    self.grant(id, key, recorded.at, applied)?;
                }
                Ok(())
            }
            event => {
                let deployment = self.deployments.get_mut(&id).ok_or_else(|| Impossible("no deployment".into()))?;
                deployment.apply_plan(recorded.at, actor, event)?;
                if deployment.end.is_some() {
                    self.leave(id, applied);
                }
                Ok(())
            }
        }
    }

    /// Whether a planned deployment may take its lane now.
    pub fn may_start(&self, deployment: &Deployment) -> bool {
        deployment.progress.is_some()
            && deployment.started_at.is_none()
            && deployment.end.is_none()
            && deployment.request.rules_version == RULES_VERSION
            && self.first_in_lane(deployment) == Some(deployment.id())
    }

    fn start(&mut self, id: DeploymentId, at: DateTime<Utc>, applied: &mut Applied) {
        let Some(deployment) = self.deployments.get(&id).filter(|d| self.may_start(d)) else {
            applied.void.push("the lane was not free".to_owned());
            return;
        };
        for target in &deployment.request.targets {
            self.users.entry(target.name.clone()).or_default().insert(id);
        }
        if let Some(deployment) = self.deployments.get_mut(&id) {
            deployment.started_at = Some(at);
        }
    }

    /// Whether a task may be granted now. `places` and `slots` are grants of the same message that
    /// come before it: in its step, and on its target.
    pub fn may_grant(
        &self,
        deployment: &Deployment,
        key: &TaskKey,
        now: DateTime<Utc>,
        places: usize,
        slots: u32,
    ) -> Result<(), &'static str> {
        let progress =
            deployment.progress.as_ref().filter(|_| deployment.is_running()).ok_or("the deployment is not running")?;
        let i = progress.position(&key.step).ok_or("the step is not part of the plan")?;
        let task = progress.task(key).ok_or("the task is not part of the plan")?;
        if progress.steps[i].gate.is_some() {
            return if ready::may_announce(progress, i) {
                Ok(())
            } else {
                Err("the gate is not open or was announced")
            };
        }
        if ready::readiness(deployment, progress, i) != Readiness::Run {
            return Err("what it waits for has not ended");
        }
        match task.state {
            TaskState::Pending if ready::has_room(progress, i, places) => {}
            TaskState::Pending => return Err("the rolling window is full"),
            TaskState::RetryAt(at, _) if at <= now => {}
            TaskState::RetryAt(..) => return Err("its pause is not over"),
            _ => return Err("it was granted already"),
        }
        match ready::slots(deployment, &key.target) {
            Some(limit) if self.taken(&key.target) + slots >= limit => Err("the target is busy"),
            _ => Ok(()),
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
        change: impl FnOnce(&mut Task, u32) -> Result<(), Impossible>,
    ) -> Result<(), Impossible> {
        let deployment = self.deployments.get_mut(&id).ok_or_else(|| Impossible("no deployment".into()))?;
        let (i, task) = deployment.task_mut(key)?;
        let before = (task.takes_slot(), holder_of(task));
        // The borrow of the step's retry must not overlap the task's.
        let attempts = deployment
            .progress
            .as_ref()
            .map_or(1, |p| p.plan.steps[i].step.retry.as_ref().map_or(1, |r| r.attempts.max(1)));
        let (_, task) = deployment.task_mut(key)?;
        change(task, attempts)?;
        let after = (task.takes_slot(), holder_of(task));
        deployment.recount(&key.step);
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
                let others = self.users.get(target).into_iter().flatten();
                applied.touched.extend(others.filter(|other| **other != id));
            }
            _ => {}
        }
    }

    /// An ended deployment gives back all it took.
    fn leave(&mut self, id: DeploymentId, applied: &mut Applied) {
        let Some(deployment) = self.deployments.get(&id) else { return };
        for target in &deployment.request.targets {
            if let Some(users) = self.users.get_mut(&target.name) {
                users.remove(&id);
            }
        }
        let lane = lane(deployment);
        if let Some(queue) = self.lanes.get_mut(&lane) {
            queue.retain(|other| *other != id);
            applied.touched.extend(queue.front());
            if queue.is_empty() {
                self.lanes.remove(&lane);
            }
        }
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
