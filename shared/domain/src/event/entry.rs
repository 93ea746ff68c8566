//! What stands where: addresses, and messages as the log has them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Actor, Envelope, GateEvent, PlanEvent, TaskEvent};
use crate::{
    id::{DeploymentId, TaskKey},
    name::{StepName, TargetName},
};

/// The address of a message in the log; `bus` turns it into a NATS subject and back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    /// The deployment as a whole.
    Plan(DeploymentId),
    /// One task.
    Task(DeploymentId, TaskKey),
    /// One gate: its step and `all` or a target.
    Gate(DeploymentId, StepName, GateScope),
}

impl Address {
    /// The deployment it belongs to.
    pub fn deployment(&self) -> DeploymentId {
        match self {
            Self::Plan(id) | Self::Task(id, _) | Self::Gate(id, ..) => *id,
        }
    }
}

/// What a gate covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateScope {
    /// Every target of the step.
    All,
    /// One target.
    Target(TargetName),
}

/// One envelope of the family that belongs to an address.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// On [`Address::Plan`].
    Plan(Envelope<PlanEvent>),
    /// On [`Address::Task`].
    Task(Envelope<TaskEvent>),
    /// On [`Address::Gate`].
    Gate(Envelope<GateEvent>),
}

impl Entry {
    /// The envelope's id.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Plan(e) => e.id,
            Self::Task(e) => e.id,
            Self::Gate(e) => e.id,
        }
    }

    /// Who wrote it.
    pub fn actor(&self) -> &Actor {
        match self {
            Self::Plan(e) => &e.actor,
            Self::Task(e) => &e.actor,
            Self::Gate(e) => &e.actor,
        }
    }

    /// The `traceparent` it carries.
    pub fn trace(&self) -> Option<&str> {
        match self {
            Self::Plan(e) => e.trace.as_deref(),
            Self::Task(e) => e.trace.as_deref(),
            Self::Gate(e) => e.trace.as_deref(),
        }
    }

    /// The envelope as JSON.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        match self {
            Self::Plan(e) => serde_json::to_vec(e),
            Self::Task(e) => serde_json::to_vec(e),
            Self::Gate(e) => serde_json::to_vec(e),
        }
    }

    /// Reads the envelope of the family that belongs to the address.
    pub fn from_json(address: &Address, json: &[u8]) -> serde_json::Result<Self> {
        Ok(match address {
            Address::Plan(_) => Self::Plan(serde_json::from_slice(json)?),
            Address::Task(..) => Self::Task(serde_json::from_slice(json)?),
            Address::Gate(..) => Self::Gate(serde_json::from_slice(json)?),
        })
    }
}

/// A message as the log has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The stream sequence: the message's place in the one total order.
    pub seq: u64,
    /// The server's time of the message.
    pub at: DateTime<Utc>,
    /// Where.
    pub address: Address,
    /// What.
    pub entry: Entry,
}
