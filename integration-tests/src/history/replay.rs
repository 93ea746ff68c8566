//! The log, entry by entry, against what the promises allow at that place.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use slipway_domain::{
    event::{Actor, Address, Entry, GateScope, Outcome, PlanEvent, Recorded, Verdict},
    id::{DeploymentId, TaskKey},
    manifest::{Action, Freeze, Queue},
    name::{EnvironmentName, FreezeName, ProjectName, StepName, TargetName},
    policy::Policy,
};

use super::{
    Rule, Violation,
    gates::{Asked, CLOCK},
    steps::Deployment,
};

/// The log so far.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    pub deployments: BTreeMap<DeploymentId, Deployment>,
    /// Unfinished deployments of one project in one environment, in log order.
    lanes: BTreeMap<(ProjectName, EnvironmentName), Vec<DeploymentId>>,
    /// Tasks that may be or are held, by target.
    busy: BTreeMap<TargetName, u32>,
    /// What the log said last about all deployments.
    policy: Policy,
    policy_seq: u64,
    pub violations: Vec<Violation>,
}

impl Replay {
    /// Takes in an entry, in order.
    pub fn take(&mut self, recorded: &Recorded) {
        let id = recorded.address.deployment();
        match (&recorded.address, &recorded.entry) {
            (Address::Plan(_), Entry::Plan(envelope)) => {
                for event in &envelope.events {
                    self.plan(id, recorded, &envelope.actor, event);
                }
            }
            (Address::Task(_, key), Entry::Task(envelope)) => {
                for event in &envelope.events {
                    self.in_task(id, key, recorded.seq, |deployment| {
                        let patience = deployment.patience(&key.step);
                        let task = deployment.tasks.get_mut(key)?;
                        task.take((recorded.seq, recorded.at), &envelope.actor, event, patience).err()
                    });
                }
            }
            (Address::Gate(_, step, scope), Entry::Gate(envelope)) => {
                for event in &envelope.events {
                    self.gate(id, (step, scope), recorded, &envelope.actor, event);
                }
            }
            (address, _) => {
                self.broken(Rule::Order, recorded.seq, id, format!("{address:?} has events of another kind"))
            }
        }
    }

