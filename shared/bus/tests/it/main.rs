//! The bus against a real nats-server.

#![expect(clippy::unwrap_used, reason = "what a test can not set up fails it")]

#[path = "../support/nats.rs"]
mod nats;

mod alive;
mod appending;
mod credentials;
mod doorbells;
mod folding;
mod output;
mod presence;
mod pushes;
mod secrets;
mod streams;

use slipway_domain::{
    event::{Actor, Address, Entry, Envelope, PlanEvent, SCHEMA, TaskEvent},
    id::{DeploymentId, TaskKey},
    name::{StepName, TargetName},
};
use uuid::Uuid;

fn deployment() -> DeploymentId {
    DeploymentId(Uuid::new_v4())
}

fn target(name: &str) -> TargetName {
    TargetName::new(name).unwrap()
}

fn task(step: &str, target_name: &str) -> TaskKey {
    TaskKey::new(StepName::new(step).unwrap(), target(target_name))
}

fn envelope<E>(event: E) -> Envelope<E> {
    Envelope {
        id: Uuid::new_v4(),
        schema: SCHEMA,
        at: chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        actor: Actor::Planner { id: "planner-1".into() },
        trace: None,
        events: vec![event],
    }
}

fn started() -> Entry {
    Entry::Plan(envelope(PlanEvent::Started { policy: 0 }))
}

fn checkpoint(intent: &str) -> Entry {
    Entry::Task(envelope(TaskEvent::Checkpoint { intent: intent.to_owned() }))
}

fn plan() -> Address {
    Address::Plan(deployment())
}
