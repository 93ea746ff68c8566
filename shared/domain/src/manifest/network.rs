//! Steps that make networks.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Scalar,
    container::read,
    reader::{Reader, Render},
};
use crate::{order::MakeNetwork, secret};

/// Have a network on the engine, for containers to join. Texts are templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DockerNetwork {
    /// Its name.
    pub name: String,
    /// What makes it; `bridge` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// What the driver is told.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub driver_options: IndexMap<String, Scalar>,
    /// Its addresses, such as `10.5.0.0/16`; what the engine has free without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Those that containers get by themselves; all of the subnet without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<String>,
    /// The host's own address there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Whether nothing leads out of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Labels; those that begin with `slipway.` are Slipway's.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, Scalar>,
}

impl DockerNetwork {
    /// What its order says, with its texts as `render` makes them. Errs with every mistake.
    pub fn order(&self, render: Render<'_>) -> Result<MakeNetwork, Vec<String>> {
        let mut reader = Reader::new(render);
        let name = reader.read("name", &self.name, read::name);
        if let Some(name) = name.as_deref().filter(|name| matches!(*name, "bridge" | "host" | "none" | "default")) {
            reader.say("name", &format!("`{name}` is a network of Docker's own: choose another name"));
        }
        let driver = reader.text("driver", &self.driver, read::name);
        let order = MakeNetwork {
            name: name.unwrap_or_default(),
            driver: driver.unwrap_or_else(|| "bridge".to_owned()),
            driver_options: reader.values("driver-options", &self.driver_options),
            subnet: reader.text("subnet", &self.subnet, read::subnet),
            ip_range: reader.text("ip-range", &self.ip_range, read::subnet),
            gateway: reader.text("gateway", &self.gateway, read::ip),
            internal: self.internal,
            labels: reader.labels(&self.labels),
        };
        for (key, there) in [("ip-range", self.ip_range.is_some()), ("gateway", self.gateway.is_some())] {
            if there && self.subnet.is_none() {
                reader.say(key, "it lies in the `subnet`: say which that is");
            }
        }
        let mut values = order.driver_options.values().chain(order.labels.values());
        if values.any(|text| secret::has_marker_chars(text)) {
            reader.say("labels", "a secret can not be part of a network, which everybody sees");
        }
        if reader.problems.is_empty() { Ok(order) } else { Err(reader.problems) }
    }

    /// Its texts that are templates.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let texts = [&self.driver, &self.subnet, &self.ip_range, &self.gateway].into_iter().flatten();
        let values = self.driver_options.values().chain(self.labels.values()).map(|scalar| &scalar.0);
        [&self.name].into_iter().chain(texts).chain(values).map(String::as_str)
    }
}
