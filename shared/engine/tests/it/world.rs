//! A log in memory with compare-and-set, to play deployments on.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    event::{Actor, Address, Entry, Envelope, GateEvent, GateScope, PlanEvent, Recorded, SCHEMA, TaskEvent, Verdict},
    id::{DeploymentId, TaskKey},
    order::Outputs,
    policy::Policy,
    release::Request,
};
use slipway_engine::{Decision, State, decide, decide::Events, due};
use uuid::Uuid;

use crate::fixture::noon;

/// The log.
#[derive(Default)]
pub struct Log {
    pub entries: Vec<Recorded>,
    heads: HashMap<Address, u64>,
    pub seconds: i64,
}

impl Log {
    pub fn now(&self) -> DateTime<Utc> {
        noon() + TimeDelta::seconds(self.seconds)
    }

    /// Appends if the subject's head is as expected; the new sequence, or none.
    pub fn append(&mut self, address: &Address, expected: u64, events: Events, actor: Actor) -> Option<u64> {
        if self.head(address) != expected {
            return None;
        }
        let seq = self.entries.len() as u64 + 1;
        let (id, at) = (Uuid::from_u128(u128::from(seq)), self.now());
        let entry = match events {
            Events::Plan(events) => Entry::Plan(Envelope { id, schema: SCHEMA, at, actor, trace: None, events }),
            Events::Task(events) => Entry::Task(Envelope { id, schema: SCHEMA, at, actor, trace: None, events }),
            Events::Gate(events) => Entry::Gate(Envelope { id, schema: SCHEMA, at, actor, trace: None, events }),
        };
        // What is stored is what the wire carries.
        let entry = Entry::from_json(address, &entry.to_json().unwrap()).unwrap();
        self.entries.push(Recorded { seq, at, address: address.clone(), entry });
        self.heads.insert(address.clone(), seq);
        Some(seq)
    }

    pub fn head(&self, address: &Address) -> u64 {
        self.heads.get(address).copied().unwrap_or(0)
    }

    /// Sets what holds for all, as the release service does.
    pub fn policy(&mut self, policy: Policy) {
        let address = Address::Plan(DeploymentId::POLICY);
        let head = self.head(&address);
        let actor = Actor::Trigger { name: "policy".into() };
        let events = Events::Plan(vec![PlanEvent::PolicySet { policy: Box::new(policy) }]);
        self.append(&address, head, events, actor).unwrap();
    }

    pub fn request(&mut self, request: Request) -> DeploymentId {
        let id = request.id;
        let actor = request.requested_by.clone();
        let events = Events::Plan(vec![PlanEvent::Requested { request: Box::new(request) }]);
        self.append(&Address::Plan(id), 0, events, actor).unwrap();
        id
    }
}

pub fn planner() -> Actor {
    Actor::Planner { id: "p".into() }
}

pub fn holder(name: &str, boot: u128) -> Actor {
    Actor::Holder { name: name.parse().unwrap(), boot: Uuid::from_u128(boot) }
}

/// One planner that keeps up, and everybody else by hand.
#[derive(Default)]
pub struct World {
    pub log: Log,
    pub state: State,
    /// Why entries, or parts of them, were void.
    pub void: Vec<String>,
}

impl World {
    pub fn with(request: Request) -> (Self, DeploymentId) {
        let mut world = Self::default();
        let id = world.log.request(request);
        (world, id)
    }

    pub fn fold(&mut self) {
        while (self.state.head() as usize) < self.log.entries.len() {
            let applied = self.state.apply(&self.log.entries[self.state.head() as usize]);
            self.void.extend(applied.void);
        }
    }

    /// Decides and writes until nothing more is to be written.
    pub fn settle(&mut self) {
        for _ in 0..1_000 {
            self.fold();
            let now = self.log.now();
            let mut ids: Vec<_> = self.state.deployments().map(|d| (d.seq, d.id())).collect();
            ids.sort();
            let ids: Vec<_> = ids.into_iter().map(|(_, id)| id).collect();
            let decisions: Vec<Decision> = ids.into_iter().flat_map(|id| decide(&self.state, id, now)).collect();
            if decisions.is_empty() {
                return;
            }
            for decision in decisions {
                self.log
                    .append(&decision.address, decision.expected, decision.events, planner())
                    .expect("nobody else writes");
            }
        }
        panic!("the planner never comes to rest");
    }

    /// The tasks that may be claimed, as `step@target`, sorted.
    pub fn due(&mut self, id: DeploymentId) -> Vec<String> {
        self.settle();
        let mut due: Vec<_> = due(&self.state, id).iter().map(ToString::to_string).collect();
        due.sort();
        due
    }

    /// Somebody writes, and no planner has decided anything since.
    pub fn raw(&mut self, address: &Address, actor: Actor, events: Events) {
        self.log.append(address, self.log.head(address), events, actor).unwrap();
        self.fold();
    }

