//! Projects: what is deployed, from which images, in which channels, with which variables.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GuidedFailure, Step, Variable};
use crate::{
    duration::Span,
    name::{ChannelName, FeedName, LifecycleName, PackageName, ProjectName, VariableSetName},
};

/// What is deployed, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// The lifecycle that its releases follow.
    pub lifecycle: LifecycleName,
    /// Its images.
    #[serde(default)]
    pub packages: IndexMap<PackageName, PackageSource>,
    /// Its channels, first one is the default; without any there is one called `default` that takes everything.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// What makes releases without a person.
    #[serde(default)]
    pub triggers: Vec<Trigger>,
    /// The version of a release for which none is said, a template; the tag of the first package without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Sets of variables that it includes; its own variables go before theirs.
    #[serde(default, rename = "variable-sets", skip_serializing_if = "Vec::is_empty")]
    pub variable_sets: Vec<VariableSetName>,
    /// Variables.
    #[serde(default)]
    pub variables: Vec<Variable>,
    /// Failed tasks ask a person what to do, in every environment.
    #[serde(default, rename = "guided-failure", skip_serializing_if = "Option::is_none")]
    pub guided_failure: Option<GuidedFailure>,
    /// How long a deployment may take from its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The process.
    pub steps: Vec<Step>,
}

/// Where a package's images are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageSource {
    /// The registry.
    pub feed: FeedName,
    /// The repository, such as `shop/web`.
    pub image: String,
}

/// Which versions a release may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Version range in interval notation, such as `[1.0,2.0)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<String>,
    /// Regular expression that the pre-release part must match; `^$` takes only releases without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prerelease: Option<String>,
    /// The lifecycle of the channel's releases; the project's without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<LifecycleName>,
}

/// What makes a release without a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The event.
    pub on: TriggerEvent,
    /// The packages that are watched; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageName>,
    /// The channel of the release; the project's first if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
}

/// Events that triggers act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerEvent {
    /// An image arrived in a registry and a webhook told so.
    Push,
}
