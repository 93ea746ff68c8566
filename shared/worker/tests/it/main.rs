//! The worker against a real nats-server; the test plays the planner and the release service.

#![expect(clippy::unwrap_used, reason = "what a test can not set up fails it")]

#[path = "../../../bus/tests/support/nats.rs"]
mod nats;

mod draining;
mod leases;
mod masking;
mod planner;
mod sharing;
mod stopping;
