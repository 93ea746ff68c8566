//! One attempt of one task, as the steps see it: what to do, the right to do it, and the ways in
//! which it can stop short.

use std::future::Future;

use chrono::{DateTime, Utc};
use serde_json::Value;
use slipway_domain::{
    event::{Failure, FailureKind},
    order::{Doorbell, Order, Outputs},
    release::PullCredentials,
};
use slipway_worker::{End, Fenced, Held, Stream};

use crate::docker::{
    DockerError, Engine, Engines,
    container::Seen,
    image::Login,
    labels::{self, Identity, Kind},
    output::{Heard, Output},
};

/// Why a step stops before its good end.
#[derive(Debug)]
pub enum Stop {
    /// Somebody else holds the task now: touch nothing.
    Fenced,
    /// The deployment was cancelled.
    Cancelled,
    /// It failed.
    Failed(Failure),
    /// Nobody can tell whether something that must not happen twice has happened; what is not known.
    Unknown(String),
    /// The engine does not answer at the moment; the same is tried again when it does.
    Away {
        /// The engine.
        endpoint: String,
        /// What people are told.
        message: String,
    },
}

impl From<Fenced> for Stop {
    fn from(_: Fenced) -> Self {
        Self::Fenced
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<DockerError> for Stop {
    fn from(error: DockerError) -> Self {
        let message = error.to_string();
        match error {
            DockerError::Unreachable { endpoint, .. } => Self::Away { endpoint, message },
            DockerError::Endpoint { .. } => wrong_order(message),
            _ => failed(message),
        }
    }
}

/// A failure that no retry can cure.
pub fn wrong_order(message: impl Into<String>) -> Stop {
    Stop::Failed(Failure { kind: FailureKind::Order, message: message.into(), tail: Vec::new() })
}

/// A failure of the step.
pub fn failed(message: impl Into<String>) -> Stop {
    Stop::Failed(Failure::step(message))
}

/// One attempt.
pub struct Task<'a> {
    /// The claim.
    pub held: &'a Held,
    /// What was asked.
    pub doorbell: &'a Doorbell,
    /// For health probes.
    pub http: &'a reqwest::Client,
    /// Docker engines.
    pub engines: &'a Engines,
    /// The engine of tasks that run on no target.
    pub worker_docker: &'a str,
    /// When the engine answered again, if it was away in this attempt.
    pub back_at: Option<DateTime<Utc>>,
    /// What containers said so far.
    pub heard: Heard,
}

impl Task<'_> {
    /// Whether a container was made by this very attempt, before its engine was away.
    pub fn is_own(&self, seen: &Seen) -> bool {
        seen.labels.get(labels::EPOCH) == Some(&self.held.epoch().to_string())
    }

    /// What a container says from here on.
    pub fn output(&self, engine: &Engine, id: &str, lines: Option<u32>) -> Output {
        engine.output(id, lines, self.heard.clone())
    }

    /// What to do.
    pub fn order(&self) -> &Order {
        &self.doorbell.order
    }

    /// The engine of the task's target, or the worker's own.
    pub fn engine(&self) -> Result<Engine, Stop> {
        let endpoint = self.order().docker.as_deref().unwrap_or(self.worker_docker);
        Ok(self.engines.at(endpoint, self.order().tls.as_ref())?)
    }

    /// Who creates containers in this attempt.
    pub fn identity(&self, kind: Kind) -> Identity {
        let order = self.order();
        Identity {
            project: order.project.to_string(),
            environment: order.environment.to_string(),
            release: order.release.clone(),
            deployment: self.held.deployment(),
            task: self.held.task().clone(),
            attempt: self.held.attempt(),
            epoch: self.held.epoch(),
            kind,
        }
    }

    /// The right to begin an effect now. Refused once the deployment is cancelled.
    pub async fn effect(&self, intent: &str) -> Result<(), Stop> {
        if self.held.cancelled().is_cancelled() {
            return Err(Stop::Cancelled);
        }
        self.effect_regardless(intent).await
    }

    /// The right to begin an effect now, also after a cancel: for undoing and for finishing.
    pub async fn effect_regardless(&self, intent: &str) -> Result<(), Stop> {
        tracing::debug!(intent, "effect");
        Ok(self.held.effect(intent).await?)
    }

    /// The right to begin now what must not happen twice. Refused once the deployment is cancelled.
    pub async fn once(&self, intent: &str) -> Result<(), Stop> {
        if self.held.cancelled().is_cancelled() {
            return Err(Stop::Cancelled);
        }
        tracing::debug!(intent, "effect that happens once");
        Ok(self.held.once(intent).await?)
    }

    /// Waits for a future that changes nothing outside, but not after a cancel or the loss of the claim.
    pub async fn interruptible<T>(&self, future: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.held.fenced().cancelled() => Err(Stop::Fenced),
            () = self.held.cancelled().cancelled() => Err(Stop::Cancelled),
            value = future => Ok(value),
        }
    }

    /// A whole line of a container's output.
    pub fn print(&self, stream: Stream, line: &str) {
        self.held.print(stream, &format!("{line}\n"));
    }

    /// User name and password for a pull.
    pub fn login(&self, credentials: Option<&PullCredentials>) -> Result<Option<Login>, Stop> {
        let Some(credentials) = credentials else { return Ok(None) };
        let password = self.held.fill(&credentials.password.marker())?;
        Ok(Some(Login { username: credentials.username.clone(), password }))
    }

    /// How the attempt ended, for the log. Messages are masked.
    pub fn end(&self, result: Result<Outputs, Stop>) -> End {
        match result {
            Ok(outputs) => End::Succeeded(outputs),
            // Nothing is written for a fenced attempt, whatever it answers.
            Err(Stop::Cancelled | Stop::Fenced) => End::Cancelled,
            Err(Stop::Unknown(reason)) => End::Unknown(self.held.mask(&reason)),
            Err(Stop::Away { message, .. }) => End::Failed(Failure::step(self.held.mask(&message))),
            Err(Stop::Failed(failure)) => End::Failed(Failure { message: self.held.mask(&failure.message), ..failure }),
        }
    }

    /// A document with every text in it masked.
    pub fn masked(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.held.mask(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.masked(item)).collect(),
            Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, self.masked(value))).collect(),
            plain => plain,
        }
    }
}
