//! The database of the release service, SQLite or Postgres: the only home of sea-orm.
//!
//! What people own (manifests, releases, tokens, secrets) lives here and nowhere else. What the log
//! owns (deployments, tasks, the archive) is a projection: [`Store::project`] writes it together
//! with its offset in one transaction, and it can be dropped and built again.
//! One file per aggregate; no rule of Slipway is in this crate, and no sea-orm type leaves it.

mod archive;
mod audit;
mod blocks;
mod connect;
mod deployments;
mod error;
mod manifests;
mod migrations;
mod offsets;
mod projection;
mod purges;
mod pushes;
mod reached;
mod rebuild;
mod releases;
mod retirement;
mod secrets;
mod settings;
mod standing;
mod tokens;
mod webhooks;

pub use audit::Audit;
pub use connect::Store;
pub use deployments::{BoardRow, DeploymentFilter, TaskRow};
pub use error::StoreError;
pub use manifests::ManifestChange;
pub use projection::{Batch, DeploymentChange, Projected};
pub use reached::Reached;
pub use releases::ReleaseRow;
pub use retirement::LastReach;
pub use secrets::SealedSecret;
pub use standing::Standing;
pub use tokens::{NewToken, TokenOwner};
