//! How many deployments run, in an environment and in total, and whose turn it is when not all may.
//!
//! A limit is a rule of the log's order: a `Started` beyond it is void for everybody. Whose turn it
//! is, is a rule for deciding alone: a planner that lags may take a place out of turn, never one too many.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Utc};
use slipway_domain::{
    event::{Actor, Entry, PlanEvent, Recorded},
    id::DeploymentId,
    name::{EnvironmentName, ProjectName},
    policy::Policy,
};

use super::{Applied, State};
use crate::{
    deployment::Deployment,
    freeze::{Calendar, Hold},
};

/// What holds for all, and since which entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Set {
    pub(super) policy: Policy,
    pub(super) calendar: Calendar,
    pub(super) seq: u64,
}

/// The deployments that run.
#[derive(Debug, Clone, Default)]
pub(super) struct Running {
    total: Pool,
    environments: HashMap<EnvironmentName, Pool>,
}

/// Those of one environment, or all.
#[derive(Debug, Clone, Default)]
struct Pool {
    running: usize,
    projects: HashMap<ProjectName, Share>,
}

/// Those of one project.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    running: usize,
    /// The entry by which one of them started last; 0 if none did.
    served: u64,
}

impl Pool {
    fn start(&mut self, project: &ProjectName, seq: u64) {
        self.running += 1;
        let share = self.projects.entry(project.clone()).or_default();
        share.running += 1;
        share.served = seq;
    }

    fn end(&mut self, project: &ProjectName) {
        self.running = self.running.saturating_sub(1);
        if let Some(share) = self.projects.get_mut(project) {
            share.running = share.running.saturating_sub(1);
        }
    }

    /// The deployments whose turn it is: first of projects that have the least running, of those
    /// the one that waits longest since its last start, then in the order of the log. `waiting` is
    /// in that order.
    fn turns<'a>(&self, waiting: Vec<&'a Deployment>, limit: usize) -> Vec<&'a Deployment> {
        let mut before: HashMap<&ProjectName, usize> = HashMap::new();
        let mut ranked: Vec<_> = waiting
            .into_iter()
            .map(|deployment| {
                let share = self.projects.get(deployment.project()).copied().unwrap_or_default();
                let before = before.entry(deployment.project()).or_default();
                let rank = (share.running + *before, share.served, deployment.seq);
                *before += 1;
                (rank, deployment)
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.truncate(limit.saturating_sub(self.running));
        ranked.into_iter().map(|(_, deployment)| deployment).collect()
    }
}

impl Running {
    pub(super) fn start(&mut self, deployment: &Deployment, seq: u64) {
        self.total.start(deployment.project(), seq);
        let environment = deployment.request.environment.clone();
        self.environments.entry(environment).or_default().start(deployment.project(), seq);
    }

    pub(super) fn end(&mut self, deployment: &Deployment) {
        self.total.end(deployment.project());
        if let Some(pool) = self.environments.get_mut(&deployment.request.environment) {
            pool.end(deployment.project());
        }
    }

    fn of(&self, environment: &EnvironmentName) -> usize {
        self.environments.get(environment).map_or(0, |pool| pool.running)
    }
}

/// The limit that leaves no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Of the environment.
    Environment(u32),
    /// Over all.
    Total(u32),
}

impl State {
    /// What holds for all deployments.
    pub fn policy(&self) -> &Policy {
        &self.set.policy
    }

    /// Whether anything but its lane can hold a deployment back.
    pub fn holds_back(&self) -> bool {
        let policy = &self.set.policy;
        policy.deployments.is_some() || !policy.environments.is_empty() || !self.set.calendar.is_empty()
    }

    /// The entry that said so; 0 if none did.
    pub fn policy_seq(&self) -> u64 {
        self.set.seq
    }

    /// How many deployments run in an environment.
    pub fn running_in(&self, environment: &EnvironmentName) -> usize {
        self.running.of(environment)
    }

    /// How many deployments run.
    pub fn running(&self) -> usize {
        self.running.total.running
    }

    pub(super) fn set_policy(&mut self, recorded: &Recorded) -> Applied {
        let mut applied = Applied::default();
        let Entry::Plan(envelope) = &recorded.entry else {
            applied.void.push("a policy has no tasks and no gates".to_owned());
            return applied;
        };
        for event in &envelope.events {
            match (event, &envelope.actor) {
                (PlanEvent::PolicySet { policy }, Actor::Person { .. } | Actor::Trigger { .. }) => {
                    let calendar = Calendar::new(&policy.freezes);
                    self.set = Set { policy: (**policy).clone(), calendar, seq: recorded.seq };
                }
                (_, actor) => applied.void.push(format!("{actor} can not set a policy")),
            }
        }
        applied.touched = self.startable(recorded.at);
        applied
    }

    /// The limit that leaves a deployment no room.
    pub(super) fn full(&self, deployment: &Deployment) -> Option<Full> {
        let policy = &self.set.policy;
        let environment = &deployment.request.environment;
        if let Some(limit) = policy.environments.get(environment)
            && self.running.of(environment) >= *limit as usize
        {
            return Some(Full::Environment(*limit));
        }
        policy.deployments.filter(|limit| self.running() >= *limit as usize).map(Full::Total)
    }

    /// The deployment of a lane that could start: the first whose time has come and that nothing freezes.
    fn candidate<'a>(&'a self, lane: &'a VecDeque<DeploymentId>, now: DateTime<Utc>) -> Option<&'a Deployment> {
        let calendar = &self.set.calendar;
        self.due_of(lane, now)
            .find(|deployment| calendar.holds(deployment.place(), now).is_none() || deployment.cancel.is_some())
    }

    /// The freeze that keeps a deployment from starting.
    pub(super) fn frozen(&self, deployment: &Deployment, now: DateTime<Utc>) -> Option<Hold> {
        self.set.calendar.hold(deployment.place(), now)
    }

    /// Whether it is the deployment's turn, where limits let not all start that could.
    pub(super) fn has_turn(&self, deployment: &Deployment, now: DateTime<Utc>) -> bool {
        let policy = &self.set.policy;
        let limited = policy.deployments.is_some() || policy.environments.contains_key(&deployment.request.environment);
        !limited || self.startable(now).contains(&deployment.id())
    }

    /// The deployments that may start now, those that wait longest for it first.
    pub fn startable(&self, now: DateTime<Utc>) -> Vec<DeploymentId> {
        let mut waiting: Vec<&Deployment> = self
            .lanes
            .values()
            .filter_map(|lane| self.candidate(lane, now))
            .filter(|deployment| self.admits(deployment, now).is_ok())
            .collect();
        waiting.sort_by_key(|deployment| deployment.seq);
        let none = Pool::default();
        for (environment, limit) in &self.set.policy.environments {
            let (here, elsewhere): (Vec<_>, _) =
                waiting.into_iter().partition(|deployment| deployment.request.environment == *environment);
            waiting = elsewhere;
            let pool = self.running.environments.get(environment).unwrap_or(&none);
            waiting.extend(pool.turns(here, *limit as usize));
        }
        if let Some(limit) = self.set.policy.deployments {
            waiting.sort_by_key(|deployment| deployment.seq);
            waiting = self.running.total.turns(waiting, limit as usize);
        }
        waiting.into_iter().map(Deployment::id).collect()
    }
}
