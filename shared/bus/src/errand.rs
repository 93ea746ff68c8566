//! Errands: the release service asks whoever serves a target to look there, or to remove what is not
//! needed any more. Core NATS, nothing is stored; losing one costs an answer.

use std::time::Duration;

use async_nats::{Client, Subject, Subscriber};
use futures::StreamExt as _;
use slipway_domain::{
    inspection::{Errand, ErrandAnswer},
    name::TargetName,
};

use crate::{
    Bus, BusError, MAX_ENVELOPE,
    envelope::{compress, decompressed},
    subject,
};

impl Bus {
    /// Asks once. None: nobody there (known at once), or no answer in time.
    pub async fn ask_errand(
        &self,
        target: &TargetName,
        errand: &Errand,
        within: Duration,
    ) -> Result<Option<ErrandAnswer>, BusError> {
        let Some(answer) = self.ask(subject::errand(target), errand, within).await? else { return Ok(None) };
        let read = |json: &[u8]| serde_json::from_slice(json).map_err(|e| e.to_string());
        let refused = |reason| BusError::Refused { what: format!("an answer of {target}"), reason };
        decompressed(&answer, read).map(Some).map_err(refused)
    }

    /// The errands to a target; each reaches one of those that serve it.
    pub async fn errands(&self, target: &TargetName) -> Result<Errands, BusError> {
        let subject = subject::errand(target);
        let subscriber = self.questions(&subject, &subject).await?;
        Ok(Errands { subscriber, client: self.inner.client.clone() })
    }
}

/// A subscription to the errands of a target.
pub struct Errands {
    subscriber: Subscriber,
    client: Client,
}

impl Errands {
    /// The next one; none when the connection was closed for good.
    pub async fn next(&mut self) -> Option<(Errand, ErrandReply)> {
        loop {
            let message = self.subscriber.next().await?;
            let Some(reply) = message.reply else { continue };
            match serde_json::from_slice(&message.payload) {
                Ok(errand) => return Some((errand, ErrandReply { reply, client: self.client.clone() })),
                Err(error) => {
                    tracing::warn!(%error, "an errand can not be read; is the release service newer than this?")
                }
            }
        }
    }
}

/// Where the answer to an errand goes.
#[derive(Debug)]
pub struct ErrandReply {
    reply: Subject,
    client: Client,
}

impl ErrandReply {
    /// Answers, compressed. Whether it was sent: one that is too large for a message is not.
    pub async fn answer(&self, answer: &ErrandAnswer) -> bool {
        let json = serde_json::to_vec(answer).expect("invariant: an answer is plain JSON");
        let payload = compress(&json).expect("invariant: memory can be written to");
        if payload.len() > MAX_ENVELOPE {
            return false;
        }
        if let Err(error) = self.client.publish(self.reply.clone(), payload).await {
            tracing::debug!(%error, "an answer to an errand could not be sent");
        }
        true
    }
}
