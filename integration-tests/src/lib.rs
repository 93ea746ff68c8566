//! The whole of Slipway as its users run it, for tests: real NATS, real Docker, a real registry, a
//! real database and the real programs as processes that can be killed.
//!
//! [`stack::Stack`] starts all of it in a folder of its own, on ports of its own, with names of its
//! own, so that many can run side by side on one Docker engine. Nothing here knows a rule of
//! Slipway: the tests say what must be true.

pub mod chaos;
pub mod client;
pub mod containers;
pub mod engine;
pub mod failpoints;
pub mod history;
pub mod host;
pub mod link;
pub mod log;
pub mod machine;
pub mod otlp;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod registry;
pub mod rehearsal;
pub mod settings;
pub mod shop;
pub mod slack;
pub mod stack;
pub mod tiny_image;
pub mod wait;
