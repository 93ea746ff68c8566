//! What the keeper of the archive needs: what the log has of a deployment, taking it out, and putting
//! back what a log has lost.

use async_nats::{HeaderMap, header::NATS_EXPECTED_LAST_SEQUENCE, jetstream::context::PublishErrorKind};
use chrono::{DateTime, SecondsFormat, Utc};
use slipway_domain::{event::Recorded, id::DeploymentId, presence::Mark};

use crate::{Bus, BusError, envelope, stream, subject, tail::Item};

/// The time of a message that was written again, as it was when it was written first.
pub(crate) const AT: &str = "Slipway-At";

impl Bus {
    /// The messages that the log has of a deployment now.
    pub async fn marks_of(&self, id: DeploymentId) -> Result<Vec<Mark>, BusError> {
        self.marks(subject::deployment(id), 1).await
    }

    /// All messages of the log from a sequence on, as far as there are any now.
    pub async fn marks_from(&self, seq: u64) -> Result<Vec<Mark>, BusError> {
        self.marks(subject::DEPLOYMENTS.to_owned(), seq).await
    }

    async fn marks(&self, filter: String, from: u64) -> Result<Vec<Mark>, BusError> {
        let (mut tail, mut marks) = (self.tail_of_log(vec![filter], from), Vec::new());
        loop {
            match tail.next().await? {
                Item::Opened { pending: 0 } => return Ok(marks),
                Item::Opened { .. } | Item::Broken => {}
                Item::Message(message) => {
                    // Whatever can not be read is in no archive.
                    let id = envelope::id(&message.body.payload).unwrap_or_default();
                    marks.push(Mark { seq: message.seq, id });
                    if message.pending == 0 {
                        return Ok(marks);
                    }
                }
            }
        }
    }

    /// Takes a deployment out of the log, but for the last message of its plan: appends that name a sequence
    /// find one there. The request goes first, without which what is left means nothing to anybody.
    pub async fn purge(&self, id: DeploymentId) -> Result<(), BusError> {
        self.purge_subject(stream::DEPLOYMENTS, subject::of(&slipway_domain::event::Address::Plan(id)), Some(1))
            .await?;
        for parts in subject::parts(id) {
            self.purge_subject(stream::DEPLOYMENTS, parts, None).await?;
        }
        for blobs in subject::blobs(id) {
            self.purge_subject(stream::BLOBS_STREAM, blobs, None).await?;
        }
        Ok(())
    }

    async fn purge_subject(&self, stream: &str, filter: String, keep: Option<u64>) -> Result<(), BusError> {
        let log = if stream == stream::BLOBS_STREAM { &self.inner.blobs } else { &self.inner.log };
        let ask = || async {
            let purge = log.purge().filter(filter.clone());
            let purged = match keep {
                Some(last) => purge.keep(last).await,
                None => purge.await,
            };
            purged.map_err(|e| e.to_string())
        };
        self.insist(&format!("$JS.API.STREAM.PURGE.{stream}"), ask).await.map(drop)
    }

    /// Writes a message to the very place of the log that it had, with its time of then. The log must end right before.
    pub async fn put_back(&self, recorded: &Recorded) -> Result<(), BusError> {
        let subject = subject::of(&recorded.address);
        let refused =
            |reason: String| BusError::Refused { what: format!("message {} on {subject}", recorded.seq), reason };
        let payload = self.packed(&recorded.address, &recorded.entry).await?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SEQUENCE, (recorded.seq - 1).to_string());
        headers.insert(AT, recorded.at.to_rfc3339_opts(SecondsFormat::Nanos, true));
        let publish = async {
            self.inner.js.publish_with_headers(subject.clone(), headers.clone(), payload.clone()).await?.await
        };
        match publish.await {
            Ok(ack) if ack.sequence == recorded.seq => Ok(()),
            Ok(ack) => Err(refused(format!("it landed at {}", ack.sequence))),
            Err(error) if error.kind() == PublishErrorKind::TimedOut => {
                // It may have landed all the same.
                let head = self.head().await?;
                if head == recorded.seq {
                    Ok(())
                } else {
                    Err(BusError::NoAnswer { what: format!("a message on {subject}") })
                }
            }
            Err(error) => Err(refused(format!("{error}; does something else write to the log?"))),
        }
    }
}

/// The time that a message was written first, if it says so.
pub(crate) fn written_first(headers: Option<&HeaderMap>) -> Option<DateTime<Utc>> {
    let text = headers?.get(AT)?;
    DateTime::parse_from_rfc3339(text.as_str()).ok().map(|at| at.to_utc())
}
