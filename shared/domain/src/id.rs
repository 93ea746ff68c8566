//! Identities that machines give to things.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{StepName, TargetName};

/// Namespace of all derived (version 5) ids; a constant drawn once.
const NAMESPACE: Uuid = Uuid::from_u128(0x6b0f_4b1e_91a7_4c7e_9d55_0c0d_5a3c_77e1);

/// One deployment: one release to one environment, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentId(pub Uuid);

impl DeploymentId {
    /// No deployment: what holds for all of them is in the log under this id.
    pub const POLICY: Self = Self(Uuid::nil());

    /// The id that the same parts always give; how a repeated request meets its first.
    /// Parts are joined with a byte that no name can contain.
    pub fn derive(parts: &[&str]) -> Self {
        Self(derive(parts))
    }
}

/// A version 5 id from parts; equal parts give equal ids.
pub fn derive(parts: &[&str]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, parts.join("\u{1f}").as_bytes())
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for DeploymentId {
    type Err = uuid::Error;
    fn from_str(s: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(s).map(Self)
    }
}

/// One task within a deployment: one step on one target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// The step.
    pub step: StepName,
    /// The target, or a pseudo-target.
    pub target: TargetName,
}

impl TaskKey {
    /// A task key from its parts.
    pub fn new(step: StepName, target: TargetName) -> Self {
        Self { step, target }
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.step, self.target)
    }
}
