//! Projects: what is deployed, from which images, in which channels, with which variables.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{GuidedFailure, Step};
use crate::{
    duration::Span,
    name::{
        ChannelName, EnvironmentName, FeedName, LifecycleName, PackageName, ProjectName, RoleName, SecretName,
        StepName, TargetName,
    },
};

/// What is deployed, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageSource {
    /// The registry.
    pub feed: FeedName,
    /// The repository, such as `shop/web`.
    pub image: String,
}

/// Which versions a release may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerEvent {
    /// An image arrived in a registry and a webhook told so.
    Push,
}

/// A value, or a secret, under a name, where the scope fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name; names that differ only in case are the same.
    pub name: String,
    /// The value; may use other variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The secret that holds the value, instead of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// Where it holds; everywhere without.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
}

/// Where a variable holds. All that is said must fit; of several values of one dimension one must.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// In these environments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<OneOrMany<EnvironmentName>>,
    /// On these targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<OneOrMany<TargetName>>,
    /// On targets of these roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<OneOrMany<RoleName>>,
    /// In these steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<OneOrMany<StepName>>,
    /// In releases of these channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<OneOrMany<ChannelName>>,
}

impl Scope {
    /// Whether it holds everywhere.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `x` or `[x, y]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T: PartialEq> OneOrMany<T> {
    /// Whether `x` is among them.
    pub fn contains(&self, x: &T) -> bool {
        self.as_slice().contains(x)
    }

    /// All of them.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}
