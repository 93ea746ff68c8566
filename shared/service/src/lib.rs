//! What every `main.rs` needs: settings, telemetry, health, shutdown.
//!
//! Knows nothing of deployments; no crate of ours below it.

pub mod args;
pub mod crypto;
pub mod failpoint;
pub mod ops;
pub mod program;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;

pub use args::Command;
