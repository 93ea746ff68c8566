//! Releases and the request for a deployment: everything a deployment needs, by value, so that a
//! later edit of a project, a variable or a target changes nothing that is under way.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    duration::Span,
    event::Actor,
    id::{DeploymentId, TaskKey},
    image::ImageRef,
    manifest::{DockerTls, GuidedFailure, Member, Queue, Step, Variable, VariableSet},
    name::{
        ChannelName, EnvironmentName, FreezeName, PackageName, PersonName, ProjectName, RoleName, StepName, TargetName,
        TeamName, VariableSetName,
    },
    order::Outputs,
    secret::SecretRef,
    version::Tag,
};

/// The rules of `engine` that a deployment is judged by; a planner that does not know the version
/// leaves the deployment alone.
pub const RULES_VERSION: u32 = 1;

/// What is deployed: a frozen process with frozen image digests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseSnapshot {
    /// The project.
    pub project: ProjectName,
    /// The release's version, such as `1.2.0`; unique within the project.
    pub version: String,
    /// The channel it was made in.
    pub channel: ChannelName,
    /// The images, by package.
    pub packages: BTreeMap<PackageName, Package>,
    /// The process as it was when the release was made.
    pub steps: Vec<Step>,
    /// The variables as they were when the release was made; secrets by reference.
    pub variables: Vec<Variable>,
    /// The sets that the project included then, as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variable_sets: Vec<VariableSet>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// What is new in it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

impl ReleaseSnapshot {
    /// Every definition of a variable, and the set that it is from; the project's own first.
    pub fn definitions(&self) -> impl Iterator<Item = (&Variable, Option<&VariableSetName>)> {
        let own = self.variables.iter().map(|variable| (variable, None));
        let included = self.variable_sets.iter().flat_map(|set| set.variables.iter().map(|v| (v, Some(&set.name))));
        own.chain(included)
    }
}

/// An image of a release, and how its registry is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// The image, by digest.
    pub image: ImageRef,
    /// Credentials for pulling, if the feed has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PullCredentials>,
    /// What it runs on, such as `linux/amd64`, as the registry told; empty if nobody knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
}

/// Credentials for pulling: the user name, and the password as a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PullCredentials {
    /// User name at the registry.
    pub username: String,
    /// The password.
    pub password: SecretRef,
}

/// A Docker host as it was known when the deployment was requested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetSnapshot {
    /// Its name.
    pub name: TargetName,
    /// What it is for.
    pub roles: Vec<RoleName>,
    /// Its Docker endpoint, such as `unix:///var/run/docker.sock`.
    pub docker: String,
    /// How both sides of a `tcp://` endpoint prove who they are: files of the executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<DockerTls>,
    /// How many tasks may run on it at a time, over all deployments; at least 1.
    pub parallelism: u32,
}

/// A target that a deployment leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutTarget {
    /// Which.
    pub target: TargetName,
    /// Why.
    pub reason: String,
}

/// Everything a deployment is made of. The payload of `Requested`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The deployment's id.
    pub id: DeploymentId,
    /// Where to.
    pub environment: EnvironmentName,
    /// What.
    pub release: ReleaseSnapshot,
    /// The environment's targets, or those of them that it is for.
    pub targets: Vec<TargetSnapshot>,
    /// Targets that could not be deployed to when it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutTarget>,
    /// The targets that were named; all of the environment's if none was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<TargetName>,
    /// The versions of the secrets that the variables name, and of the feeds' passwords.
    pub secrets: Vec<SecretRef>,
    /// Members of the teams that approvals name.
    pub teams: BTreeMap<TeamName, Vec<Member>>,
    /// Who asked for it.
    pub requested_by: Actor,
    /// A digest of what was asked; the same id with another digest is a conflict.
    pub body_digest: String,
    /// The rules that judge it.
    pub rules_version: u32,
    /// Steps that the person left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<StepName>,
    /// It starts no earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    /// Freezes that do not keep it from starting, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignores: Option<Ignores>,
    /// How long it may take from its start; after that it is stopped and has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// What the environment's queue does with it.
    #[serde(default, skip_serializing_if = "Queue::is_wait")]
    pub queue: Queue,
    /// Whether a failed task asks a person what to do, and whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guided_failure: Option<GuidedFailure>,
    /// What it is, compared with what the environment had when it was asked for.
    #[serde(default, skip_serializing_if = "Mode::is_deploy")]
    pub mode: Mode,
    /// The release that the environment had then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The deployment that this one goes on with, and what is done already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// Values that were given for variables with a `prompt`; the release's variables have them already.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

/// A deployment, compared with what the environment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A newer release, or the first.
    #[default]
    Deploy,
    /// The same release again.
    Redeploy,
    /// An older release.
    Rollback,
}

impl Mode {
    /// Of a release where another one, or none, is. Versions that can not be compared count as newer.
    pub fn of(current: Option<&str>, version: &str) -> Self {
        let Some(current) = current else { return Self::Deploy };
        if current == version {
            return Self::Redeploy;
        }
        match (Tag::parse(current), Tag::parse(version)) {
            (Ok(current), Ok(version)) if version < current => Self::Rollback,
            _ => Self::Deploy,
        }
    }

    /// Whether it is the default.
    pub fn is_deploy(&self) -> bool {
        *self == Self::Deploy
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Redeploy => "redeploy",
            Self::Rollback => "rollback",
        }
    }
}

/// Freezes that a person ignores, who may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ignores {
    /// Which.
    pub freezes: Vec<FreezeName>,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Ignores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.freezes.iter().map(|name| name.as_str()).collect();
        write!(f, "freeze {}: {}", names.join(", "), self.reason)
    }
}

/// An earlier deployment of the same release that ended without success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retries {
    /// The earlier deployment.
    pub deployment: DeploymentId,
    /// What succeeded there and is not done again, with what it gave.
    pub done: Vec<Done>,
}

/// A task that an earlier deployment did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The task.
    pub task: TaskKey,
    /// What it gave to later steps.
    #[serde(default)]
    pub outputs: Outputs,
}

impl Request {
    /// The project that is deployed.
    pub fn project(&self) -> &ProjectName {
        &self.release.project
    }

    /// The teams of a person, among those in the snapshot.
    pub fn teams_of(&self, person: &PersonName) -> Vec<&TeamName> {
        self.teams
            .iter()
            .filter(|(_, members)| members.iter().any(|m| m.person() == person))
            .map(|(team, _)| team)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_compared_with_what_the_environment_has() {
        for (current, version, mode) in [
            (None, "1.0", Mode::Deploy),
            (Some("1.0"), "1.1", Mode::Deploy),
            (Some("1.9"), "1.10", Mode::Deploy),
            (Some("1.1"), "1.1", Mode::Redeploy),
            (Some("1.1"), "1.0", Mode::Rollback),
            (Some("1.1"), "1.1-rc1", Mode::Rollback),
            (Some("v1.0"), "1.0", Mode::Deploy),
            (Some("red"), "blue", Mode::Deploy),
        ] {
            assert_eq!(Mode::of(current, version), mode, "{version} where {current:?} is");
        }
    }
}
