//! How what asks a container goes from the old one to the new one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Span;

/// `stop-first`, `start-first` or `{proxy: {…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// The old one is stopped before the new one starts.
    StopFirst,
    /// The old one is stopped when the new one has proved good.
    StartFirst,
    /// The same, and a proxy is told in between.
    Proxy(Proxy),
}

/// A reverse proxy that is there already. Texts are templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Caddy's admin API, as the executor reaches it, such as `http://127.0.0.1:2019`.
    pub caddy: String,
    /// The `@id` of the `reverse_proxy` handler in its configuration.
    pub id: String,
    /// The container's port that requests are sent to.
    pub port: u16,
    /// By which address the proxy reaches the container.
    #[serde(default)]
    pub to: ProxyTo,
    /// How long the old container may take to answer what it was asked before.
    #[serde(default = "drain")]
    pub drain: Span,
}

/// By which address a proxy reaches a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyTo {
    /// By the port that is published on the host.
    #[default]
    Host,
    /// By its own address, as from a container on the same network.
    Container,
}

fn drain() -> Span {
    Span::secs(10)
}

impl Switch {
    /// The proxy, if there is one.
    pub fn proxy(&self) -> Option<&Proxy> {
        match self {
            Self::Proxy(proxy) => Some(proxy),
            Self::StopFirst | Self::StartFirst => None,
        }
    }
}
