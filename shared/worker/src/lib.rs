//! The life of a task at its holder: claim, checkpoints, secrets, output, end.
//!
//! An executor or the notifier says how a task is done ([`Perform`]); this crate makes sure that it
//! is done by one holder at a time, that a holder which lost its claim stops, and that nothing it
//! prints holds a secret. It has no rules: what to do is complete in the doorbell's order.

mod attempt;
mod chain;
mod held;
mod lock;
mod mask;
mod output;
mod places;
mod presence;
mod secrets;
mod serve;
mod waiting;

use std::{path::PathBuf, sync::Arc};

use slipway_domain::{
    event::Failure,
    name::{HolderName, TargetName},
    order::{Doorbell, Outputs},
    presence::Role,
};

pub use held::Held;
pub use output::Stream;
pub use serve::serve;

/// Who holds, for which targets, and how much at a time.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Executor or notifier.
    pub role: Role,
    /// Its name; stable over restarts.
    pub name: HolderName,
    /// The targets whose tasks it takes.
    pub targets: Vec<TargetName>,
    /// How many tasks it holds at a time.
    pub slots: usize,
    /// Where its lock is; made if missing. Two processes of one name on one machine share it and exclude each other.
    pub state_dir: PathBuf,
}

/// How tasks are done.
pub trait Perform: Send + Sync + 'static {
    /// Does one. Markers of secrets in the order's texts are to be replaced with [`Held::fill`]. The future is dropped
    /// when the claim is lost, and some time after it was told to stop ([`Held::cancelled`]).
    fn perform(&self, held: Arc<Held>, doorbell: &Doorbell) -> impl Future<Output = End> + Send;
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Done, with values for later steps.
    Succeeded(Outputs),
    /// Not done.
    Failed(Failure),
    /// Nobody can tell whether an effect happened; what is not known.
    Unknown(String),
    /// Stopped as asked.
    Cancelled,
}

/// The claim is lost: somebody else may hold the task already. Stop at once, touch nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claim was lost")]
pub struct Fenced;

/// Why a worker can not serve.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Another process of this name runs here.
    #[error(
        "{path} is locked by another process; end it first, or give this one a name and a state directory of its own"
    )]
    Locked {
        /// The lock file.
        path: String,
    },
    /// The state directory is of no use.
    #[error("cannot use the state directory {path}: {reason}")]
    StateDir {
        /// The directory.
        path: String,
        /// Why.
        reason: String,
    },
    /// NATS lets it hear no doorbell or no nudge of a target.
    #[error(
        "NATS does not permit this service to subscribe to `{subject}`, so it can not serve target `{target}`; let its NATS user subscribe to `task.{target}` and `cancel.{target}`, or do not give it this target"
    )]
    Deaf {
        /// The target.
        target: TargetName,
        /// What it may not hear.
        subject: String,
    },
    /// The bus refuses.
    #[error(transparent)]
    Bus(#[from] slipway_bus::BusError),
}
