//! The subject of a held task as its holder sees it: the head it appends to, and when it last proved
//! that it still holds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use slipway_bus::{Appended, Bus, BusError};
use slipway_domain::event::{Actor, Address, Entry, Envelope, Recorded, SCHEMA, TaskEvent};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Fenced, held::Tokens};

/// An effect may begin only this long after a stored append was sent.
const FRESH: Duration = Duration::from_secs(2);
/// Pause before trying again when the log is full or refuses for now.
const NO_ROOM: Duration = Duration::from_secs(2);
/// A replica may lag, as after a restart of its server. A claim that was not shown this often is gone.
const MISSES: u32 = 60;

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
    told: Arc<watch::Sender<Option<bool>>>,
    cancel_issued: bool,
    /// How often in a row the log did not show the claim.
    misses: u32,
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

    pub(crate) fn new(bus: Bus, address: Address, actor: Actor, (epoch, sent): (u64, Instant), tokens: Tokens) -> Self {
        Self {
            bus,
            address,
            actor,
            epoch,
            head: epoch,
            confirmed: sent,
            cancelled: tokens.cancelled,
            fenced: tokens.fenced,
            told: tokens.told,
            cancel_issued: false,
            misses: 0,
        }
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
                // What was stored there is there no more.
                Ok(Appended::Lost { head }) if head < self.head => return Err(self.regression()),
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

    /// Whether a checkpoint was stored before this claim and after the last end of an attempt.
    pub(crate) async fn checkpoint_before(&self) -> Result<bool, BusError> {
        let (mut found, mut at) = (false, 0);
        while let Some(recorded) = self.bus.after_direct(&self.address, at, self.epoch).await? {
            if recorded.seq >= self.epoch {
                break;
            }
            at = recorded.seq;
            let Entry::Task(envelope) = recorded.entry else { continue };
            for event in envelope.events {
                match event {
                    TaskEvent::Checkpoint { .. } => found = true,
                    TaskEvent::Failed { .. } => found = false,
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    /// Looks, after the connection was lost, whether the log still has the claim. False: not known, ask again.
    pub(crate) async fn check_claim(&mut self) -> Result<bool, Fenced> {
        let found = match self.bus.after_direct(&self.address, self.epoch - 1, 0).await {
            Ok(Some(recorded)) if recorded.seq == self.epoch && recorded.entry.actor() == &self.actor => Found::Mine,
            Ok(Some(_)) | Err(BusError::Unreadable { .. }) => Found::Other,
            Ok(None) => Found::Nothing { log_ends: self.bus.head().await.ok() },
            Err(error) => {
                tracing::error!(%error, "a held task can not be looked at");
                return Ok(false);
            }
        };
        self.misses = if matches!(found, Found::Nothing { .. }) { self.misses + 1 } else { 0 };
        match found.tells(self.epoch, self.misses) {
            Some(true) => Ok(true),
            Some(false) => Err(self.regression()),
            None => Ok(false),
        }
    }

    fn regression(&self) -> Fenced {
        tracing::error!(epoch = self.epoch, "LOG_REGRESSION: the log no longer has this claim; letting the task go");
        self.fenced.cancel();
        Fenced
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
                TaskEvent::Told { fail } => drop(self.told.send_replace(Some(*fail))),
                TaskEvent::Checkpoint { .. } => {}
                // Whatever else another one wrote, it ended this claim.
                _ => self.fenced.cancel(),
            }
        }
    }
}

/// What is at the place of a claim.
#[derive(Debug, Clone, Copy)]
enum Found {
    Mine,
    Other,
    /// Nothing at the replica that was asked, and where the log ends by its leader.
    Nothing {
        log_ends: Option<u64>,
    },
}

impl Found {
    /// Whether the log has the claim; none if that is not known.
    fn tells(self, epoch: u64, misses: u32) -> Option<bool> {
        match self {
            Self::Mine => Some(true),
            Self::Other => Some(false),
            Self::Nothing { log_ends: Some(end) } if end < epoch => Some(false),
            Self::Nothing { .. } => (misses >= MISSES).then_some(false),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_gone_only_when_something_proves_it_or_it_stays_away() {
        for (found, misses, expected) in [
            (Found::Mine, 0, Some(true)),
            (Found::Other, 0, Some(false)),
            (Found::Nothing { log_ends: Some(6) }, 1, Some(false)),
            // The replica lags.
            (Found::Nothing { log_ends: Some(7) }, 1, None),
            (Found::Nothing { log_ends: None }, MISSES - 1, None),
            (Found::Nothing { log_ends: Some(7) }, MISSES, Some(false)),
        ] {
            assert_eq!(found.tells(7, misses), expected, "{found:?} after {misses}");
        }
    }
}
