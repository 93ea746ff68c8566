//! What something waits for.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    event::Actor,
    id::DeploymentId,
    name::{FreezeName, HolderName, StepName, TargetName, TeamName},
};

/// One thing of `GET /api/v1/deployments/{id}/why` that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The step; none if it is the deployment as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepName>,
    /// The target; none if it is the step as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
    /// What for.
    #[serde(flatten)]
    pub reason: WaitingReason,
}

/// What something waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "waits-for", rename_all = "kebab-case")]
pub enum WaitingReason {
    /// A planner's next decision; longer than a moment only when no planner runs.
    Planner,
    /// Another deployment to leave the environment.
    Lane {
        /// Which one.
        held_by: DeploymentId,
    },
    /// Its environment, which it gave back while people were asked.
    Yielded {
        /// Since when.
        since: DateTime<Utc>,
    },
    /// The end of a freeze.
    Freeze {
        /// Which one.
        freeze: FreezeName,
        /// When nothing freezes it any more; none if that is not in sight.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<DateTime<Utc>>,
    },
    /// A deployment of its environment to end: as many run as may.
    EnvironmentLimit {
        /// How many may run there at a time.
        limit: u32,
    },
    /// Any deployment to end: as many run as may.
    TotalLimit {
        /// How many may run at a time.
        limit: u32,
    },
    /// Deployments of other projects, whose turn it is to take the room that there is.
    Turn,
    /// Its scheduled start.
    Scheduled {
        /// When.
        at: DateTime<Utc>,
    },
    /// Somebody to resume it.
    Paused {
        /// Who paused it.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// Other steps to end.
    Needs {
        /// Which.
        steps: Vec<StepName>,
    },
    /// People.
    People {
        /// Of these teams; anyone's who may deploy if empty.
        teams: Vec<TeamName>,
        /// The opening that their votes name.
        opened: u64,
        /// When it counts as rejected.
        expires: DateTime<Utc>,
    },
    /// The step before it, or behind it while it is taken back, on the same target.
    Series {
        /// Which.
        step: StepName,
    },
    /// A place in the step's rolling window.
    Window,
    /// The canary's end.
    Canary,
    /// The pause between two targets.
    Pause {
        /// Until when.
        until: DateTime<Utc>,
    },
    /// A slot of its target.
    TargetBusy {
        /// How many tasks may run there.
        limit: u32,
    },
    /// Its next attempt.
    Retry {
        /// When.
        at: DateTime<Utc>,
        /// Why the last one failed.
        failure: String,
    },
    /// An executor to claim it.
    Executor {
        /// Since when it may be claimed.
        since: DateTime<Utc>,
    },
    /// An executor to claim it, and none serves the target.
    TargetAbsent {
        /// Since when it may be claimed.
        since: DateTime<Utc>,
    },
    /// Its end: it is being done.
    Running {
        /// By whom.
        holder: HolderName,
        /// The attempt.
        attempt: u32,
        /// Since when.
        since: DateTime<Utc>,
    },
    /// Somebody to repair it: its history has an impossible entry.
    Corrupt {
        /// Which.
        fact: String,
    },
}
