//! Following a stream in order, through anything: an ordered pull consumer that is made again from
//! the last sequence seen whenever the server forgets it.
//!
//! `next` may be dropped and called again at any time without losing a message or progress.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull},
};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{Bus, BusError};

const HEARTBEAT: Duration = Duration::from_secs(5);
const EXPIRES: Duration = Duration::from_secs(30);
/// The server forgets a consumer that nobody pulls from for this long.
const FORGET: Duration = Duration::from_secs(60);
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What is followed.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) stream: &'static str,
    /// The subjects; at least one.
    pub(crate) filters: Vec<String>,
    pub(crate) start: Start,
    /// Messages asked for at a time: many are fast, few keep a slow reader small.
    pub(crate) batch: usize,
    /// What it means when the stream ends before what was seen.
    pub(crate) cut_tail: CutTail,
}

/// What it means when a stream has lost its last messages, as after a crash or when it was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CutTail {
    /// The truth is gone; nothing may go on.
    Regression,
    /// A pity; reading goes on with what is new.
    Forgiven,
}

/// Where following begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// At this sequence, and after a break behind the last one seen.
    Sequence(u64),
    /// With the last message of every subject, after a break again.
    LastPerSubject,
}

/// What following brings.
#[expect(clippy::large_enum_variant, reason = "nearly every item is a message; a box would cost each an allocation")]
pub(crate) enum Item {
    /// A consumer was made; that many messages wait for it now.
    Opened { pending: u64 },
    /// It broke; another one will be made.
    Broken,
    /// A message.
    Message(Message),
}

/// A message of a stream.
pub(crate) struct Message {
    pub(crate) seq: u64,
    pub(crate) at: DateTime<Utc>,
    /// How many more there were when the server sent it.
    pub(crate) pending: u64,
    pub(crate) body: async_nats::Message,
}

type Opening = Pin<Box<dyn Future<Output = Result<Opened, BusError>> + Send>>;

struct Opened {
    messages: pull::Stream,
    pending: u64,
    last: Option<Last>,
}

enum State {
    Opening(Opening),
    Open(Box<pull::Stream>),
}

pub(crate) struct Tail {
    bus: Bus,
    source: Source,
    last: Option<Last>,
    delivered: u64,
    generation: watch::Receiver<u64>,
    state: State,
}

/// The last message delivered.
#[derive(Debug, Clone)]
struct Last {
    seq: u64,
    at: DateTime<Utc>,
    /// By which it is known again after a reconnect.
    payload: bytes::Bytes,
}

impl Tail {
    pub(crate) fn new(bus: &Bus, source: Source) -> Self {
        let opening = open(bus.clone(), source.clone(), None);
        Self {
            generation: bus.generation(),
            bus: bus.clone(),
            source,
            last: None,
            delivered: 0,
            state: State::Opening(opening),
        }
    }

    /// What comes next. An error is final: denied, or a log that has lost what was seen.
    pub(crate) async fn next(&mut self) -> Result<Item, BusError> {
        loop {
            match &mut self.state {
                State::Opening(opening) => {
                    let opened = opening.await;
                    let Opened { messages, pending, last } = match opened {
                        Ok(opened) => opened,
                        Err(error) => {
                            self.reopen();
                            return Err(error);
                        }
                    };
                    self.delivered = 0;
                    self.last = last;
                    self.state = State::Open(Box::new(messages));
                    return Ok(Item::Opened { pending });
                }
                State::Open(messages) => {
                    let next = match messages.next().now_or_never() {
                        Some(next) => next,
                        None => tokio::select! {
                            biased;
                            next = messages.next() => next,
                            _ = self.generation.changed() => None,
                        },
                    };
                    let Some(Ok(message)) = next else {
                        self.reopen();
                        return Ok(Item::Broken);
                    };
                    match self.take(message) {
                        Ok(Some(message)) => return Ok(Item::Message(message)),
                        Ok(None) => {}
                        Err(Gap) => {
                            self.reopen();
                            return Ok(Item::Broken);
                        }
                    }
                }
            }
        }
    }

