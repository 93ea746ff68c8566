//! The fold of the log while it goes on: fed by [`follow`], asked by the HTTP face.

use std::sync::{Arc, RwLock};

use slipway_bus::{Bus, BusError};
use slipway_service::readiness::Readiness;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    edits::Batch,
    gates::{Gates, Refusal, Ruling},
    slack::interaction::Press,
};

/// The component that [`Readiness`] knows it by.
pub const COMPONENT: &str = "fold";

/// The gates, as far as folded.
#[derive(Debug)]
pub struct Board {
    gates: RwLock<Gates>,
    folded: watch::Sender<u64>,
}

impl Board {
    /// Nothing folded.
    pub fn new() -> Self {
        Self { gates: RwLock::default(), folded: watch::Sender::new(0) }
    }

    /// Judges a press by what is folded so far.
    pub fn judge(&self, press: &Press) -> Result<Ruling, Refusal> {
        self.gates.read().expect("invariant: nobody panics while holding the gates").judge(press)
    }

    /// Waits until the fold has reached that sequence.
    pub async fn reached(&self, seq: u64) {
        // The sender lives in `self`, so the channel can not close meanwhile.
        let _ = self.folded.subscribe().wait_for(|folded| *folded >= seq).await;
    }

    fn apply(&self, recorded: &slipway_domain::event::Recorded) -> Batch {
        let mut gates = self.gates.write().expect("invariant: nobody panics while holding the gates");
        let closings = gates.apply(recorded);
        let seq = gates.folded();
        drop(gates);
        self.folded.send_replace(seq);
        Batch { seq, closings }
    }
}

/// Folds what the log says of gates, from its beginning until shutdown; ready once all that was there is read.
/// Announcements to edit go to `edits`.
pub async fn follow(
    bus: Bus,
    board: Arc<Board>,
    edits: mpsc::UnboundedSender<Batch>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), BusError> {
    let mut fold = bus.fold_gates(1);
    let waiting = tokio::select! {
        waiting = fold.open() => waiting?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let mut behind = waiting > 0;
    readiness.set(COMPONENT, if behind { Err(format!("reading {waiting} messages of the log")) } else { Ok(()) });
    loop {
        let next = tokio::select! {
            next = fold.next() => next,
            () = shutdown.cancelled() => return Ok(()),
        };
        let batch = match next {
            Ok(recorded) => board.apply(&recorded),
            Err(error @ BusError::Unreadable { seq, .. }) => {
                tracing::warn!(%error, "left out of the fold");
                board.folded.send_replace(seq);
                Batch { seq, closings: Vec::new() }
            }
            Err(error) => return Err(error),
        };
        if behind && fold.pending() == 0 {
            behind = false;
            readiness.set(COMPONENT, Ok(()));
        }
        if !batch.closings.is_empty() && edits.send(batch).is_err() {
            return Ok(());
        }
    }
}
