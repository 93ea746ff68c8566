//! Single reads from the log: through the leader, or by Direct Get where that is all one may.

use std::time::{Duration, Instant};

use async_nats::jetstream::{
    message::StreamMessage,
    stream::{DirectGetErrorKind, Info, LastRawMessageErrorKind},
};
use slipway_domain::{
    event::{Address, Entry, Recorded},
    presence::Mark,
};

use crate::{
    Bus, BusError,
    archive::written_first,
    envelope::{self, Unpacked},
    stream, subject,
};

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(1);
/// How long a replica may lag behind what the leader said before the message counts as purged.
const LAG: Duration = Duration::from_secs(10);

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// Through the stream's leader: never stale.
    Leader,
    /// From any replica: may be stale, never wrong.
    Direct,
}

/// One question to the server.
#[derive(Clone, Copy)]
enum Read<'a> {
    /// The last message on a subject.
    Last { subject: &'a str },
    /// The message at a sequence.
    At { seq: u64 },
    /// The first message on a subject after a sequence.
    After { via: Via, subject: &'a str, after: u64 },
}

impl Read<'_> {
    /// The API subject that permissions speak of.
    fn api(self) -> String {
        let verb = match self {
            Self::After { via: Via::Direct, .. } => "DIRECT.GET",
            _ => "STREAM.MSG.GET",
        };
        format!("$JS.API.{verb}.{}", stream::DEPLOYMENTS)
    }
}

impl Bus {
    /// The last sequence of the whole log; 0 if it is empty. Never stale.
    pub async fn head(&self) -> Result<u64, BusError> {
        Ok(self.log_info().await?.state.last_sequence)
    }

    /// The message at a place of the log, if it is still there. Never stale.
    pub async fn mark_at(&self, seq: u64) -> Result<Option<Mark>, BusError> {
        let found = self.message(Read::At { seq }).await?;
        Ok(found.map(|message| Mark { seq, id: envelope::id(&message.payload).unwrap_or_default() }))
    }

    /// How full the log is: bytes used by `max_bytes`, 1.0 is full. 0.0 if it has no limit.
    pub async fn fill(&self) -> Result<f64, BusError> {
        let info = self.log_info().await?;
        #[expect(clippy::cast_precision_loss, reason = "a share of a size; nobody counts the last bytes")]
        let (used, most) = (info.state.bytes as f64, info.config.max_bytes as f64);
        Ok(if most > 0.0 { used / most } else { 0.0 })
    }

    async fn log_info(&self) -> Result<Info, BusError> {
        let ask = || async { self.inner.log.get_info().await.map_err(|e| e.to_string()) };
        self.insist(&format!("$JS.API.STREAM.INFO.{}", stream::DEPLOYMENTS), ask).await
    }

    /// The last sequence at an address; 0 if there is none. Never stale.
    pub async fn head_of(&self, address: &Address) -> Result<u64, BusError> {
        let subject = subject::of(address);
        Ok(self.message(Read::Last { subject: &subject }).await?.map_or(0, |m| m.sequence))
    }

    /// The first message at an address after a sequence. Never stale.
    pub async fn after(&self, address: &Address, after: u64) -> Result<Option<Recorded>, BusError> {
        self.recorded_after(Via::Leader, address, after, 0).await
    }

    /// As [`Bus::after`], for services that may only read by Direct Get. Never older than `seen`, a sequence that is
    /// known to be there (0: none is).
    pub async fn after_direct(&self, address: &Address, after: u64, seen: u64) -> Result<Option<Recorded>, BusError> {
        self.recorded_after(Via::Direct, address, after, seen).await
    }

    async fn recorded_after(
        &self,
        via: Via,
        address: &Address,
        after: u64,
        seen: u64,
    ) -> Result<Option<Recorded>, BusError> {
        let subject = subject::of(address);
        let Some(message) = self.first_after(via, &subject, after, seen).await? else { return Ok(None) };
        let (seq, at) = (message.sequence, written_first(Some(&message.headers)).unwrap_or(message.time));
        let entry = self.unpack(seq, address, &message.payload).await?;
        Ok(Some(Recorded { seq, at, address: address.clone(), entry }))
    }

    /// The entry that a message holds, or names.
    pub(crate) async fn unpack(&self, seq: u64, address: &Address, payload: &[u8]) -> Result<Entry, BusError> {
        let unreadable = |reason| BusError::Unreadable { seq, subject: subject::of(address), reason };
        let blob = match envelope::unpack(address, payload).map_err(unreadable)? {
            Unpacked::Entry(entry) => return Ok(entry),
            Unpacked::Blob(blob) => blob,
        };
        let packed = self.get_blob(&blob).await?;
        match envelope::unpack(address, &packed).map_err(unreadable)? {
            Unpacked::Entry(entry) => Ok(entry),
            Unpacked::Blob(_) => Err(unreadable("its blob names another blob".to_owned())),
        }
    }

    /// The first message on a subject after a sequence. A replica is asked again until it has `seen`.
    pub(crate) async fn first_after(
        &self,
        via: Via,
        subject: &str,
        after: u64,
        seen: u64,
    ) -> Result<Option<StreamMessage>, BusError> {
        let started = Instant::now();
        let mut pause = FIRST_RETRY;
        loop {
            let found = self.message(Read::After { via, subject, after }).await?;
            let lagging = via == Via::Direct && seen > after && started.elapsed() < LAG;
            if found.is_some() || !lagging {
                return Ok(found);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    }

    async fn message(&self, read: Read<'_>) -> Result<Option<StreamMessage>, BusError> {
        self.insist(&read.api(), || self.read_once(read)).await
    }

    async fn read_once(&self, read: Read<'_>) -> Result<Option<StreamMessage>, String> {
        let log = &self.inner.log;
        let leader = match read {
            Read::Last { subject } => log.raw_message_builder().last_by_subject(subject).send().await,
            Read::At { seq } => log.raw_message_builder().sequence(seq).send().await,
            Read::After { via: Via::Leader, subject, after } => {
                log.raw_message_builder().sequence(after + 1).next_by_subject(subject).send().await
            }
            Read::After { via: Via::Direct, subject, after } => {
                return match log.direct_get_builder().sequence(after + 1).next_by_subject(subject).send().await {
                    Ok(message) => Ok(Some(message)),
                    Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error.to_string()),
                };
            }
        };
        match leader {
            Ok(message) => Ok(Some(message)),
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Asks until there is an answer, unless the server denies the question.
    pub(crate) async fn insist<T, F>(&self, api: &str, ask: impl Fn() -> F) -> Result<T, BusError>
    where
        F: Future<Output = Result<T, String>>,
    {
        let mut pause = FIRST_RETRY;
        let mut generation = self.generation();
        loop {
            let started = Instant::now();
            let answer = tokio::select! {
                biased;
                answer = ask() => answer,
                // The answer to a question over a lost connection never comes.
                _ = generation.changed() => continue,
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(_) if self.denied_since(api, started) => {
                    return Err(BusError::Denied { subject: api.to_owned() });
                }
                Err(reason) => tracing::warn!(api, reason, "a read of the log failed; trying again"),
            }
            self.wait_connected(LAST_RETRY).await;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    }
}
