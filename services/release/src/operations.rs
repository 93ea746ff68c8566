//! What can be done, whoever asks: the API, a trigger or a page. A rule exists once.

pub mod board;
pub mod demo;
pub mod deployments;
pub mod freezes;
pub mod gates;
pub mod manifests;
pub mod progression;
pub mod releases;
pub mod request;
pub mod secrets;
pub mod tokens;
pub mod webhooks;

use chrono::Utc;
use slipway_domain::event::{Actor, Envelope, SCHEMA};
use slipway_store::Audit;
use uuid::Uuid;

/// An envelope by this actor, now.
pub fn envelope<E>(actor: Actor, event: E) -> Envelope<E> {
    Envelope {
        id: Uuid::now_v7(),
        schema: SCHEMA,
        at: Utc::now(),
        actor,
        trace: slipway_service::telemetry::traceparent(),
        events: vec![event],
    }
}

/// An audit entry for what happens now.
fn audit(actor: &Actor, action: &'static str, subject: String, detail: impl Into<String>) -> Audit {
    Audit { at: Utc::now(), actor: actor.clone(), action, subject, detail: detail.into() }
}
