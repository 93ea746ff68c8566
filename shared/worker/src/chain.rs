//! The subject of a held task as its holder sees it: the head it appends to, and when it last proved
//! that it still holds.

use std::time::{Duration, Instant};

use chrono::Utc;
use slipway_bus::{Appended, Bus, BusError};
use slipway_domain::event::{Actor, Address, Entry, Envelope, Recorded, SCHEMA, TaskEvent};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Fenced;

/// An effect may begin only this long after a stored append was sent.
const FRESH: Duration = Duration::from_secs(2);
/// Pause before trying again when the log is full or refuses for now.
const NO_ROOM: Duration = Duration::from_secs(2);

/// Appends on one held subject, one after the other.
pub(crate) struct Chain {
    pub(crate) bus: Bus,
    pub(crate) address: Address,
    pub(crate) actor: Actor,
    pub(crate) epoch: u64,
    head: u64,
    confirmed: Instant,
    cancelled: CancellationToken,
    fenced: CancellationToken,
    cancel_issued: bool,
}

/// What a claim came to.
pub(crate) enum Claim {
    Won { epoch: u64, sent: Instant },
    Lost,
}

impl Chain {
    pub(crate) async fn claim(
        bus: &Bus,
        address: &Address,
        actor: &Actor,
        expected: u64,
        event: TaskEvent,
    ) -> Result<Claim, BusError> {
        let sent = Instant::now();
        let appended = bus.append_direct(address, expected, &entry(actor, event)).await?;
        Ok(appended.seq().map_or(Claim::Lost, |epoch| Claim::Won { epoch, sent }))
    }

    pub(crate) fn new(
        bus: Bus,
        address: Address,
        actor: Actor,
        (epoch, sent): (u64, Instant),
        cancelled: CancellationToken,
        fenced: CancellationToken,
    ) -> Self {
        Self { bus, address, actor, epoch, head: epoch, confirmed: sent, cancelled, fenced, cancel_issued: false }
    }

    /// Whether an append was sent so lately that nobody can have taken the task.
    pub(crate) fn is_fresh(&self) -> bool {
        self.confirmed.elapsed() < FRESH
    }

    /// Appends on whatever head there is by then, unless the claim is lost. The event is asked for anew for each head,
    /// with whether the planner has asked the task to stop by then.
    pub(crate) async fn append(&mut self, event: impl Fn(bool) -> TaskEvent) -> Result<(), Fenced> {
        loop {
            if self.fenced.is_cancelled() {
                return Err(Fenced);
            }
            let entry = entry(&self.actor, event(self.cancel_issued));
            let sent = Instant::now();
            match self.bus.append_direct(&self.address, self.head, &entry).await {
                Ok(Appended::Stored(seq) | Appended::Mine(seq)) => {
                    self.head = seq;
                    self.confirmed = sent;
                    return Ok(());
                }
                Ok(Appended::Lost { head }) => self.catch_up(head).await?,
                Err(error @ (BusError::Full { .. } | BusError::NoAnswer { .. })) => {
                    tracing::error!(%error, "an event of a held task can not be stored; trying again");
                    tokio::time::sleep(NO_ROOM).await;
                }
                Err(error) => {
                    tracing::error!(%error, "an event of a held task can not be stored; letting the task go");
                    self.fenced.cancel();
                }
            }
        }
    }

    /// Reads what others wrote. `seen` is a sequence that is known to be there.
    pub(crate) async fn catch_up(&mut self, seen: u64) -> Result<(), Fenced> {
        loop {
            match self.bus.after_direct(&self.address, self.head, seen).await {
                Ok(Some(recorded)) => self.take(&recorded),
                Ok(None) => break,
                Err(BusError::Unreadable { seq, reason, .. }) => {
                    tracing::error!(seq, reason, "an event of a held task can not be read; letting the task go");
                    self.fenced.cancel();
                }
                Err(error) => {
                    tracing::error!(%error, "a held task can not be looked at");
                    break;
                }
            }
            if self.fenced.is_cancelled() {
                break;
            }
        }
        if self.fenced.is_cancelled() { Err(Fenced) } else { Ok(()) }
    }

    /// Makes sure, after the connection was lost, that the log still has the claim.
    pub(crate) async fn check_claim(&mut self) -> Result<(), Fenced> {
        let found = self.bus.after_direct(&self.address, self.epoch - 1, self.epoch).await;
        let mine = match &found {
            Ok(Some(recorded)) => recorded.seq == self.epoch && recorded.entry.actor() == &self.actor,
            Ok(None) => false,
            // Not known is not gone; the next look asks again.
            Err(_) => true,
        };
        if mine {
            return self.catch_up(0).await;
        }
        tracing::error!(epoch = self.epoch, "LOG_REGRESSION: the log no longer has this claim; letting the task go");
        self.fenced.cancel();
        Err(Fenced)
    }

    fn take(&mut self, recorded: &Recorded) {
        self.head = recorded.seq;
        let Entry::Task(envelope) = &recorded.entry else { return };
        if envelope.actor == self.actor {
            return;
        }
        for event in &envelope.events {
            match event {
                TaskEvent::CancelIssued => {
                    self.cancel_issued = true;
                    self.cancelled.cancel();
                }
                TaskEvent::Checkpoint { .. } => {}
                // Whatever else another one wrote, it ended this claim.
                _ => self.fenced.cancel(),
            }
        }
    }
}

fn entry(actor: &Actor, event: TaskEvent) -> Entry {
    Entry::Task(Envelope {
        id: Uuid::new_v4(),
        schema: SCHEMA,
        at: Utc::now(),
        actor: actor.clone(),
        trace: slipway_service::telemetry::traceparent(),
        events: vec![event],
    })
}
