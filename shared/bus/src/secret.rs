//! Requests for secrets: the holder of a claim asks, a release service answers. Nothing is stored.

use std::time::Duration;

use async_nats::{Client, Subject, Subscriber};
use futures::StreamExt as _;
use slipway_domain::secret::{SecretAnswer, SecretRequest};

use crate::{Bus, BusError, subject};

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl Bus {
    /// Asks once. None: nobody there, or no answer in time.
    pub async fn ask_secrets(&self, request: &SecretRequest) -> Result<Option<SecretAnswer>, BusError> {
        let subject = subject::secret(&request.holder);
        let answer = self.ask(subject, request, ANSWER_WITHIN).await?;
        Ok(answer.and_then(|json| serde_json::from_slice(&json).ok()))
    }

    /// The requests of all holders; each reaches one of the release services.
    pub async fn secret_requests(&self) -> Result<SecretRequests, BusError> {
        let subscriber = self.questions(subject::SECRETS, subject::SECRETS_QUEUE).await?;
        Ok(SecretRequests { subscriber, client: self.inner.client.clone() })
    }
}

/// A subscription to requests for secrets.
pub struct SecretRequests {
    subscriber: Subscriber,
    client: Client,
}

impl SecretRequests {
    /// The next request; none when the connection was closed for good. A holder can ask for itself only: who may
    /// publish where is the server's to enforce, that subject and request agree is checked here.
    pub async fn next(&mut self) -> Option<(SecretRequest, Replier)> {
        loop {
            let message = self.subscriber.next().await?;
            let Some(reply) = message.reply else { continue };
            match serde_json::from_slice::<SecretRequest>(&message.payload) {
                Ok(request) if subject::secret(&request.holder) == message.subject.as_str() => {
                    return Some((request, Replier { reply, client: self.client.clone() }));
                }
                Ok(_) => tracing::warn!(subject = %message.subject, "a request for secrets in another's name; ignored"),
                Err(error) => tracing::warn!(%error, "a request for secrets can not be read"),
            }
        }
    }
}

/// Where the answer to one request goes.
#[derive(Debug)]
pub struct Replier {
    reply: Subject,
    client: Client,
}

impl Replier {
    /// Answers. An answer that gets lost is asked for again.
    pub async fn answer(self, answer: &SecretAnswer) {
        let payload = serde_json::to_vec(answer).expect("invariant: an answer is plain JSON");
        if let Err(error) = self.client.publish(self.reply, payload.into()).await {
            tracing::debug!(%error, "an answer with secrets could not be sent");
        }
    }
}
