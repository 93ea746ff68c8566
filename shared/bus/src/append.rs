//! Appending to the log with compare-and-set, and the three answers: never "maybe".

use std::time::{Duration, Instant};

use async_nats::{
    header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE},
    jetstream::{self, context::PublishErrorKind},
};
use bytes::Bytes;
use slipway_domain::event::{Address, Entry};
use uuid::Uuid;

use crate::{Bus, BusError, MAX_ENVELOPE, envelope, read::Via, stream, subject};

/// The server's code for a lost compare-and-set that names the head.
const WRONG_LAST: u64 = 10071;
/// Its code for one that does not; replicated streams answer it while another write is in flight.
const WRONG_LAST_UNNUMBERED: u64 = 10164;
/// Pause before appending again after the unnumbered code.
const IN_FLIGHT: Duration = Duration::from_millis(50);
const ACK_TIMEOUT: Duration = Duration::from_secs(3);
/// A denied publish is never acked; so look for the server's complaint this often.
const LOOK_FOR_DENIAL: Duration = Duration::from_millis(250);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);
const TRACEPARENT: &str = "traceparent";

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log, at this sequence.
    Stored(u64),
    /// It was in the log already, at this sequence: an earlier attempt of the same envelope landed.
    Mine(u64),
    /// Another message came first and this one will never be in the log.
    Lost {
        /// The head of the subject.
        head: u64,
    },
}

impl Appended {
    /// Where it is in the log; none if it lost.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::Stored(seq) | Self::Mine(seq) => Some(*seq),
            Self::Lost { .. } => None,
        }
    }
}

/// What one publish came to.
enum Publish {
    Stored(u64),
    /// Somebody else was there; the head, if the server named it.
    Conflict(Option<u64>),
    /// It may or may not have been stored.
    Unknown(String),
    Final(BusError),
}

impl Bus {
    /// Appends an entry whose address has `expected` as its last sequence (0: none yet). Tries the same bytes again
    /// until the outcome is known, however long that takes; an error means that it never will be stored.
    pub async fn append(&self, address: &Address, expected: u64, entry: &Entry) -> Result<Appended, BusError> {
        self.append_via(Via::Leader, address, expected, entry).await
    }

    /// As [`Bus::append`], for services that may only read by Direct Get.
    pub async fn append_direct(&self, address: &Address, expected: u64, entry: &Entry) -> Result<Appended, BusError> {
        self.append_via(Via::Direct, address, expected, entry).await
    }

    /// What stands in the log for an entry: its bytes, or the name of the blob that has them.
    pub(crate) async fn packed(&self, address: &Address, entry: &Entry) -> Result<Bytes, BusError> {
        let refused = |reason| BusError::Refused { what: subject::of(address), reason };
        let payload = envelope::pack(entry).map_err(refused)?;
        if payload.len() <= MAX_ENVELOPE {
            return Ok(payload);
        }
        let blob = self.put_blob(address.deployment(), &payload).await?;
        envelope::refer(entry.id(), blob).map_err(refused)
    }

    async fn append_via(
        &self,
        via: Via,
        address: &Address,
        expected: u64,
        entry: &Entry,
    ) -> Result<Appended, BusError> {
        let subject = subject::of(address);
        let payload = self.packed(address, entry).await?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        if let Some(trace) = entry.trace() {
            headers.insert(TRACEPARENT, trace);
        }
        let started = Instant::now();
        let appended = self.append_until_known(via, &subject, expected, (headers, payload), entry.id()).await?;
        metrics::histogram!("slipway_append_seconds").record(started.elapsed().as_secs_f64());
        Ok(appended)
    }

