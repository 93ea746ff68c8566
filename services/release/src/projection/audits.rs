//! Audit entries for what persons and triggers did through the log. They are written with the
//! fold, so a deed is audited exactly when it is in the log.

use slipway_domain::event::{Address, Entry, GateEvent, GateScope, PlanEvent, Recorded};
use slipway_store::Audit;

/// The deeds among these messages.
pub fn of(events: &[Recorded]) -> Vec<Audit> {
    events.iter().flat_map(deeds).collect()
}

fn deeds(recorded: &Recorded) -> Vec<Audit> {
    let entry = |action, detail| Audit {
        at: recorded.at,
        actor: recorded.entry.actor().clone(),
        action,
        subject: subject(&recorded.address),
        detail,
    };
    match &recorded.entry {
        Entry::Plan(envelope) => envelope
            .events
            .iter()
            .filter_map(|event| match event {
                PlanEvent::Requested { request } => {
                    let what = format!("{} {} to {}", request.project(), request.release.version, request.environment);
                    Some(match &request.ignores {
                        None => entry("deployment.request", what),
                        Some(ignores) => entry("deployment.ignore-freeze", format!("{what}, ignoring {ignores}")),
                    })
                }
                PlanEvent::CancelRequested { reason } => Some(entry("deployment.cancel", reason.clone())),
                PlanEvent::Paused { reason } => Some(entry("deployment.pause", reason.clone())),
                PlanEvent::Resumed => Some(entry("deployment.resume", String::new())),
                PlanEvent::Abandoned { reason } => Some(entry("deployment.abandon", reason.clone())),
                _ => None,
            })
            .collect(),
        Entry::Gate(envelope) => envelope
            .events
            .iter()
            .filter_map(|event| match event {
                GateEvent::Voted { verdict, note, .. } => {
                    let note = note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
                    Some(entry("gate.vote", format!("{verdict}{note}")))
                }
                _ => None,
            })
            .collect(),
        Entry::Task(_) => Vec::new(),
    }
}

fn subject(address: &Address) -> String {
    match address {
        Address::Gate(id, step, GateScope::All) => format!("deployment/{id}/gate/{step}"),
        Address::Gate(id, step, GateScope::Target(target)) => format!("deployment/{id}/gate/{step}@{target}"),
        address => format!("deployment/{}", address.deployment()),
    }
}
