//! When a container counts as good.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Span;

/// When a container counts as good. Without a probe: the image's HEALTHCHECK if there is one, else that it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// An HTTP request to the container that must answer 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// A TCP connection that must open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    /// A command in the container that must end with exit code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    /// A HEALTHCHECK instead of the image's. The engine goes on with it for as long as the container runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// It must be good within this time.
    #[serde(default = "default_within")]
    pub within: Span,
    /// It must then stay good for this time.
    #[serde(default = "default_stay")]
    pub stay: Span,
}

fn default_within() -> Span {
    Span::secs(60)
}

fn default_stay() -> Span {
    Span::secs(0)
}

impl Default for Health {
    fn default() -> Self {
        Self { http: None, tcp: None, exec: None, healthcheck: None, within: default_within(), stay: default_stay() }
    }
}

/// An HTTP probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    /// Port of the container.
    pub port: u16,
    /// Path and query.
    #[serde(default = "default_path")]
    pub path: String,
}

fn default_path() -> String {
    "/".to_owned()
}

/// A TCP probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpProbe {
    /// Port of the container.
    pub port: u16,
}

/// A command that the engine runs in the container again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Healthcheck {
    /// What is run; exit code 0 is good.
    pub command: Vec<String>,
    /// Pause between two runs; the engine's 30s without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// How long one may take; the engine's 30s without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How many must fail in a row; the engine's 3 without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long failures do not count at the beginning; 0s without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Span>,
}

impl Health {
    /// Its texts that are templates.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let check = self.healthcheck.iter().flat_map(|check| &check.command);
        self.exec.iter().flatten().chain(check).map(String::as_str)
    }
}
