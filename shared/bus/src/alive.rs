//! Whether a holder's connection is there right now. Asked over core NATS, where the server itself
//! says that nobody listens as soon as a connection is closed, as the kernel does for a process that died.

use std::time::Duration;

use async_nats::{RequestErrorKind, Subscriber};
use futures::StreamExt as _;
use slipway_domain::name::HolderName;
use uuid::Uuid;

use crate::{Bus, BusError, subject};

/// Whoever does not answer by then may hang, or its link is cut.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// What came back from asking a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It is there, in this boot.
    Here(Uuid),
    /// The server says that nobody listens by that name.
    Nobody,
    /// No answer, which tells nothing.
    Unknown,
}

impl Bus {
    /// Asks a holder whether it is there.
    pub async fn sign_of(&self, holder: &HolderName) -> Sign {
        let request = async_nats::Request::new().timeout(Some(ANSWER_WITHIN));
        match self.inner.client.send_request(subject::alive(holder), request).await {
            Ok(reply) => Uuid::from_slice(&reply.payload).map_or(Sign::Unknown, Sign::Here),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Sign::Nobody,
            Err(_) => Sign::Unknown,
        }
    }

    /// Answers whoever asks whether this holder is there, until dropped or the connection is closed for good.
    pub async fn show_signs(&self, holder: &HolderName, boot: Uuid) -> Result<Signs, BusError> {
        let subject = subject::alive(holder);
        let refused = |e: async_nats::SubscribeError| BusError::Refused {
            what: format!("a subscription to {subject}"),
            reason: e.to_string(),
        };
        let subscriber = self.inner.client.subscribe(subject.clone()).await.map_err(refused)?;
        Ok(Signs { subscriber, boot, bus: self.clone() })
    }
}

/// Answers to those who ask for a sign.
pub struct Signs {
    subscriber: Subscriber,
    boot: Uuid,
    bus: Bus,
}

impl Signs {
    /// Gives them.
    pub async fn give(mut self) {
        while let Some(question) = self.subscriber.next().await {
            let Some(reply) = question.reply else { continue };
            let boot = bytes::Bytes::copy_from_slice(self.boot.as_bytes());
            if let Err(error) = self.bus.inner.client.publish(reply, boot).await {
                tracing::debug!(%error, "a sign of life could not be given");
            }
        }
    }
}