    pub fn write(&mut self, id: DeploymentId, key: &str, actor: Actor, event: TaskEvent) -> u64 {
        let (step, target) = key.split_once('@').unwrap();
        let address = Address::Task(id, TaskKey::new(step.parse().unwrap(), target.parse().unwrap()));
        let head = self.log.head(&address);
        let seq = self.log.append(&address, head, Events::Task(vec![event]), actor).unwrap();
        self.settle();
        seq
    }

    pub fn claim(&mut self, id: DeploymentId, key: &str, attempt: u32) -> u64 {
        let event =
            TaskEvent::Claimed { holder: "e".parse().unwrap(), boot: Uuid::from_u128(1), attempt, key: "k".into() };
        self.write(id, key, holder("e", 1), event)
    }

    pub fn succeed(&mut self, id: DeploymentId, key: &str) {
        self.claim(id, key, 1);
        self.write(id, key, holder("e", 1), TaskEvent::Succeeded { outputs: Outputs::new() });
    }

    /// A claim of a later attempt, and its good end.
    pub fn succeed_again(&mut self, id: DeploymentId, key: &str, attempt: u32) {
        self.claim(id, key, attempt);
        self.write(id, key, holder("e", 1), TaskEvent::Succeeded { outputs: Outputs::new() });
    }

    pub fn fail(&mut self, id: DeploymentId, key: &str, attempt: u32) {
        self.claim(id, key, attempt);
        let cause = slipway_domain::event::Failure::step("it broke");
        self.write(id, key, holder("e", 1), TaskEvent::Failed { cause });
    }

    pub fn plan(&mut self, id: DeploymentId, actor: Actor, event: PlanEvent) {
        let address = Address::Plan(id);
        let head = self.log.head(&address);
        self.log.append(&address, head, Events::Plan(vec![event]), actor).unwrap();
        self.settle();
    }

    /// A vote at a gate; `stale` binds it to another plan.
    pub fn vote(&mut self, id: DeploymentId, step: &str, person: &str, verdict: Verdict, stale: bool) {
        self.say(id, step, person, verdict, stale, None);
    }

    /// An approval of somebody who knows of some drift, or of none.
    pub fn approve_knowing(&mut self, id: DeploymentId, step: &str, person: &str, drift: Option<&str>) {
        self.say(id, step, person, Verdict::Approve, false, drift.map(str::to_owned));
    }

    fn say(
        &mut self,
        id: DeploymentId,
        step: &str,
        person: &str,
        verdict: Verdict,
        stale: bool,
        drift: Option<String>,
    ) {
        self.settle();
        let address = Address::Gate(id, step.parse().unwrap(), GateScope::All);
        let progress = self.state.get(id).unwrap().progress.as_ref().unwrap();
        let i = progress.position(&step.parse().unwrap()).unwrap();
        let opened = progress.steps[i].any_gate().unwrap().opened().unwrap_or(0);
        let plan_digest = if stale { "sha256:other".to_owned() } else { progress.digest.clone() };
        let event =
            GateEvent::Voted { opened, plan_digest, person: person.parse().unwrap(), verdict, note: None, drift };
        let head = self.log.head(&address);
        self.log.append(&address, head, Events::Gate(vec![event]), crate::fixture::person(person)).unwrap();
        self.settle();
    }

    /// What a person says about a failed task.
    pub fn guide(&mut self, id: DeploymentId, step: &str, target: &str, person: &str, verdict: Verdict) {
        self.settle();
        let progress = self.state.get(id).unwrap().progress.as_ref().unwrap();
        let key = TaskKey::new(step.parse().unwrap(), target.parse().unwrap());
        let opened = progress.task(&key).unwrap().guidance.opened().unwrap();
        self.answer(id, step, target, opened, (person, person), verdict);
    }

    /// An answer to an opening, by a person in somebody's name.
    pub fn answer(
        &mut self,
        id: DeploymentId,
        step: &str,
        target: &str,
        opened: u64,
        (by, person): (&str, &str),
        verdict: Verdict,
    ) {
        let plan_digest = self.state.get(id).unwrap().progress.as_ref().unwrap().digest.clone();
        let event =
            GateEvent::Voted { opened, plan_digest, person: person.parse().unwrap(), verdict, note: None, drift: None };
        let address = Address::Gate(id, step.parse().unwrap(), GateScope::Target(target.parse().unwrap()));
        let head = self.log.head(&address);
        self.log.append(&address, head, Events::Gate(vec![event]), crate::fixture::person(by)).unwrap();
        self.settle();
    }

    /// How the deployment ended, or where it is.
    pub fn end(&self, id: DeploymentId) -> String {
        let deployment = self.state.get(id).unwrap();
        match (&deployment.end, &deployment.corrupt) {
            (_, Some(corrupt)) => format!("corrupt: {corrupt}"),
            (Some(end), _) => match &end.reason {
                Some(reason) => format!("{}: {reason}", end.outcome),
                None => end.outcome.to_string(),
            },
            (None, None) => slipway_engine::view::status(deployment).as_str().to_owned(),
        }
    }
}
