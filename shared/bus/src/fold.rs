//! The fold: every message of the log, in order, each exactly once.

use slipway_domain::event::Recorded;

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
    /// How many messages waited behind the last one taken.
    pending: u64,
}

impl Bus {
    /// Every message of the log from a sequence on.
    pub fn fold(&self, from: u64) -> Fold {
        self.fold_subjects(vec![subject::DEPLOYMENTS.to_owned()], from)
    }

    /// What happens to gates and around them, from a sequence on: plans, gates of all targets, and what the notifier did.
    pub fn fold_gates(&self, from: u64) -> Fold {
        self.fold_subjects(subject::around_gates().into(), from)
    }

    fn fold_subjects(&self, filters: Vec<String>, from: u64) -> Fold {
        Fold { bus: self.clone(), tail: self.tail_of_log(filters, from), fetching: None, pending: 0 }
    }

    /// The messages of the log on these subjects from a sequence on, as they are.
    pub(crate) fn tail_of_log(&self, filters: Vec<String>, from: u64) -> Tail {
        let source = Source {
            stream: stream::DEPLOYMENTS,
            filters,
            start: Start::Sequence(from),
            batch: BATCH,
            cut_tail: CutTail::Regression,
        };
        Tail::new(self, source)
    }
}

impl Fold {
    /// Waits until the server gives messages; how many there are. May be dropped while waiting and called again.
    ///
    /// # Errors
    /// As [`Fold::next`], but never about one message.
    pub async fn open(&mut self) -> Result<u64, BusError> {
        loop {
            match self.tail.next().await? {
                Item::Opened { pending } => self.pending = pending,
                Item::Broken => continue,
                Item::Message(message) => self.take(message),
            }
            return Ok(self.pending + u64::from(self.fetching.is_some()));
        }
    }

    /// How many messages waited behind the last one when the server sent it.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    fn take(&mut self, message: Message) {
        self.pending = message.pending;
        self.fetching = Some(message);
    }

    /// The next message. May be dropped while waiting and called again.
    ///
    /// # Errors
    /// [`BusError::Unreadable`] names a message that this version can not read; the next call goes on after it.
    /// [`BusError::Regression`] and [`BusError::Denied`] will not go away.
    pub async fn next(&mut self) -> Result<Recorded, BusError> {
        while self.fetching.is_none() {
            match self.tail.next().await? {
                Item::Message(message) => self.take(message),
                Item::Opened { pending } => self.pending = pending,
                Item::Broken => {}
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
