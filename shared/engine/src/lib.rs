//! Every rule of Slipway, pure: no I/O, no clock, no randomness, no environment, not async.
//!
//! A log entry goes in through [`State::apply`]; what to write next comes out of [`decide`]; what
//! may be claimed comes out of [`due`]. Time is an argument, so a replay decides as the live run did.

pub mod channel;
pub mod compile;
mod condition;
pub mod containers;
pub mod decide;
pub mod deployment;
pub mod drift;
pub mod freeze;
pub mod gate;
pub mod keep;
pub mod lifecycle;
pub mod order;
pub mod ports;
pub mod preview;
pub mod ready;
pub mod retention;
pub mod stale;
pub mod state;
pub mod template;
pub mod variables;
pub mod version_range;
pub mod view;
pub mod webhook;
pub mod why;
pub mod yielding;

pub use decide::{Decision, decide, expire, expire_adoptable};
pub use deployment::Deployment;
pub use order::due;
pub use state::{Applied, State};
