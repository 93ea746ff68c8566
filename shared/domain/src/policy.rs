//! What holds for all deployments together. It is in the log, in an entry of its own, so that a
//! change of it has a place in the log's order and everybody who folds knows the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    manifest::{Freeze, Manifest},
    name::EnvironmentName,
};

/// The payload of `PolicySet`: what the manifests say, as a whole; the newest one holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How many deployments may run at a time, over all; any number without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployments: Option<u32>,
    /// How many deployments may run at a time in an environment, over all projects.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<EnvironmentName, u32>,
    /// When deployments may not start, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
}

impl Policy {
    /// What these manifests say.
    pub fn of<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> Self {
        let mut policy = Self::default();
        for manifest in manifests {
            match manifest {
                Manifest::Environment(environment) => {
                    let limit = environment.parallelism.map(|limit| (environment.name.clone(), limit));
                    policy.environments.extend(limit);
                }
                Manifest::Freeze(freeze) => policy.freezes.push((**freeze).clone()),
                Manifest::Limits(limits) => policy.deployments = limits.deployments,
                _ => {}
            }
        }
        policy.freezes.sort_by(|a, b| a.name.cmp(&b.name));
        policy
    }
}
