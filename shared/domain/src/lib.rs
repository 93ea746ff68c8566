//! The nouns of Slipway and their wire formats.
//!
//! Everything that crosses a process border is defined here: names, versions, images, manifests,
//! releases, plans, events, orders and the bodies of the HTTP API. Nothing in this crate does I/O,
//! reads a clock or draws a random number.

pub mod api;
pub mod duration;
pub mod event;
pub mod id;
pub mod image;
pub mod inspection;
pub mod manifest;
pub mod name;
pub mod order;
pub mod plan;
pub mod policy;
pub mod presence;
pub mod release;
pub mod secret;
pub mod text;
pub mod version;
