//! Bodies of `/api/v1/damaged`, `…/abandon` and `/api/v1/rebuild`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    id::DeploymentId,
    name::{EnvironmentName, ProjectName},
};

/// One deployment of `GET /api/v1/damaged`: an entry of the log that can not follow, or can not be read, stopped it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Damaged {
    /// Which.
    pub id: DeploymentId,
    /// Its project.
    pub project: ProjectName,
    /// Its environment, whose queue it holds up.
    pub environment: EnvironmentName,
    /// Its release.
    pub version: String,
    /// When it was requested.
    pub requested_at: DateTime<Utc>,
    /// The entry, and what is wrong with it.
    pub fact: String,
}

/// Body of `POST /api/v1/deployments/{id}/abandon`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abandon {
    /// Why it may be given up, and what was looked at on its targets.
    pub reason: String,
}

/// Answer of `/api/v1/rebuild`: the rows of deployments, written anew from the archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Rebuild {
    /// None since this service started.
    #[default]
    None,
    /// Under way.
    Running {
        /// The entry of the log that was read last.
        at: u64,
        /// The last one to be read.
        to: u64,
    },
    /// Over.
    Done {
        /// Entries read.
        events: u64,
        /// Deployments written.
        deployments: u64,
        /// Deployments that no entry knows, taken away.
        dropped: u64,
    },
    /// Given up; the rows are as they were, or partly new.
    Failed {
        /// Why.
        reason: String,
    },
}
