//! What an executor sees on a target when it is asked to look: the engine, and the containers that
//! Slipway made there. A hint for people and for plans; no deployment depends on it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    id::DeploymentId,
    image::Digest,
    manifest::DockerTls,
    name::{EnvironmentName, HolderName, ProjectName, StepName, TargetName},
};

/// What an executor is asked, outside of any deployment. Executors choose nothing: what goes is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "errand", rename_all = "kebab-case")]
pub enum Errand {
    /// To look.
    Inspect {
        /// The target's Docker endpoint.
        #[serde(flatten)]
        at: Endpoint,
    },
    /// To remove what is not needed any more. What runs, what Slipway did not make, and images that a container uses
    /// stay, whatever is named.
    Remove {
        /// The target's Docker endpoint.
        #[serde(flatten)]
        at: Endpoint,
        /// Ids of containers that do not run.
        containers: Vec<String>,
        /// Images, as `REGISTRY/REPOSITORY@DIGEST`.
        images: Vec<String>,
    },
}

/// Where a Docker engine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Such as `unix:///var/run/docker.sock`.
    pub docker: String,
    /// How both sides of a `tcp://` endpoint prove who they are: files of the executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<DockerTls>,
}

/// What came of an [`Errand`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum ErrandAnswer {
    /// Of a look.
    Seen(Box<Inspection>),
    /// Of a removal: what is gone now, in the words of the errand.
    Removed {
        /// Ids of containers.
        containers: Vec<String>,
        /// Images.
        images: Vec<String>,
    },
    /// The engine does not answer, or says no.
    Failed {
        /// Who was asked.
        executor: HolderName,
        /// Why, for people.
        reason: String,
    },
}

/// What was seen on a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Who looked.
    pub executor: HolderName,
    /// The engine.
    pub engine: EngineFacts,
    /// The containers that Slipway made for this target, the oldest first; also of other endpoints' names for the same engine.
    pub containers: Vec<Found>,
}

/// What an engine says of itself and of its host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFacts {
    /// Docker's version.
    pub version: String,
    /// The newest API that it speaks.
    pub api: String,
    /// What images it runs, such as `linux/amd64`.
    pub platform: String,
    /// The host's name for itself.
    pub host: String,
    /// Its processors.
    pub cpus: u64,
    /// Its memory, in bytes.
    pub memory: u64,
    /// How far its clock is ahead of the executor's, in milliseconds, by the middle of the question; negative: behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// The disk that it keeps images and containers on; none if the executor can not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
}

/// Room on a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Free for the engine.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// A container that Slipway made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What for: `run`, `job` or `files`.
    pub kind: String,
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release's version.
    pub release: String,
    /// The deployment that made it.
    pub deployment: DeploymentId,
    /// The step.
    pub step: StepName,
    /// What it does.
    pub life: FoundLife,
    /// What its HEALTHCHECK says: `starting`, `healthy` or `unhealthy`; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// How often the engine started it again.
    #[serde(default)]
    pub restarts: u64,
    /// When it was started last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// The reference of its image, as it was created with.
    pub image: String,
    /// [`settings`] of it.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl Found {
    /// The digest in the reference of its image, if it was created by digest.
    pub fn digest(&self) -> Option<Digest> {
        Digest::new(self.image.split_once('@')?.1).ok()
    }
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoundLife {
    /// Created, never started.
    Created,
    /// Running.
    Running,
    /// Running, and frozen.
    Paused,
    /// Between two runs of its restart policy.
    Restarting,
    /// Over, with its exit code.
    Ended(i64),
}

impl FoundLife {
    /// Whether it serves, or is about to.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::Created | Self::Ended(_))
    }
}

/// Of a document of `docker inspect`, what can be changed while a container is there (`docker update`, `rename`,
/// `network connect`), so that it can be told later whether somebody did. Empty where the document has no part of it.
pub fn settings(document: &Value) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let mut put = |name: &str, value: String| drop(settings.insert(name.to_owned(), value));
    if let Some(name) = document["Name"].as_str() {
        put("name", name.trim_start_matches('/').to_owned());
    }
    if let Some(networks) = document.pointer("/NetworkSettings/Networks").and_then(Value::as_object) {
        let mut names: Vec<&str> = networks.keys().map(String::as_str).collect();
        names.sort_unstable();
        put("networks", names.join(" "));
    }
    if let Some(host) = document["HostConfig"].as_object() {
        let number = |key: &str| host.get(key).and_then(Value::as_i64).unwrap_or(0).max(0).to_string();
        let restart = &document["HostConfig"]["RestartPolicy"];
        put("restart", restart["Name"].as_str().unwrap_or("no").to_owned());
        for (name, key) in [("memory", "Memory"), ("cpu-shares", "CpuShares"), ("pids", "PidsLimit")] {
            put(name, number(key));
        }
        put("cpus", cpus(host));
    }
    settings
}

/// Limits of processor time are said in two ways that mean the same.
fn cpus(host: &serde_json::Map<String, Value>) -> String {
    let number = |key: &str| host.get(key).and_then(Value::as_i64).unwrap_or(0);
    let (nano, quota, period) = (number("NanoCpus"), number("CpuQuota"), number("CpuPeriod"));
    let nano = if nano == 0 && quota > 0 {
        let period = if period > 0 { period } else { 100_000 };
        quota.saturating_mul(1_000_000_000 / period)
    } else {
        nano
    };
    nano.to_string()
}

/// Whose place a container stands at.
pub type Place = (ProjectName, EnvironmentName, StepName, TargetName);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_what_can_be_changed_later() {
        let document = json!({
            "Name": "/shop-web", "NetworkSettings": {"Networks": {"front": {}, "bridge": {}}},
            "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}, "Memory": 1024, "CpuQuota": 50000, "CpuPeriod": 100000, "PidsLimit": null},
        });
        let settings = settings(&document);
        let all: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            all,
            [
                "cpu-shares=0",
                "cpus=500000000",
                "memory=1024",
                "name=shop-web",
                "networks=bridge front",
                "pids=0",
                "restart=unless-stopped"
            ]
        );
        assert!(super::settings(&json!({"slipway.left_out": ["HostConfig"]})).is_empty());
    }

    #[test]
    fn errands_are_read_back() {
        let at = Endpoint { docker: "unix:///var/run/docker.sock".into(), tls: None };
        let errand = Errand::Inspect { at };
        let text = serde_json::to_string(&errand).unwrap();
        assert_eq!(text, r#"{"errand":"inspect","docker":"unix:///var/run/docker.sock"}"#);
        assert_eq!(serde_json::from_str::<Errand>(&text).unwrap(), errand);
    }
}
