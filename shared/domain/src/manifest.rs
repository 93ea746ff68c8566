//! Manifests: what people write in YAML and apply.
//!
//! Each kind is a struct that refuses unknown keys. Parsing texts is in [`parse`]; rules that need
//! more than one manifest (does this lifecycle exist?) are the release service's.

pub mod check;
mod container;
mod environment;
mod freeze;
mod http;
mod lifecycle;
mod network;
pub mod parse;
mod project;
mod reader;
mod rolling;
pub mod schema;
mod script;
pub mod step;
mod team;
mod variable;
mod when;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use container::*;
pub use environment::*;
pub use freeze::*;
pub use http::*;
pub use lifecycle::*;
pub use network::*;
pub use project::*;
pub use reader::Render;
pub use rolling::*;
pub use script::*;
pub use step::*;
pub use team::*;
pub use variable::*;
pub use when::*;

use crate::{
    duration::Span,
    name::{EnvironmentName, FeedName, LimitsName, RoleName, SecretName, TargetName, WebhookName},
};

/// One document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
pub enum Manifest {
    /// An image registry.
    Feed(Feed),
    /// A place that releases are promoted to.
    Environment(Environment),
    /// A Docker host.
    Target(Target),
    /// How much may happen at a time.
    Limits(Limits),
    /// When deployments do not start.
    Freeze(Box<Freeze>),
    /// The order of environments.
    Lifecycle(Lifecycle),
    /// Variables that projects include.
    VariableSet(VariableSet),
    /// What is deployed, and how.
    Project(Box<Project>),
    /// A sender of registry webhooks.
    Webhook(Webhook),
    /// Persons that may decide.
    Team(Team),
}

/// The kinds of manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// See [`Feed`].
    Feed,
    /// See [`Environment`].
    Environment,
    /// See [`Target`].
    Target,
    /// See [`Limits`].
    Limits,
    /// See [`Freeze`].
    Freeze,
    /// See [`Lifecycle`].
    Lifecycle,
    /// See [`Team`].
    Team,
    /// See [`VariableSet`].
    VariableSet,
    /// See [`Project`].
    Project,
    /// See [`Webhook`].
    Webhook,
}

impl Kind {
    /// Every kind, in an order in which they can be applied.
    pub const ALL: [Self; 10] = [
        Self::Feed,
        Self::Environment,
        Self::Limits,
        Self::Target,
        Self::Lifecycle,
        Self::Team,
        Self::VariableSet,
        Self::Project,
        Self::Freeze,
        Self::Webhook,
    ];

    /// As written in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Feed => "Feed",
            Self::Environment => "Environment",
            Self::Target => "Target",
            Self::Limits => "Limits",
            Self::Freeze => "Freeze",
            Self::Lifecycle => "Lifecycle",
            Self::Team => "Team",
            Self::VariableSet => "VariableSet",
            Self::Project => "Project",
            Self::Webhook => "Webhook",
        }
    }

    /// As written in URLs: `/api/v1/<plural>/<name>`.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Feed => "feeds",
            Self::Environment => "environments",
            Self::Target => "targets",
            Self::Limits => "limits",
            Self::Freeze => "freezes",
            Self::Lifecycle => "lifecycles",
            Self::Team => "teams",
            Self::VariableSet => "variable-sets",
            Self::Project => "projects",
            Self::Webhook => "webhooks",
        }
    }

    /// The kind whose URL word this is.
    pub fn from_plural(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.plural() == word)
    }
}

impl Manifest {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Feed(_) => Kind::Feed,
            Self::Environment(_) => Kind::Environment,
            Self::Target(_) => Kind::Target,
            Self::Limits(_) => Kind::Limits,
            Self::Freeze(_) => Kind::Freeze,
            Self::Lifecycle(_) => Kind::Lifecycle,
            Self::VariableSet(_) => Kind::VariableSet,
            Self::Project(_) => Kind::Project,
            Self::Webhook(_) => Kind::Webhook,
            Self::Team(_) => Kind::Team,
        }
    }

    /// Its name, unique within the kind.
    pub fn name(&self) -> &str {
        match self {
            Self::Feed(m) => m.name.as_str(),
            Self::Environment(m) => m.name.as_str(),
            Self::Target(m) => m.name.as_str(),
            Self::Limits(m) => m.name.as_str(),
            Self::Freeze(m) => m.name.as_str(),
            Self::Lifecycle(m) => m.name.as_str(),
            Self::VariableSet(m) => m.name.as_str(),
            Self::Project(m) => m.name.as_str(),
            Self::Webhook(m) => m.name.as_str(),
            Self::Team(m) => m.name.as_str(),
        }
    }
}

/// A Docker registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Feed {
    /// Its name.
    pub name: FeedName,
    /// Host and port, such as `127.0.0.1:5000` or `ghcr.io`.
    pub registry: String,
    /// How to sign in; anonymous without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Speak http. Without it https is used, except for loopback addresses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain_http: bool,
    /// File, where the release service runs, with the certificates (PEM) that the registry's own is signed with; no
    /// other is believed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// User name and password of a registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: SecretUse,
}

/// `{secret: NAME}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretUse {
    /// The secret's name.
    pub secret: SecretName,
}

/// How much may happen at a time, over all projects and environments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Its name: [`Limits::NAME`], so that there is one of it.
    pub name: LimitsName,
    /// How many deployments may run at a time; any number without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployments: Option<u32>,
}

impl Limits {
    /// The only name.
    pub const NAME: &str = "all";
}

/// A Docker host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name; `worker`, `notifier` and `all` are taken.
    pub name: TargetName,
    /// The environments it belongs to.
    pub environments: Vec<EnvironmentName>,
    /// What it is for.
    #[serde(default)]
    pub roles: Vec<RoleName>,
    /// Its Docker endpoint: `unix:///path/to/docker.sock`, `tcp://host:2376` with `tls`, or `ssh://user@host`.
    pub docker: String,
    /// How both sides of a `tcp://` endpoint prove who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<DockerTls>,
    /// How many tasks may run on it at a time.
    #[serde(default = "one")]
    pub parallelism: u32,
}

/// Files in PEM, as the executor finds them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerTls {
    /// Certificates of the authority that the engine's own is signed with. No other is believed.
    pub ca: String,
    /// The executor's certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

fn one() -> u32 {
    1
}

/// A sender of registry webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its name.
    pub name: WebhookName,
    /// What sends.
    pub source: WebhookSource,
    /// The feeds whose images it may announce.
    pub feeds: Vec<FeedName>,
    /// The value that the `Authorization` header must have, beside the token in the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<SecretUse>,
}

/// Kinds of senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookSource {
    /// The CNCF distribution registry, and all that speak its notification envelope.
    Distribution,
}

impl WebhookSource {
    /// As in manifests and URLs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Distribution => "distribution",
        }
    }
}

/// Longest time a step may be given.
pub const DEFAULT_TIMEOUT: Span = Span::secs(600);
