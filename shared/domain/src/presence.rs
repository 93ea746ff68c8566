//! Who is alive: what services say of themselves every few seconds. A hint, never a truth.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{HolderName, TargetName};

/// How often presence is renewed, in seconds.
pub const RENEW_SECS: u64 = 5;
/// Silence after which a holder counts as gone, in seconds. From ENGINE: three missed renewals.
pub const LEASE_SECS: u64 = 15;

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// `slipway-release`
    Release,
    /// `slipway-planner`
    Planner,
    /// `slipway-executor`
    Executor,
    /// `slipway-notifier`
    Notifier,
}

impl Role {
    /// The word for it, as in keys and subjects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Planner => "planner",
            Self::Executor => "executor",
            Self::Notifier => "notifier",
        }
    }
}

/// One service process that is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Which service.
    pub role: Role,
    /// Which one; stable over restarts.
    pub id: HolderName,
    /// Drawn at every start, and published only while holding the lock of the state directory, so
    /// that another boot of the same id proves the old process dead.
    pub boot: Uuid,
    /// Program version.
    pub version: String,
    /// The targets it serves; empty for all but executors and the notifier.
    pub targets: Vec<TargetName>,
    /// It takes no new work and ends when its work is done.
    #[serde(default)]
    pub draining: bool,
    /// How far a release service has read the log into its archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<Mark>,
}

/// A message of the log by which the log is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its sequence.
    pub seq: u64,
    /// Its envelope's id.
    pub id: Uuid,
}
