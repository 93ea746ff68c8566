//! Lifecycles: phases, and when each has passed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration::Span,
    name::{EnvironmentName, LifecycleName},
};

/// The order in which a release goes through environments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lifecycle {
    /// Its name.
    pub name: LifecycleName,
    /// The phases, in order.
    pub phases: Vec<Phase>,
    /// Which releases are kept; all without. Phases may say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Keeping>,
}

/// One phase of a lifecycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// For people.
    pub name: String,
    /// The environments of the phase; without any, all that no earlier phase names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<PhaseEnvironment>,
    /// When the phase counts as passed.
    #[serde(default)]
    pub required: Required,
    /// How long after that the next phase stays closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Span>,
    /// Which of the releases that reached it are kept; without, as the phase before says, or the lifecycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Keeping>,
}

/// Which releases are kept: `{releases: 5}` the newest five, `{days: 30}` those of the last 30 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keeping {
    /// So many of the newest.
    Releases(u32),
    /// Those that were there within so many days.
    Days(u32),
}

/// `staging` or `{name: staging, automatic: true}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PhaseEnvironment {
    /// Deployed to when a person says so.
    Manual(EnvironmentName),
    /// With options.
    With(PhaseEnvironmentOptions),
}

/// An environment of a phase, with options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseEnvironmentOptions {
    /// The environment.
    pub name: EnvironmentName,
    /// Deploy as soon as the release enters the phase.
    #[serde(default)]
    pub automatic: bool,
}

impl PhaseEnvironment {
    /// The environment.
    pub fn name(&self) -> &EnvironmentName {
        match self {
            Self::Manual(name) => name,
            Self::With(options) => &options.name,
        }
    }

    /// Whether a release that enters the phase is deployed at once.
    pub fn automatic(&self) -> bool {
        matches!(self, Self::With(options) if options.automatic)
    }
}

/// How many environments of a phase must have the release before the next phase opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Required {
    /// Every one.
    #[default]
    All,
    /// That many.
    Minimum(u32),
    /// None; automatic deployments do not happen in an optional phase.
    Optional,
}