    /// The message, unless it was seen before.
    fn take(&mut self, message: jetstream::Message) -> Result<Option<Message>, Gap> {
        let info = message.info().map_err(|_| Gap)?;
        let (seq, at, pending) = (info.stream_sequence, info.published, info.pending);
        if info.consumer_sequence != self.delivered + 1 {
            return Err(Gap);
        }
        self.delivered += 1;
        if matches!(self.source.start, Start::Sequence(_)) {
            if self.last.as_ref().is_some_and(|last| seq <= last.seq) {
                return Ok(None);
            }
            self.last = Some(Last { seq, at, payload: message.payload.clone() });
        }
        let (body, _) = message.split();
        Ok(Some(Message { seq, at, pending, body }))
    }

    fn reopen(&mut self) {
        self.generation.mark_unchanged();
        self.state = State::Opening(open(self.bus.clone(), self.source.clone(), self.last.clone()));
    }
}

/// The consumer skipped something, or what it sent is none of a stream's.
struct Gap;

fn open(bus: Bus, source: Source, last: Option<Last>) -> Opening {
    Box::pin(async move {
        let mut pause = FIRST_RETRY;
        let mut complained = Instant::now();
        loop {
            bus.wait_connected(LAST_RETRY).await;
            let started = Instant::now();
            let reason = match tokio::time::timeout(OPEN_TIMEOUT, open_once(&bus, &source, last.clone())).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(Failed::Final(error))) => return Err(error),
                Ok(Err(Failed::Retry(reason))) => reason,
                Err(_) => "no answer in time".to_owned(),
            };
            let denied = format!("$JS.API.CONSUMER.CREATE.{}", source.stream);
            if bus.inner.signals.denials.prefix_since(&denied, started) {
                return Err(BusError::Denied { subject: format!("{denied}.>") });
            }
            if complained.elapsed() >= COMPLAIN_EVERY {
                complained = Instant::now();
                tracing::warn!(stream = source.stream, reason, "cannot follow a stream; trying again until it works");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    })
}

enum Failed {
    Retry(String),
    Final(BusError),
}

impl Failed {
    fn retry(error: impl std::fmt::Display) -> Self {
        Self::Retry(error.to_string())
    }
}

async fn open_once(bus: &Bus, source: &Source, last: Option<Last>) -> Result<Opened, Failed> {
    let js = &bus.inner.js;
    let stream = js.get_stream_no_info(source.stream).await.map_err(Failed::retry)?;
    let (deliver_policy, last) = match (source.start, last) {
        (Start::LastPerSubject, _) => (DeliverPolicy::LastPerSubject, None),
        (Start::Sequence(from), None) => (DeliverPolicy::ByStartSequence { start_sequence: from.max(1) }, None),
        (Start::Sequence(_), Some(last)) => match (is_cut(&stream, &last).await?, source.cut_tail) {
            (false, _) => (DeliverPolicy::ByStartSequence { start_sequence: last.seq + 1 }, Some(last)),
            (true, CutTail::Regression) => return Err(Failed::Final(BusError::Regression { seq: last.seq })),
            // Sequences begin again where the stream was cut; only time still tells what is new.
            (true, CutTail::Forgiven) => {
                (DeliverPolicy::ByStartTime { start_time: last.at + TimeDelta::nanoseconds(1) }, None)
            }
        },
    };
    // The server tells one filter from many by where they are.
    let (filter_subject, filter_subjects) = match &source.filters[..] {
        [only] => (only.clone(), Vec::new()),
        many => (String::new(), many.to_vec()),
    };
    let config = pull::Config {
        name: Some(format!("{}-{}", bus.inner.name, Uuid::new_v4().simple())),
        deliver_policy,
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        filter_subject,
        filter_subjects,
        max_deliver: 1,
        inactive_threshold: FORGET,
        num_replicas: 1,
        memory_storage: true,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(Failed::retry)?;
    let pending = consumer.cached_info().num_pending;
    let messages = consumer
        .stream()
        .max_messages_per_batch(source.batch)
        .heartbeat(HEARTBEAT)
        .expires(EXPIRES)
        .messages()
        .await
        .map_err(Failed::retry)?;
    Ok(Opened { messages, pending, last })
}

/// Whether the stream ends before the last message seen, or has something else in its place.
async fn is_cut(stream: &jetstream::stream::Stream<()>, last: &Last) -> Result<bool, Failed> {
    let info = stream.get_info().await.map_err(Failed::retry)?;
    // Nothing there says nothing: it may have been purged, or the replica lags.
    Ok(info.state.last_sequence < last.seq
        || matches!(stream.direct_get(last.seq).await, Ok(found) if found.payload != last.payload))
}