    /// The end of the history, with no faults any more: whoever is not done must wait for a person.
    pub fn rest(&mut self) {
        let stuck: Vec<DeploymentId> = self
            .deployments
            .iter()
            .filter(|(id, d)| {
                d.ended.is_none()
                    && !d.waits_for_person()
                    && (d.holds_lane() || !self.is_full(d))
                    && self.holder(d).is_none_or(|first| first == **id)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in stuck {
            self.broken(Rule::Ends, 0, id, "it neither ended nor waits for a person".to_owned());
        }
    }

    fn broken(&mut self, rule: Rule, seq: u64, deployment: DeploymentId, what: String) {
        self.violations.push(Violation { rule, seq, deployment, what });
    }

    fn lane(deployment: &Deployment) -> (ProjectName, EnvironmentName) {
        (deployment.request.project().clone(), deployment.request.environment.clone())
    }

    /// Whether as many deployments run as may, all in all or where this one goes.
    fn is_full(&self, deployment: &Deployment) -> bool {
        let here = &deployment.request.environment;
        let running = || self.deployments.values().filter(|d| d.holds_lane() && d.ended.is_none());
        let there = || running().filter(|d| d.request.environment == *here);
        self.policy.deployments.is_some_and(|limit| running().count() >= limit as usize)
            || self.policy.environments.get(here).is_some_and(|limit| there().count() >= *limit as usize)
    }

    /// Who has the lane of a deployment, or is first in it.
    fn holder(&self, deployment: &Deployment) -> Option<DeploymentId> {
        let lane = self.lanes.get(&Self::lane(deployment))?;
        let waits = |id: &&DeploymentId| !self.deployments[*id].waits_for_person();
        let holder = lane.iter().find(|id| self.deployments[*id].holds_lane());
        holder.or_else(|| lane.iter().find(waits)).copied()
    }

    fn plan(&mut self, id: DeploymentId, recorded: &Recorded, actor: &Actor, event: &PlanEvent) {
        let seq = recorded.seq;
        let by_planner = matches!(actor, Actor::Planner { .. });
        if let PlanEvent::Requested { request } = event {
            self.requested(id, seq, Deployment::new((**request).clone()));
            return;
        }
        if let (PlanEvent::PolicySet { policy }, DeploymentId::POLICY) = (event, id) {
            self.policy = (**policy).clone();
            self.policy_seq = seq;
            return;
        }
        let Some(deployment) = self.deployments.get_mut(&id) else { return };
        if deployment.ended.is_some() {
            if by_planner {
                self.broken(Rule::EndsOnce, seq, id, format!("{actor} went on after the end: {event:?}"));
            }
            return;
        }
        match event {
            PlanEvent::Requested { .. } | PlanEvent::PolicySet { .. } => {}
            PlanEvent::Planned { plan, .. } => deployment.planned(plan),
            PlanEvent::Paused { .. } => deployment.paused = true,
            PlanEvent::Resumed => deployment.paused = false,
            PlanEvent::Told { .. } | PlanEvent::Abandoned { .. } => {}
            PlanEvent::CancelRequested { .. } => {
                deployment.overdue |= by_planner && !deployment.cancelled;
                deployment.cancelled = true;
            }
            PlanEvent::Yielded => deployment.yielded |= deployment.holds_lane() && deployment.may_yield(),
            // Who wrote it knew an older policy: void.
            PlanEvent::Started { policy } if *policy < self.policy_seq => {}
            PlanEvent::Started { .. } => self.started(id, recorded),
            PlanEvent::Granted { tasks } => tasks.iter().for_each(|key| self.granted(id, key, recorded)),
            PlanEvent::RetryScheduled { task, not_before } => {
                if let Some(task) = deployment.tasks.get_mut(task)
                    && let super::task::Place::Again { not_before: time @ None } = &mut task.place
                {
                    *time = Some(*not_before);
                }
            }
            PlanEvent::RestoreScheduled { step, targets, .. } => {
                targets.iter().for_each(|target| deployment.restore(step, target, recorded.at));
            }
            PlanEvent::StepSkipped { step, target, .. } => {
                if target.is_none() && deployment.is_late(step) {
                    deployment.late.insert(step.clone());
                }
                skip(deployment, step, target.as_ref());
            }
            PlanEvent::Rejected { .. } => self.ended(id, seq, Outcome::Rejected),
            PlanEvent::Finished { outcome, .. } => {
                if let Some(what) = deployment.contradicts(*outcome) {
                    self.broken(Rule::Ends, seq, id, what);
                }
                self.ended(id, seq, *outcome);
            }
        }
    }

    fn requested(&mut self, id: DeploymentId, seq: u64, mut deployment: Deployment) {
        if self.deployments.contains_key(&id) || deployment.request.id != id {
            self.broken(Rule::EndsOnce, seq, id, "it was requested twice, or under another id".to_owned());
            return;
        }
        let lane = self.lanes.entry(Self::lane(&deployment)).or_default();
        let before = lane.iter().any(|other| !self.deployments[other].yielded);
        if deployment.request.queue == Queue::Reject && before {
            deployment.ended = Some(Outcome::Rejected);
        } else {
            lane.push(id);
        }
        self.deployments.insert(id, deployment);
    }

    /// A start without room in the lane is void; one with room counts.
    fn started(&mut self, id: DeploymentId, recorded: &Recorded) {
        let deployment = &self.deployments[&id];
        let lane = &self.lanes[&Self::lane(deployment)];
        let has_come = |id: &DeploymentId| self.deployments[id].request.not_before.is_none_or(|at| at <= recorded.at);
        let waits_aside =
            |id: &&DeploymentId| self.deployments[*id].yielded && self.deployments[*id].waits_for_person();
        let taken = lane.iter().any(|other| self.deployments[other].holds_lane());
        let room = !self.is_full(deployment)
            && deployment.plan.is_some()
            && !deployment.paused
            && !taken
            && (lane.iter().find(|d| has_come(d) && !waits_aside(d)) == Some(&id)
                || (deployment.request.ignores.is_some() && has_come(&id)));
        let frozen = (room && !deployment.cancelled).then(|| self.frozen(deployment, recorded.at)).flatten();
        if let Some(deployment) = self.deployments.get_mut(&id).filter(|_| room) {
            deployment.started = true;
            deployment.yielded = false;
        }
        if let Some(name) = frozen {
            self.broken(Rule::Limits, recorded.seq, id, format!("it started during freeze {name}"));
        }
    }

    /// The freeze with a beginning and an end that holds a deployment; a planner decides a moment before it writes.
    fn frozen(&self, deployment: &Deployment, at: DateTime<Utc>) -> Option<FreezeName> {
        let request = &deployment.request;
        let ignored =
            |name: &FreezeName| request.ignores.as_ref().is_some_and(|ignores| ignores.freezes.contains(name));
        let holds = |freeze: &&Freeze| {
            let inside = freeze.from.is_some_and(|from| from + CLOCK < at)
                && freeze.until.is_some_and(|until| at < until - CLOCK);
            !freeze.allow
                && inside
                && freeze.is_about(request.project(), &request.environment)
                && !ignored(&freeze.name)
        };
        self.policy.freezes.iter().find(holds).map(|freeze| freeze.name.clone())
    }

    fn ended(&mut self, id: DeploymentId, seq: u64, outcome: Outcome) {
        let Some(deployment) = self.deployments.get_mut(&id) else { return };
        deployment.ended = Some(outcome);
        let held = deployment.tasks.iter().find(|(_, task)| task.takes_slot()).map(|(key, _)| key.clone());
        let lane = Self::lane(deployment);
        self.lanes.entry(lane).or_default().retain(|other| *other != id);
        if let Some(key) = held {
            self.broken(Rule::Ends, seq, id, format!("it ended while {key} was under way"));
        }
    }

    /// A grant without room is void; the claim that follows it all the same breaks what had no room.
    fn granted(&mut self, id: DeploymentId, key: &TaskKey, recorded: &Recorded) {
        let deployment = &self.deployments[&id];
        let limit = deployment.request.targets.iter().find(|t| t.name == key.target).map(|t| t.parallelism.max(1));
        let busy = self.busy.get(&key.target).copied().unwrap_or(0);
        let admitted = deployment.may_grant(key, recorded.at).and_then(|()| match limit {
            Some(limit) if busy >= limit => Err((Rule::Limits, format!("its target runs {busy} tasks already"))),
            _ => Ok(()),
        });
        self.in_task(id, key, recorded.seq, |deployment| {
            let task = deployment.tasks.get_mut(key)?;
            match admitted {
                Ok(()) => task.grant(),
                Err(denied) => task.denied = Some(denied),
            }
            None
        });
    }

    /// Changes a task and the slots that are counted over all.
    fn in_task(
        &mut self,
        id: DeploymentId,
        key: &TaskKey,
        seq: u64,
        change: impl FnOnce(&mut Deployment) -> Option<(Rule, String)>,
    ) {
        let Some(deployment) = self.deployments.get_mut(&id) else { return };
        let takes = |deployment: &Deployment| deployment.tasks.get(key).map(super::task::Task::takes_slot);
        let Some(before) = takes(deployment) else {
            self.broken(Rule::Order, seq, id, format!("{key} is not part of the plan"));
            return;
        };
        let wrong = change(deployment);
        let after = takes(deployment).unwrap_or_default();
        let over = deployment.ended.is_some();
        let taken = self.busy.entry(key.target.clone()).or_default();
        *taken = (*taken + u32::from(after)).saturating_sub(u32::from(before));
        if let Some((rule, what)) = wrong {
            self.broken(rule, seq, id, format!("{key}: {what}"));
        } else if over {
            self.broken(Rule::EndsOnce, seq, id, format!("{key} went on after the deployment's end"));
        }
    }

    fn gate(
        &mut self,
        id: DeploymentId,
        (step, scope): (&StepName, &GateScope),
        recorded: &Recorded,
        actor: &Actor,
        event: &slipway_domain::event::GateEvent,
    ) {
        use slipway_domain::event::GateEvent;
        let place = (recorded.seq, recorded.at);
        let Some(deployment) = self.deployments.get_mut(&id) else { return };
        let wrong = match scope {
            GateScope::All => {
                let may_open = |step| match deployment.looks.contains_key(step) {
                    true => deployment.may_look(step),
                    false => deployment.may_run(step),
                };
                let early = matches!(event, GateEvent::Opened { .. }).then(|| may_open(step).err()).flatten();
                // What a lagging planner still opens after a cancel, nobody needs to answer.
                let early =
                    early.filter(|(rule, _)| *rule != Rule::Cancel).map(|(_, why)| format!("it was opened, but {why}"));
                let request = deployment.request.clone();
                let plan = deployment.plan.clone();
                let approval = plan.as_ref().and_then(|plan| {
                    let step = &plan.step(step)?.step;
                    match &step.action {
                        Action::Approval(approval) => Some(approval),
                        _ => step.rolling.as_ref()?.then.as_ref().map(|then| &then.approval),
                    }
                });
                let gate = deployment.gates.get_mut(step).or(deployment.looks.get_mut(step));
                let Some((approval, gate)) = approval.zip(gate) else { return };
                let excludes = approval.exclude_requester;
                let asked = Asked { teams: &approval.teams, approvals: Some(approval.votes), excludes };
                gate.take(place, actor, event, (&request, asked)).err().or(early)
            }
            GateScope::Target(target) => {
                let key = TaskKey::new(step.clone(), target.clone());
                let guided = deployment.request.guided_failure.clone().unwrap_or_default();
                let asked = Asked { teams: &guided.teams, approvals: None, excludes: false };
                let request = &deployment.request;
                let gate = deployment.guidance.entry(key.clone()).or_default();
                let wrong = gate.take(place, actor, event, (request, asked)).err();
                if let GateEvent::Decided { verdict, .. } = event {
                    if let Some(task) = deployment.tasks.get_mut(&key) {
                        task.guide(recorded.at, *verdict);
                    }
                    if *verdict == Verdict::Exclude {
                        let rest = deployment.tasks.iter_mut().filter(|(other, _)| other.target == key.target);
                        rest.for_each(|(_, task)| task.skip());
                    }
                }
                wrong
            }
        };
        if let Some(what) = wrong {
            self.broken(Rule::Gate, recorded.seq, id, format!("gate {step}: {what}"));
        }
    }
}

fn skip(deployment: &mut Deployment, step: &StepName, target: Option<&TargetName>) {
    if deployment.gates.contains_key(step) {
        if target.is_none() && deployment.gates[step].decided.is_none() {
            deployment.passed_by.insert(step.clone());
        }
        return;
    }
    deployment.skip(step, target);
}
