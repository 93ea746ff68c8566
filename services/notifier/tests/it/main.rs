//! The notifier as a process, with a real NATS server and a small local Slack.
//!
//! The tests play the planner: they write what a planner writes and ring the notifier's doorbell.

mod approvals;
mod notices;
mod stage;
