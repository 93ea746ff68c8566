//! For tests: a folded log of one deployment, written event by event as the services would.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use slipway_domain::{
    event::{Actor, Address, Entry, Envelope, GateEvent, GateScope, PlanEvent, Recorded, SCHEMA, TaskEvent},
    id::{DeploymentId, TaskKey},
    name::{HolderName, PersonName, StepName, TargetName},
    release::Request,
};
use slipway_engine::{State, compile};
use uuid::Uuid;

/// A deployment with a task `pause` on `worker`, which uses secret `db@1`, and a gate `ask` of team `ops` (ana).
pub struct Story {
    pub state: State,
    pub request: Request,
    seq: u64,
}

pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn planner() -> Actor {
    Actor::Planner { id: "planner-1".into() }
}

fn envelope<E>(actor: Actor, event: E) -> Envelope<E> {
    Envelope { id: Uuid::now_v7(), schema: SCHEMA, at: start(), actor, trace: None, events: vec![event] }
}

impl Story {
    /// Requested, planned, started, granted, and its gate opened.
    pub fn begin() -> Self {
        let id = DeploymentId::derive(&["story"]);
        let request: Request = serde_json::from_value(json!({
            "id": id, "environment": "staging",
            "release": {
                "project": "shop", "version": "1.0.0", "channel": "default", "packages": {}, "variables": [],
                "steps": [{"name": "ask", "approval": {"teams": ["ops"]}}, {"name": "pause", "wait": "1s"}],
                "created_at": start()
            },
            "targets": [], "secrets": [{"name": "db", "version": 1}], "teams": {"ops": ["ana"]},
            "requested_by": {"kind": "person", "name": "ana", "via": "api"}, "body_digest": "", "rules_version": 1
        }))
        .unwrap();
        let plan = compile::compile(&request).unwrap();
        let digest = plan.digest();
        let mut story = Self { state: State::new(), request: request.clone(), seq: 0 };
        let ana = Actor::Person { name: PersonName::new("ana").unwrap(), via: "api".into() };
        story.plan(ana, PlanEvent::Requested { request: Box::new(request) });
        story.plan(planner(), PlanEvent::Planned { plan: Box::new(plan), digest: digest.clone() });
        story.plan(planner(), PlanEvent::Started { policy: 0 });
        story.gate(planner(), GateEvent::Opened { plan_digest: digest, expires: start() + TimeDelta::hours(1) });
        story.plan(planner(), PlanEvent::Granted { tasks: vec![Self::task()] });
        story
    }

    pub fn task() -> TaskKey {
        TaskKey::new(StepName::new("pause").unwrap(), TargetName::worker())
    }

    pub fn ask() -> StepName {
        StepName::new("ask").unwrap()
    }

    pub fn holder(name: &str) -> HolderName {
        HolderName::new(name).unwrap()
    }

    /// A holder claims the task with a key; the epoch.
    pub fn claim(&mut self, holder: &str, attempt: u32, key: &str) -> u64 {
        let holder = Self::holder(holder);
        let actor = Actor::Holder { name: holder.clone(), boot: Uuid::nil() };
        let event = TaskEvent::Claimed { holder, boot: Uuid::nil(), attempt, key: key.into() };
        self.append(Address::Task(self.request.id, Self::task()), Entry::Task(envelope(actor, event)))
    }

    /// The planner takes the lease away.
    pub fn expire(&mut self) {
        let event = TaskEvent::LeaseExpired { reason: "silent".into() };
        self.append(Address::Task(self.request.id, Self::task()), Entry::Task(envelope(planner(), event)));
    }

    pub fn plan(&mut self, actor: Actor, event: PlanEvent) -> u64 {
        self.append(Address::Plan(self.request.id), Entry::Plan(envelope(actor, event)))
    }

    pub fn decide(&mut self, event: GateEvent) -> u64 {
        self.gate(planner(), event)
    }

    fn gate(&mut self, actor: Actor, event: GateEvent) -> u64 {
        let address = Address::Gate(self.request.id, Self::ask(), GateScope::All);
        self.append(address, Entry::Gate(envelope(actor, event)))
    }

    fn append(&mut self, address: Address, entry: Entry) -> u64 {
        self.seq += 1;
        let applied = self.state.apply(&Recorded { seq: self.seq, at: start(), address, entry });
        assert_eq!(applied.void, Vec::<String>::new());
        assert_eq!(self.state.get(self.request.id).unwrap().corrupt, None);
        self.seq
    }
}
