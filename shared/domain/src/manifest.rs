//! Manifests: what people write in YAML and apply.
//!
//! Each kind is a struct that refuses unknown keys. Parsing texts is in [`parse`]; rules that need
//! more than one manifest (does this lifecycle exist?) are the release service's.

pub mod check;
mod freeze;
pub mod parse;
mod project;
mod rolling;
pub mod step;
mod variable;

use serde::{Deserialize, Serialize};

pub use freeze::*;
pub use project::*;
pub use rolling::*;
pub use step::*;
pub use variable::*;

use crate::{
    duration::Span,
    name::{
        EnvironmentName, FeedName, LifecycleName, LimitsName, PersonName, RoleName, SecretName, TargetName, TeamName,
        WebhookName,
    },
};

/// One document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: SecretUse,
}

/// `{secret: NAME}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretUse {
    /// The secret's name.
    pub secret: SecretName,
}

/// A place that releases are promoted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

/// What becomes of a deployment of an older release than the environment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// How much may happen at a time, over all projects and environments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name; `worker`, `notifier` and `all` are taken.
    pub name: TargetName,
    /// The environments it belongs to.
    pub environments: Vec<EnvironmentName>,
    /// What it is for.
    #[serde(default)]
    pub roles: Vec<RoleName>,
    /// Its Docker endpoint: `unix:///path/to/docker.sock`.
    pub docker: String,
    /// How many tasks may run on it at a time.
    #[serde(default = "one")]
    pub parallelism: u32,
}

fn one() -> u32 {
    1
}

/// The order in which a release goes through environments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifecycle {
    /// Its name.
    pub name: LifecycleName,
    /// The phases, in order.
    pub phases: Vec<Phase>,
}

/// One phase of a lifecycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

/// `staging` or `{name: staging, automatic: true}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PhaseEnvironment {
    /// Deployed to when a person says so.
    Manual(EnvironmentName),
    /// With options.
    With(PhaseEnvironmentOptions),
}

/// An environment of a phase, with options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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

/// Persons that may decide at gates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// Its name.
    pub name: TeamName,
    /// Its members.
    #[serde(default)]
    pub members: Vec<Member>,
}

/// `ana` or `{name: ana, slack: U012AB3CD}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Member {
    /// A person.
    Person(PersonName),
    /// A person with chat identities.
    With(MemberIdentities),
}

/// A person and who they are in chat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberIdentities {
    /// The person.
    pub name: PersonName,
    /// Slack user id, such as `U012AB3CD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<String>,
}

impl Member {
    /// The person.
    pub fn person(&self) -> &PersonName {
        match self {
            Self::Person(name) => name,
            Self::With(with) => &with.name,
        }
    }

    /// The person's Slack user id.
    pub fn slack(&self) -> Option<&str> {
        match self {
            Self::Person(_) => None,
            Self::With(with) => with.slack.as_deref(),
        }
    }
}

/// A sender of registry webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