    async fn append_until_known(
        &self,
        via: Via,
        subject: &str,
        expected: u64,
        (headers, payload): (HeaderMap, Bytes),
        id: Uuid,
    ) -> Result<Appended, BusError> {
        let mut pause = FIRST_RETRY;
        loop {
            match self.publish_once(subject, headers.clone(), payload.clone()).await {
                Publish::Stored(seq) => return Ok(Appended::Stored(seq)),
                Publish::Final(error) => return Err(error),
                Publish::Conflict(head) => {
                    if let Some(known) = self.resolve(via, subject, expected, head, id).await? {
                        return Ok(known);
                    }
                    tokio::time::sleep(IN_FLIGHT).await;
                }
                Publish::Unknown(reason) => {
                    tracing::warn!(subject, reason, "outcome of an append is unknown; trying the same bytes again");
                    self.wait_connected(LAST_RETRY).await;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_RETRY);
                }
            }
        }
    }

    async fn publish_once(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> Publish {
        let started = Instant::now();
        let mut generation = self.generation();
        let ack = match self.inner.js.publish_with_headers(subject.to_owned(), headers, payload).await {
            Ok(ack) => ack.into_future(),
            Err(error) => return classify(&error, subject),
        };
        tokio::pin!(ack);
        loop {
            tokio::select! {
                biased;
                ack = &mut ack => return match ack {
                    Ok(ack) => Publish::Stored(ack.sequence),
                    Err(error) => classify(&error, subject),
                },
                // The ack of a publish over a lost connection never comes.
                _ = generation.changed() => return Publish::Unknown("the connection was lost".into()),
                () = tokio::time::sleep(LOOK_FOR_DENIAL) => {
                    if self.denied_since(subject, started) {
                        return Publish::Final(BusError::Denied { subject: subject.to_owned() });
                    }
                    if started.elapsed() > ACK_TIMEOUT {
                        return Publish::Unknown("no acknowledgement in time".into());
                    }
                }
            }
        }
    }

    /// Who won at the first place after `expected`. None: nobody yet, append again.
    async fn resolve(
        &self,
        via: Via,
        subject: &str,
        expected: u64,
        head: Option<u64>,
        id: Uuid,
    ) -> Result<Option<Appended>, BusError> {
        match (via, head) {
            // The subject ends before `expected`: it was purged, so nothing there can be ours.
            (_, Some(head)) if head <= expected => return Ok(Some(Appended::Lost { head })),
            (Via::Direct, None) => return Ok(None),
            _ => {}
        }
        let winner = self.first_after(via, subject, expected, head.unwrap_or(0)).await?;
        Ok(verdict(head, id, winner.map(|winner| (winner.sequence, envelope::id(&winner.payload).ok()))))
    }
}

/// What the message in the first place after `expected` says, its sequence and its id. Without one nothing is known,
/// even if the server has named a head: the replica that was asked may lag, and what it does not show may be ours.
/// The same bytes are appended again then, which the server answers with the head as it is by then.
fn verdict(head: Option<u64>, id: Uuid, winner: Option<(u64, Option<Uuid>)>) -> Option<Appended> {
    let (seq, winner) = winner?;
    if winner == Some(id) {
        return Some(Appended::Mine(seq));
    }
    Some(Appended::Lost { head: head.unwrap_or(0).max(seq) })
}

fn classify(error: &jetstream::context::PublishError, subject: &str) -> Publish {
    let server = std::error::Error::source(error).and_then(|source| source.downcast_ref::<jetstream::Error>());
    let Some(server) = server else {
        return match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                Publish::Final(BusError::Refused { what: format!("a message on {subject}"), reason: error.to_string() })
            }
            _ => Publish::Unknown(error.to_string()),
        };
    };
    let words = server.to_string();
    match server.error_code().0 {
        WRONG_LAST => Publish::Conflict(number_at_end(&words)),
        WRONG_LAST_UNNUMBERED => Publish::Conflict(None),
        _ if words.contains("maximum bytes exceeded") || words.contains("maximum messages exceeded") => {
            Publish::Final(BusError::Full { stream: stream::DEPLOYMENTS.to_owned(), reason: words })
        }
        // 5xx: the server can not right now, as when JetStream is still starting or a leader is missing.
        _ if server.code() >= 500 => Publish::Unknown(words),
        _ => Publish::Final(BusError::Refused { what: format!("a message on {subject}"), reason: words }),
    }
}

/// The number in `wrong last sequence: 12 …`.
fn number_at_end(words: &str) -> Option<u64> {
    let (_, rest) = words.split_once("wrong last sequence: ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_lost_before_the_winner_is_seen() {
        let (mine, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        // The server named a head, but the replica that was asked shows nothing there.
        assert_eq!(verdict(Some(7), mine, None), None);
        assert_eq!(verdict(None, mine, None), None);
        assert_eq!(verdict(Some(7), mine, Some((5, Some(mine)))), Some(Appended::Mine(5)));
        assert_eq!(verdict(Some(7), mine, Some((5, Some(other)))), Some(Appended::Lost { head: 7 }));
        assert_eq!(verdict(None, mine, Some((5, None))), Some(Appended::Lost { head: 5 }));
    }

    #[test]
    fn the_head_is_read_from_the_servers_words() {
        assert_eq!(number_at_end("wrong last sequence: 12"), Some(12));
        assert_eq!(number_at_end("wrong last sequence: 12 (code 400, error code 10071)"), Some(12));
        assert_eq!(number_at_end("wrong last sequence"), None);
    }
}
