//! Doorbells and nudges: core NATS, lossy on purpose. Losing one costs time, never an outcome.

use std::time::{Duration, Instant};

use async_nats::{Client, RequestErrorKind, Subject, Subscriber};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use slipway_domain::{
    id::{DeploymentId, TaskKey},
    name::TargetName,
    order::{Answer, Doorbell},
};

use crate::{Bus, BusError, MAX_ENVELOPE, subject};

/// Whoever does not answer by then counts as absent.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// By then the server has complained about a subscription.
const DENIED_WITHIN: Duration = Duration::from_millis(250);
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Bus {
    /// Rings at the doorbell's target. None: nobody is there (known at once), or nobody answered in time.
    pub async fn ring(&self, doorbell: &Doorbell) -> Result<Option<Answer>, BusError> {
        let subject = subject::doorbell(&doorbell.task.target);
        let payload = to_json(&subject, doorbell)?;
        let payload = if payload.len() > MAX_ENVELOPE {
            let blob = self.put_blob(doorbell.deployment, &payload.into()).await?;
            to_json(&subject, &Large { blob })?
        } else {
            payload
        };
        let started = Instant::now();
        let request = async_nats::Request::new().payload(payload.into()).timeout(Some(ANSWER_WITHIN));
        match self.inner.client.send_request(subject.clone(), request).await {
            Ok(reply) => Ok(serde_json::from_slice(&reply.payload).ok()),
            Err(error) => match error.kind() {
                RequestErrorKind::MaxPayloadExceeded => Err(BusError::Refused {
                    what: format!("the order of {}", doorbell.task),
                    reason: error.to_string(),
                }),
                _ if self.denied_since(&subject, started) => Err(BusError::Denied { subject }),
                _ => Ok(None),
            },
        }
    }

    /// The doorbells of a target; each rings at one of those that listen.
    pub async fn doorbells(&self, target: &TargetName) -> Result<Doorbells, BusError> {
        let subject = subject::doorbell(target);
        let subscriber =
            self.inner.client.queue_subscribe(subject.clone(), subject.clone()).await.map_err(|e| {
                BusError::Refused { what: format!("a subscription to {subject}"), reason: e.to_string() }
            })?;
        Ok(Doorbells { subscriber, bus: self.clone(), fetching: None })
    }

    /// Whether the server has denied the doorbells or the nudges of a target since then: the subject if so. What it
    /// denies never rings, and nothing else tells. Waits for the server to have seen every subscription made so far.
    pub async fn denied_subscription(&self, targets: &[TargetName], since: Instant) -> Option<(TargetName, String)> {
        let deadline = Instant::now() + DENIED_WITHIN;
        // The server answers in order, so complaints come before this answer; whatever it says.
        let _ = tokio::time::timeout(DENIED_WITHIN, self.inner.log.get_info()).await;
        loop {
            let subjects = targets.iter().flat_map(|target| {
                [subject::doorbell(target), subject::cancel(target)].map(|subject| (target.clone(), subject))
            });
            let denied = subjects.into_iter().find(|(_, subject)| self.denied_since(subject, since));
            if denied.is_some() || Instant::now() >= deadline {
                return denied;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Tells whoever holds a task to look at its subject now rather than in a few seconds.
    pub async fn nudge_cancel(&self, id: DeploymentId, task: &TaskKey) -> Result<(), BusError> {
        let subject = subject::cancel(&task.target);
        let payload = to_json(&subject, &(id, task))?;
        let refused = |e: async_nats::PublishError| BusError::Refused { what: "a nudge".into(), reason: e.to_string() };
        self.inner.client.publish(subject, payload.into()).await.map_err(refused)
    }

    /// The nudges of a target.
    pub async fn nudges(&self, target: &TargetName) -> Result<Nudges, BusError> {
        let subject = subject::cancel(target);
        let subscriber =
            self.inner.client.subscribe(subject.clone()).await.map_err(|e| BusError::Refused {
                what: format!("a subscription to {subject}"),
                reason: e.to_string(),
            })?;
        Ok(Nudges { subscriber })
    }
}

fn to_json(what: &str, value: &impl serde::Serialize) -> Result<Vec<u8>, BusError> {
    serde_json::to_vec(value).map_err(|e| BusError::Refused { what: what.to_owned(), reason: e.to_string() })
}

/// A subscription to a target's doorbell.
pub struct Doorbells {
    subscriber: Subscriber,
    bus: Bus,
    /// Taken from the subscription, and not given out: its order is being fetched.
    fetching: Option<async_nats::Message>,
}

/// What rings for a doorbell that is too large for a message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Large {
    blob: String,
}

impl Doorbells {
    /// The next ring; none when the connection was closed for good.
    pub async fn next(&mut self) -> Option<Ring> {
        loop {
            if self.fetching.is_none() {
                self.fetching = Some(self.subscriber.next().await?);
            }
            let Some(message) = &self.fetching else { continue };
            let read = self.read(&message.payload).await;
            let reply = self.fetching.take().and_then(|message| message.reply);
            match read {
                Ok(doorbell) => return Some(Ring { doorbell, reply, client: self.bus.inner.client.clone() }),
                Err(reason) => tracing::warn!(reason, "a doorbell can not be read; is the planner newer than this?"),
            }
        }
    }

    async fn read(&self, payload: &[u8]) -> Result<Doorbell, String> {
        match serde_json::from_slice::<Large>(payload) {
            Ok(large) => {
                let doorbell = self.bus.get_blob(&large.blob).await.map_err(|e| e.to_string())?;
                serde_json::from_slice(&doorbell).map_err(|e| e.to_string())
            }
            Err(_) => serde_json::from_slice(payload).map_err(|e| e.to_string()),
        }
    }
}

/// Somebody rang.
#[derive(Debug)]
pub struct Ring {
    /// What for.
    pub doorbell: Doorbell,
    reply: Option<Subject>,
    client: Client,
}

impl Ring {
    /// Answers. An answer that gets lost counts as none.
    pub async fn answer(&self, answer: Answer) {
        let Some(reply) = &self.reply else { return };
        let payload = serde_json::to_vec(&answer).expect("invariant: an answer is plain JSON");
        if let Err(error) = self.client.publish(reply.clone(), payload.into()).await {
            tracing::debug!(%error, "an answer to a doorbell could not be sent");
        }
    }
}

/// A subscription to a target's nudges.
pub struct Nudges {
    subscriber: Subscriber,
}

impl Nudges {
    /// The next task to look at; none when the connection was closed for good.
    pub async fn next(&mut self) -> Option<(DeploymentId, TaskKey)> {
        loop {
            if let Ok(nudge) = serde_json::from_slice(&self.subscriber.next().await?.payload) {
                return Some(nudge);
            }
        }
    }
}
