//! The fold: every message of the log, in order, each exactly once.

use slipway_domain::{event::Recorded, id::DeploymentId};

use crate::{
    Bus, BusError, envelope, stream, subject,
    tail::{CutTail, Item, Message, Source, Start, Tail},
};

/// Enough to keep a replay busy.
const BATCH: usize = 2000;

/// A reader of the log that survives reconnects and restarts of the server.
pub struct Fold {
    tail: Tail,
}

impl Bus {
    /// Every message of the log from a sequence on.
    pub fn fold(&self, from: u64) -> Fold {
        self.fold_subject(subject::DEPLOYMENTS.to_owned(), from)
    }

    /// Every message of one deployment from a sequence on.
    pub fn fold_deployment(&self, id: DeploymentId, from: u64) -> Fold {
        self.fold_subject(subject::deployment(id), from)
    }

    fn fold_subject(&self, filter: String, from: u64) -> Fold {
        let source = Source {
            stream: stream::DEPLOYMENTS,
            filter,
            start: Start::Sequence(from),
            batch: BATCH,
            cut_tail: CutTail::Regression,
        };
        Fold { tail: Tail::new(self, source) }
    }
}

impl Fold {
    /// The next message. May be dropped while waiting and called again.
    ///
    /// # Errors
    /// [`BusError::Unreadable`] names a message that this version can not read; the next call goes on after it.
    /// [`BusError::Regression`] and [`BusError::Denied`] will not go away.
    pub async fn next(&mut self) -> Result<Recorded, BusError> {
        loop {
            if let Item::Message(message) = self.tail.next().await? {
                return recorded(&message);
            }
        }
    }
}

fn recorded(message: &Message) -> Result<Recorded, BusError> {
    let subject = message.body.subject.as_str();
    let unreadable = |reason| BusError::Unreadable { seq: message.seq, subject: subject.to_owned(), reason };
    let address = subject::parse(subject).ok_or_else(|| unreadable("its subject is none of the log's".to_owned()))?;
    let entry = envelope::unpack(&address, &message.body.payload).map_err(unreadable)?;
    Ok(Recorded { seq: message.seq, at: message.at, address, entry })
}
