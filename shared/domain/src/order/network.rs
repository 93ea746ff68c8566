//! How a network is made.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A network that shall be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MakeNetwork {
    /// Its name.
    pub name: String,
    /// What makes it.
    pub driver: String,
    /// What the driver is told.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub driver_options: IndexMap<String, String>,
    /// Its addresses; any if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Those that containers get by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<String>,
    /// The host's own address there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Whether nothing leads out of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Labels beside Slipway's own.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
}
