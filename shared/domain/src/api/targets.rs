//! What is seen on targets, and in what that differs from what was deployed there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    id::DeploymentId,
    inspection::Inspection,
    name::{EnvironmentName, ProjectName, StepName, TargetName},
    text::sha256_hex,
};

/// Answer of `POST /api/v1/target-status/{target}/check`: what an executor sees there at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetCheck {
    /// The target.
    pub target: TargetName,
    /// Its Docker endpoint.
    pub docker: String,
    /// What was seen; none if nobody could look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Inspection>,
    /// What keeps deployments from working there, and what may soon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// In what it differs from what was deployed there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
}

/// `GET /api/v1/drift`: in what targets differ from what was deployed to them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DriftReport {
    /// The differences, by target.
    pub drift: Vec<Drift>,
    /// Targets that nobody could look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<Unseen>,
    /// How many targets were looked at.
    pub looked_at: usize,
    /// What their engines run images for, such as `linux/amd64`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<TargetName, String>,
}

/// A target that nobody could look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// Which.
    pub target: TargetName,
    /// Why.
    pub reason: String,
}

/// One thing that is not as it was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Where.
    pub target: TargetName,
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The step that made the container.
    pub step: StepName,
    /// The deployment that made it.
    pub deployment: DeploymentId,
    /// The release that it is of.
    pub version: String,
    /// The container's name.
    pub container: String,
    /// What happened to it.
    pub kind: DriftKind,
    /// The same for people.
    pub detail: String,
}

impl Drift {
    /// What tells it from other drift: without what only counts on.
    fn identity(&self) -> [&str; 7] {
        let Self { target, project, environment, step, container, kind, detail, .. } = self;
        let detail = match kind {
            DriftKind::Changed | DriftKind::Replaced | DriftKind::Stopped => detail.as_str(),
            _ => "",
        };
        let (project, environment) = (project.as_str(), environment.as_str());
        [target.as_str(), project, environment, step.as_str(), container, kind.as_str(), detail]
    }
}

/// By what people say which drift they know of; none for no drift.
pub fn drift_digest(drift: &[Drift]) -> Option<String> {
    if drift.is_empty() {
        return None;
    }
    let mut all: Vec<_> = drift.iter().map(Drift::identity).collect();
    all.sort_unstable();
    let json = serde_json::to_vec(&all).expect("invariant: texts are plain JSON");
    Some(sha256_hex(&json)[..12].to_owned())
}

/// What happened to a container since it was deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriftKind {
    /// It is not there any more.
    Gone,
    /// Another one with its labels stands in its place.
    Replaced,
    /// It does not run.
    Stopped,
    /// The engine had to start it again more often than is good.
    Restarting,
    /// Its HEALTHCHECK says no.
    Unhealthy,
    /// Its name, networks, limits or restart policy are others.
    Changed,
    /// It runs, though something newer was deployed in its place, or it failed to prove good.
    Stray,
}

impl DriftKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Replaced => "replaced",
            Self::Stopped => "stopped",
            Self::Restarting => "restarting",
            Self::Unhealthy => "unhealthy",
            Self::Changed => "changed",
            Self::Stray => "stray",
        }
    }
}
