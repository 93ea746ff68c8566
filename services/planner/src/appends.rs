//! Decisions on their way into the log. One at a time per subject, and none before the answer to
//! the last one was folded back: so a decision always rests on what is there.

use std::collections::HashMap;

use chrono::Utc;
use slipway_bus::{Appended, Bus, BusError};
use slipway_domain::{
    event::{Actor, Address, Entry, Envelope, SCHEMA, TaskEvent},
    id::{DeploymentId, TaskKey},
    name::HolderName,
};
use slipway_engine::{Decision, decide::Events};
use slipway_service::{failpoint, telemetry};
use tokio::task::JoinSet;
use tracing::Instrument as _;
use uuid::Uuid;

/// What became of an append.
pub type Answer = (Address, Result<Appended, BusError>);

/// The appends that are under way.
pub struct Appends {
    bus: Bus,
    id: HolderName,
    /// Per subject: what must be folded before the next append; none while the answer is out.
    waiting: HashMap<Address, Option<u64>>,
    answers: JoinSet<Answer>,
}

impl Appends {
    /// None yet.
    pub fn new(bus: Bus, id: HolderName) -> Self {
        Self { bus, id, waiting: HashMap::new(), answers: JoinSet::new() }
    }

    /// Whether a decision can be written now: its subject does not wait.
    pub fn can_start(&self, decision: &Decision) -> bool {
        !self.waiting.contains_key(&decision.address)
    }

    /// Starts an append, unless its subject waits. `trace` is the deployment's `traceparent`.
    pub fn start(&mut self, decision: Decision, trace: Option<&str>) {
        if !self.can_start(&decision) {
            return;
        }
        self.waiting.insert(decision.address.clone(), None);
        let span = tracing::info_span!("decide", deployment.id = %decision.address.deployment());
        telemetry::continue_from(&span, trace);
        let actor = Actor::Planner { id: self.id.to_string() };
        let entry = span.in_scope(|| entry(decision.events, actor));
        let append = append(self.bus.clone(), decision.address, decision.expected, entry);
        self.answers.spawn(append.instrument(span));
    }

    /// The next answer; pending while none is out.
    pub async fn answer(&mut self) -> Answer {
        loop {
            match self.answers.join_next().await {
                Some(Ok(answer)) => return answer,
                Some(Err(error)) => tracing::error!(%error, "an append died"),
                None => std::future::pending::<()>().await,
            }
        }
    }

    /// Takes an answer in: the subject waits until the log is folded up to it.
    pub fn answered(&mut self, address: Address, answer: &Result<Appended, BusError>, head: u64) {
        match answer {
            Ok(Appended::Stored(seq) | Appended::Mine(seq) | Appended::Lost { head: seq }) if *seq > head => {
                self.waiting.insert(address, Some(*seq));
            }
            _ => {
                self.waiting.remove(&address);
            }
        }
    }

    /// The log is folded up to `head` on a subject: it need not wait any longer.
    pub fn folded(&mut self, address: &Address, head: u64) {
        if self.waiting.get(address).is_some_and(|until| until.is_some_and(|seq| seq <= head)) {
            self.waiting.remove(address);
        }
    }
}

/// Writes an entry; a holder that was told to stop is also nudged.
async fn append(bus: Bus, address: Address, expected: u64, entry: Entry) -> Answer {
    failpoint!(format!("planner.{}.before", word(&entry)));
    let answer = bus.append(&address, expected, &entry).await;
    failpoint!(format!("planner.{}.after", word(&entry)));
    if let (Ok(Appended::Stored(_) | Appended::Mine(_)), Some((id, key))) = (&answer, nudged(&address, &entry))
        && let Err(error) = bus.nudge_cancel(id, &key).await
    {
        tracing::debug!(%error, "the holder was not nudged; it looks by itself");
    }
    (address, answer)
}

/// The last event of an entry, in its word of the wire.
fn word(entry: &Entry) -> String {
    let json = entry.to_json().ok().and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
    let last = json.as_ref().and_then(|entry| entry["events"].as_array()?.last()?["event"].as_str());
    last.unwrap_or("nothing").to_owned()
}

/// The task whose holder an entry tells something.
fn nudged(address: &Address, entry: &Entry) -> Option<(DeploymentId, TaskKey)> {
    match (address, entry) {
        (Address::Task(id, key), Entry::Task(envelope)) if envelope.events.iter().any(is_for_holder) => {
            Some((*id, key.clone()))
        }
        _ => None,
    }
}

fn is_for_holder(event: &TaskEvent) -> bool {
    matches!(event, TaskEvent::CancelIssued | TaskEvent::Told { .. })
}

fn entry(events: Events, actor: Actor) -> Entry {
    let (id, at, trace) = (Uuid::new_v4(), Utc::now(), telemetry::traceparent());
    match events {
        Events::Plan(events) => Entry::Plan(Envelope { id, schema: SCHEMA, at, actor, trace, events }),
        Events::Task(events) => Entry::Task(Envelope { id, schema: SCHEMA, at, actor, trace, events }),
        Events::Gate(events) => Entry::Gate(Envelope { id, schema: SCHEMA, at, actor, trace, events }),
    }
}
