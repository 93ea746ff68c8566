//! What can be done, whoever asks: the API, a trigger or a page. A rule exists once.

pub mod board;
pub mod demo;
pub mod deployments;
pub mod freezes;
pub mod gates;
pub mod inspections;
pub mod manifests;
pub mod plans;
pub mod progression;
pub mod releases;
pub mod repair;
pub mod request;
pub mod retention;
pub mod secrets;
pub mod tokens;
pub mod webhooks;

use chrono::Utc;
use slipway_domain::event::{Actor, Envelope, SCHEMA};
use slipway_store::Audit;
use uuid::Uuid;

use crate::problem::Problem;

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

/// A reason as a person gave it, which must be there.
fn said(reason: &str) -> Result<String, Problem> {
    match reason.trim() {
        "" => {
            Err(Problem::unprocessable("reason-missing", "say why: it is what others read who wonder about it later"))
        }
        said if said.chars().count() > 1_000 => {
            Err(Problem::unprocessable("reason-missing", "the reason has more than 1,000 characters; say it shorter"))
        }
        said => Ok(said.to_owned()),
    }
}

/// An audit entry for what happens now.
pub(crate) fn audit(actor: &Actor, action: &'static str, subject: String, detail: impl Into<String>) -> Audit {
    Audit { at: Utc::now(), actor: actor.clone(), action, subject, detail: detail.into() }
}
