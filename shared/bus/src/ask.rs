//! Questions over core NATS, which nothing stores: whoever asks waits a moment for one answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;

use crate::{Bus, BusError};

impl Bus {
    /// Asks once, with `question` as JSON. None: nobody there (known at once), or no answer in time.
    pub(crate) async fn ask(
        &self,
        subject: String,
        question: &impl Serialize,
        within: Duration,
    ) -> Result<Option<Bytes>, BusError> {
        let payload = serde_json::to_vec(question)
            .map_err(|e| BusError::Refused { what: format!("a question to {subject}"), reason: e.to_string() })?;
        let started = Instant::now();
        let request = async_nats::Request::new().payload(payload.into()).timeout(Some(within));
        match self.inner.client.send_request(subject.clone(), request).await {
            Ok(reply) => Ok(Some(reply.payload)),
            Err(_) if self.denied_since(&subject, started) => Err(BusError::Denied { subject }),
            Err(_) => Ok(None),
        }
    }

    /// What is asked on a subject; each question reaches one of those who listen.
    pub(crate) async fn questions(&self, subject: &str, queue: &str) -> Result<async_nats::Subscriber, BusError> {
        self.inner
            .client
            .queue_subscribe(subject.to_owned(), queue.to_owned())
            .await
            .map_err(|e| BusError::Refused { what: format!("a subscription to {subject}"), reason: e.to_string() })
    }
}
