//! Environments: their queue, and what people are asked there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration::Span,
    name::{EnvironmentName, TeamName},
};

/// A place that releases are promoted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
    /// What happens to a deployment that finds another of its project before it.
    #[serde(default, skip_serializing_if = "Queue::is_wait")]
    pub queue: Queue,
    /// How many deployments may run in it at a time, over all projects; any number without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    /// Failed tasks ask a person what to do.
    #[serde(default, rename = "guided-failure", skip_serializing_if = "Option::is_none")]
    pub guided_failure: Option<GuidedFailure>,
    /// What happens to a deployment of an older release than the one that is there.
    #[serde(default, skip_serializing_if = "Downgrade::is_allow")]
    pub downgrade: Downgrade,
    /// What happens to a deployment when targets can not be deployed to.
    #[serde(default, skip_serializing_if = "Unavailable::is_wait")]
    pub unavailable: Unavailable,
}

/// What becomes of targets that nobody serves, or whose engine does not answer, when a deployment is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unavailable {
    /// Their tasks wait for them.
    #[default]
    Wait,
    /// They are left out of the deployment.
    Skip,
    /// The deployment is refused.
    Refuse,
}

impl Unavailable {
    /// Whether it is the default.
    pub fn is_wait(&self) -> bool {
        *self == Self::Wait
    }
}

/// What becomes of a deployment of an older release than the environment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Downgrade {
    /// It is like any other.
    #[default]
    Allow,
    /// A person has to approve before its first step.
    RequireApproval,
    /// It is refused.
    Forbid,
}

impl Downgrade {
    /// Whether it is the default.
    pub fn is_allow(&self) -> bool {
        *self == Self::Allow
    }
}

/// What a queue does with a deployment behind another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Queue {
    /// It waits for its turn.
    #[default]
    Wait,
    /// It waits, and a newer one that waits too takes its place.
    LatestOnly,
    /// It is refused.
    Reject,
}

impl Queue {
    /// Whether it is the default.
    pub fn is_wait(&self) -> bool {
        *self == Self::Wait
    }
}

/// A failed task waits for a person, who says retry, ignore, exclude or reject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuidedFailure {
    /// Who may say; anyone who may deploy if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<TeamName>,
    /// After this time without a decision the task stays failed.
    #[serde(default = "default_guidance")]
    pub timeout: Span,
}

impl Default for GuidedFailure {
    fn default() -> Self {
        Self { teams: Vec::new(), timeout: default_guidance() }
    }
}

fn default_guidance() -> Span {
    Span::secs(24 * 3600)
}
