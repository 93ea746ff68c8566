//! The names and labels by which containers are found again.
//!
//! A container belongs to a *place* (project, environment, step, target) and to one deployment.
//! Labels can not be changed after creation, so they say who created it and with what.

use std::collections::HashMap;

use slipway_domain::{
    id::{DeploymentId, TaskKey},
    text::sha256_hex,
};

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A service that stays.
    Run,
    /// One that ends by itself.
    Job,
    /// One that never starts; files are taken out of it.
    Files,
    /// No container but a network.
    Network,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Job => "job",
            Self::Files => "files",
            Self::Network => "network",
        }
    }
}

pub const PROJECT: &str = "slipway.project";
pub const ENVIRONMENT: &str = "slipway.environment";
pub const RELEASE: &str = "slipway.release";
pub const DEPLOYMENT: &str = "slipway.deployment";
pub const STEP: &str = "slipway.step";
pub const TARGET: &str = "slipway.target";
pub const ATTEMPT: &str = "slipway.attempt";
pub const EPOCH: &str = "slipway.epoch";
pub const SPEC: &str = "slipway.spec";
pub const KIND: &str = "slipway.kind";
/// The restart policy that its step gives a container, if it is not the usual one; while it is kept for a way back it
/// has another.
pub const RESTART: &str = "slipway.restart";

/// Who creates a container, and for what.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Project name.
    pub project: String,
    /// Environment name.
    pub environment: String,
    /// The release's version.
    pub release: String,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The task.
    pub task: TaskKey,
    /// The attempt that creates.
    pub attempt: u32,
    /// Its fencing token.
    pub epoch: u64,
    /// What for.
    pub kind: Kind,
}

impl Identity {
    /// `<beginning>-<environment>-<target>-<8 hex of a hash of the deployment id>`: the same for
    /// every attempt of a task, so that the engine lets only one of them exist.
    pub fn name(&self, beginning: &str) -> String {
        let hash = sha256_hex(self.deployment.to_string().as_bytes());
        format!("{beginning}-{}-{}-{}", self.environment, self.task.target, &hash[..8])
    }

    /// All labels of a new container.
    pub fn labels(&self, spec: &str) -> HashMap<String, String> {
        [
            (PROJECT, self.project.clone()),
            (ENVIRONMENT, self.environment.clone()),
            (RELEASE, self.release.clone()),
            (DEPLOYMENT, self.deployment.to_string()),
            (STEP, self.task.step.to_string()),
            (TARGET, self.task.target.to_string()),
            (ATTEMPT, self.attempt.to_string()),
            (EPOCH, self.epoch.to_string()),
            (SPEC, spec.to_owned()),
            (KIND, self.kind.as_str().to_owned()),
        ]
        .into_iter()
        .map(|(label, value)| (label.to_owned(), value))
        .collect()
    }

    /// The labels that all containers of the place share, of whatever deployment, as `label=value`.
    pub fn place(&self) -> Vec<String> {
        vec![
            format!("{PROJECT}={}", self.project),
            format!("{ENVIRONMENT}={}", self.environment),
            format!("{STEP}={}", self.task.step),
            format!("{TARGET}={}", self.task.target),
            format!("{KIND}={}", self.kind.as_str()),
        ]
    }
}

/// The hash of what a container is made of. Secrets take part as the markers that stand for them.
pub fn spec(parts: &serde_json::Value) -> String {
    sha256_hex(parts.to_string().as_bytes())[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use slipway_domain::name::{StepName, TargetName};

    use super::*;

    #[test]
    fn a_name_depends_on_the_deployment_and_not_on_the_attempt() {
        let mut identity = Identity {
            project: "shop".into(),
            environment: "staging".into(),
            release: "1.0.0".into(),
            deployment: DeploymentId::derive(&["a"]),
            task: TaskKey::new(StepName::new("web").unwrap(), TargetName::new("web-01").unwrap()),
            attempt: 1,
            epoch: 7,
            kind: Kind::Run,
        };
        let first = identity.name("shop-web");
        assert!(first.starts_with("shop-web-staging-web-01-"), "{first}");
        assert_eq!(first.len(), "shop-web-staging-web-01-".len() + 8);
        identity.attempt = 2;
        assert_eq!(identity.name("shop-web"), first);
        identity.deployment = DeploymentId::derive(&["b"]);
        assert_ne!(identity.name("shop-web"), first);
        assert_eq!(identity.labels("x").len(), 10);
    }
}
