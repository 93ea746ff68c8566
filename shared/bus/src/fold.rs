//! The fold: every message of the log, in order, each exactly once.

use slipway_domain::{event::Recorded, id::DeploymentId};

use crate::{
    Bus, BusError,
    archive::written_first,
    stream, subject,
    tail::{CutTail, Item, Message, Source, Start, Tail},
};

/// Enough to keep a replay busy.
const BATCH: usize = 2000;

/// A reader of the log that survives reconnects and restarts of the server.
pub struct Fold {
    bus: Bus,
    tail: Tail,
    /// Taken from the tail, and not given out: its envelope is being fetched.
    fetching: Option<Message>,
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
        Fold { bus: self.clone(), tail: self.tail_of_log(filter, from), fetching: None }
    }

    /// The messages of the log on these subjects from a sequence on, as they are.
    pub(crate) fn tail_of_log(&self, filter: String, from: u64) -> Tail {
        let source = Source {
            stream: stream::DEPLOYMENTS,
            filter,
            start: Start::Sequence(from),
            batch: BATCH,
            cut_tail: CutTail::Regression,
        };
        Tail::new(self, source)
    }
}

impl Fold {
    /// The next message. May be dropped while waiting and called again.
    ///
    /// # Errors
    /// [`BusError::Unreadable`] names a message that this version can not read; the next call goes on after it.
    /// [`BusError::Regression`] and [`BusError::Denied`] will not go away.
    pub async fn next(&mut self) -> Result<Recorded, BusError> {
        while self.fetching.is_none() {
            if let Item::Message(message) = self.tail.next().await? {
                self.fetching = Some(message);
            }
        }
        let Some(message) = &self.fetching else { unreachable!("invariant: set above") };
        let recorded = recorded(&self.bus, message).await;
        self.fetching = None;
        recorded
    }
}

async fn recorded(bus: &Bus, message: &Message) -> Result<Recorded, BusError> {
    let subject = message.body.subject.as_str();
    let unreadable = |reason| BusError::Unreadable { seq: message.seq, subject: subject.to_owned(), reason };
    let address = subject::parse(subject).ok_or_else(|| unreadable("its subject is none of the log's".to_owned()))?;
    let entry = bus.unpack(message.seq, &address, &message.body.payload).await?;
    let at = written_first(message.body.headers.as_ref()).unwrap_or(message.at);
    Ok(Recorded { seq: message.seq, at, address, entry })
}
