//! `POST /api/v1/plans`: what a deployment would do, without asking for it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    api::{Drift, HoldingFreeze, Unseen},
    id::DeploymentId,
    manifest::{ResultCondition, Scope},
    name::{ChannelName, EnvironmentName, ProjectName, StepName, TargetName, TeamName, VariableSetName},
    release::{LeftOutTarget, Mode},
    secret::SecretRef,
};

/// Answer of `POST /api/v1/plans`; the body is that of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// The project.
    pub project: ProjectName,
    /// The release.
    pub version: String,
    /// The release's channel.
    pub channel: ChannelName,
    /// Where to.
    pub environment: EnvironmentName,
    /// The release that the environment has now; none if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// What the deployment would be, compared with it.
    pub mode: Mode,
    /// Digest of the plan. A deployment that is asked for now has the same one.
    pub digest: String,
    /// The freeze that would keep it from starting now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<HoldingFreeze>,
    /// The unfinished deployments of the project to the environment, which come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<DeploymentId>,
    /// What is not as it was deployed, of what the deployment is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// The targets that nobody could look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<Unseen>,
    /// Targets that can not be deployed to now, and so would be left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out_targets: Vec<LeftOutTarget>,
    /// Images that an engine can not run, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsuitable: Vec<String>,
    /// The steps that take part, each after all that it needs.
    pub steps: Vec<PreviewedStep>,
    /// The steps of the release that do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// One step of a [`Preview`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviewedStep {
    /// Its name.
    pub name: StepName,
    /// Its kind, such as `docker-run`.
    pub kind: String,
    /// The longest way to it, in steps: steps of one rank may run at the same time.
    pub rank: u32,
    /// The step that it is a child of; children follow each other on each target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<StepName>,
    /// The steps that it waits for.
    pub needs: Vec<StepName>,
    /// After what it runs.
    pub result: ResultCondition,
    /// And where this template comes out true.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Why it will be left out whatever happens before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// The people who are asked: by an approval, or about its canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<Asks>,
    /// How many of its targets are in progress at a time, if it is a rolling step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// One per target; none for an approval, nor for a step that has children.
    pub tasks: Vec<PreviewedTask>,
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    /// Whose votes count; empty: of anybody who may deploy.
    pub teams: Vec<TeamName>,
    /// Approvals that it takes.
    pub votes: u32,
    /// Only after so many targets: the canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_targets: Option<usize>,
}

/// One task of a [`Preview`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviewedTask {
    /// Where.
    pub target: TargetName,
    /// Compared with what the step did there last.
    pub change: TaskChange,
    /// Why it will be left out whatever happens before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// The deployment that did it; none if it never succeeded there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<DeploymentId>,
    /// In what its order differs; for a new one all that it says.
    pub differences: Vec<Difference>,
    /// The variables that its texts lead to.
    pub variables: Vec<Resolved>,
}

/// What becomes of a task's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskChange {
    /// The step never succeeded there.
    New,
    /// It did, with another order.
    Changed,
    /// It did, with this very order; it is done again all the same.
    Same,
}

/// One thing in which two orders differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What: a path into the order, such as `image` or `env.GREETING`.
    pub what: String,
    /// As it was; none if it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// As it will be; none if it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A variable's value at a place, and where it is from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// The variable.
    pub name: String,
    /// Its value as written, with the variables that it uses in turn unreplaced; none of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The secret that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// The variable set that it is from; none: the project's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<VariableSetName>,
    /// The scope by which it won.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
}

/// A step of the release that takes no part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which.
    pub name: StepName,
    /// Why.
    pub reason: String,
}

impl Preview {
    /// Its moment in one line, for people.
    pub fn waits(&self) -> Option<String> {
        let until = |until: DateTime<Utc>| format!(" until {}", until.format("%Y-%m-%d %H:%M UTC"));
        let freeze = self.freeze.as_ref();
        let freeze = freeze.map(|f| format!("freeze {}{}", f.name, f.until.map(until).unwrap_or_default()));
        let behind = (!self.behind.is_empty()).then(|| match self.behind.as_slice() {
            [one] => format!("deployment {one}"),
            many => format!("{} deployments, {} first", many.len(), many[0]),
        });
        let all: Vec<_> = freeze.into_iter().chain(behind).collect();
        (!all.is_empty()).then(|| all.join(" and "))
    }
}
