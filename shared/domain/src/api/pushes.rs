//! Deliveries of registry webhooks.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What became of a webhook delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PushView {
    /// Its place in the inbox.
    pub seq: u64,
    /// When it arrived.
    pub at: DateTime<Utc>,
    /// The Webhook manifest that it came in by.
    pub webhook: String,
    /// One per image that it spoke of.
    pub images: Vec<PushedImage>,
    /// Whether all of it was dealt with.
    pub done: bool,
}

/// One image that a webhook spoke of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PushedImage {
    /// Registry host, as the sender called it.
    pub registry: String,
    /// Repository.
    pub repository: String,
    /// Tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether it was left alone.
    pub ignored: bool,
    /// Why it was left alone, or what was made of it.
    pub reason: String,
}
