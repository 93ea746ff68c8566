//! Projects by environments, and targets.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{
    api::DeploymentSummary,
    id::TaskKey,
    name::{EnvironmentName, HolderName, ProjectName, StepName, TargetName},
};

/// `GET /api/v1/board`: projects by environments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Board {
    /// The environments, in lifecycle order.
    pub environments: Vec<EnvironmentName>,
    /// One row per project.
    pub projects: Vec<BoardRow>,
}

/// One project of the board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoardRow {
    /// The project.
    pub project: ProjectName,
    /// Its newest release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_release: Option<String>,
    /// By environment; absent where nothing was ever deployed.
    pub cells: BTreeMap<EnvironmentName, BoardCell>,
}

/// One project in one environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BoardCell {
    /// The last deployment that succeeded: what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<DeploymentSummary>,
    /// The newest deployment, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<DeploymentSummary>,
    /// The gates of the newest deployment that wait for a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<StepName>,
    /// Every deployment that is not over, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<Unfinished>,
    /// What was not as it was deployed when it was looked at last, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
    /// What the current release runs as: one per target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerView>,
}

/// A deployment that is not over, with what it asks people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unfinished {
    /// What the list has.
    #[serde(flatten)]
    pub summary: DeploymentSummary,
    /// The gates that wait for a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<StepName>,
    /// The failed tasks that wait for a person to say what to do with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks_about: Vec<TaskKey>,
}

impl Unfinished {
    /// Whether it waits for a person.
    pub fn waits(&self) -> bool {
        !self.waiting_for.is_empty() || !self.asks_about.is_empty()
    }
}

/// A container that a deployment left running.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerView {
    /// The step.
    pub step: StepName,
    /// The target.
    pub target: TargetName,
    /// Its name.
    pub name: String,
    /// Published ports: container port to host port, such as `80` to `8081`.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// The image's digest.
    pub digest: String,
}

/// A target with who serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetView {
    /// Its name.
    pub name: TargetName,
    /// Its environments.
    pub environments: Vec<EnvironmentName>,
    /// Its roles.
    pub roles: Vec<String>,
    /// Its Docker endpoint.
    pub docker: String,
    /// The executors that serve it now; empty: absent.
    pub executors: Vec<HolderName>,
}
