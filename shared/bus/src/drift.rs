//! Whether what runs is what was deployed: the notifier asks before a person approves in chat, a release
//! service answers.

use std::time::Duration;

use async_nats::{Client, Subject, Subscriber};
use futures::StreamExt as _;
use slipway_domain::{api::Drift, id::DeploymentId};

use crate::{Bus, BusError, subject};

/// Looking at hosts takes its time; longer, and nobody knows.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

impl Bus {
    /// What is not as it was deployed, of what a deployment is about. None: nobody there, or no answer in time.
    pub async fn ask_drift(&self, deployment: DeploymentId) -> Result<Option<Vec<Drift>>, BusError> {
        let answer = self.ask(subject::DRIFT.to_owned(), &deployment, ANSWER_WITHIN).await?;
        Ok(answer.and_then(|json| serde_json::from_slice(&json).ok()))
    }

    /// The questions for drift; each reaches one of the release services.
    pub async fn drift_questions(&self) -> Result<DriftQuestions, BusError> {
        let subscriber = self.questions(subject::DRIFT, subject::DRIFT).await?;
        Ok(DriftQuestions { subscriber, client: self.inner.client.clone() })
    }
}

/// A subscription to questions for drift.
pub struct DriftQuestions {
    subscriber: Subscriber,
    client: Client,
}

impl DriftQuestions {
    /// The next one; none when the connection was closed for good.
    pub async fn next(&mut self) -> Option<(DeploymentId, DriftReply)> {
        loop {
            let message = self.subscriber.next().await?;
            let Some(reply) = message.reply else { continue };
            if let Ok(id) = serde_json::from_slice(&message.payload) {
                return Some((id, DriftReply { reply, client: self.client.clone() }));
            }
        }
    }
}

/// Where the answer to a question for drift goes.
#[derive(Debug)]
pub struct DriftReply {
    reply: Subject,
    client: Client,
}

impl DriftReply {
    /// Answers. An answer that gets lost counts as none.
    pub async fn answer(self, drift: &[Drift]) {
        let json = serde_json::to_vec(drift).expect("invariant: drift is plain JSON");
        if let Err(error) = self.client.publish(self.reply, json.into()).await {
            tracing::debug!(%error, "an answer about drift could not be sent");
        }
    }
}
