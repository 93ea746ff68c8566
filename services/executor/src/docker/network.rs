//! Networks of an engine: looked up, made, and joined by containers.

use std::collections::HashMap;

use bollard::{
    models::{Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest, NetworkInspect},
    query_parameters::ListNetworksOptionsBuilder,
};
use slipway_domain::order::{JoinNetwork, MakeNetwork};
use slipway_service::failpoint;

use super::{
    DockerError, Engine,
    container::{endpoint, short},
};

/// A network as the engine shows it.
#[derive(Debug, Clone, Default)]
pub struct SeenNetwork {
    /// Its id.
    pub id: String,
    /// What made it.
    driver: String,
    /// Its first range of addresses.
    pub subnet: Option<String>,
    ip_range: Option<String>,
    /// The host's own address there.
    pub gateway: Option<String>,
    internal: bool,
    labels: HashMap<String, String>,
    driver_options: HashMap<String, String>,
}

impl SeenNetwork {
    /// What of it is not as it shall be, in words. What nobody asked for may be anything.
    pub fn differences(&self, wanted: &MakeNetwork) -> Vec<String> {
        let shown = |value: Option<&String>| value.map_or("none", String::as_str).to_owned();
        let mut found = Vec::new();
        let mut compare = |what: String, there: Option<&String>, wanted: Option<&String>| {
            if wanted.is_some() && there != wanted {
                found.push(format!("{what} is {} and not {}", shown(there), shown(wanted)));
            }
        };
        compare("driver".into(), Some(&self.driver), Some(&wanted.driver));
        compare("subnet".into(), self.subnet.as_ref(), wanted.subnet.as_ref());
        compare("ip-range".into(), self.ip_range.as_ref(), wanted.ip_range.as_ref());
        compare("gateway".into(), self.gateway.as_ref(), wanted.gateway.as_ref());
        compare("internal".into(), Some(&self.internal.to_string()), Some(&wanted.internal.to_string()));
        for (name, value) in &wanted.labels {
            compare(format!("label {name}"), self.labels.get(name), Some(value));
        }
        for (name, value) in &wanted.driver_options {
            compare(format!("driver option {name}"), self.driver_options.get(name), Some(value));
        }
        found
    }
}

fn see(found: NetworkInspect) -> SeenNetwork {
    let first =
        found.ipam.and_then(|ipam| ipam.config).and_then(|config| config.into_iter().next()).unwrap_or_default();
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    SeenNetwork {
        id: found.id.unwrap_or_default(),
        driver: found.driver.unwrap_or_default(),
        subnet: said(first.subnet),
        ip_range: said(first.ip_range),
        gateway: said(first.gateway),
        internal: found.internal.unwrap_or_default(),
        labels: found.labels.unwrap_or_default(),
        driver_options: found.options.unwrap_or_default(),
    }
}

impl Engine {
    /// The network of that name, if there is one; of several the oldest.
    pub async fn network(&self, name: &str) -> Result<Option<SeenNetwork>, DockerError> {
        let filters = HashMap::from([("name", vec![name])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let list = self.docker.list_networks(Some(options)).await;
        let mut list = list.map_err(|error| self.explain("listing networks", "the list of networks", error))?;
        // The engine looks for names that contain it.
        list.retain(|network| network.name.as_deref() == Some(name));
        list.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
        let Some(id) = list.into_iter().next().and_then(|network| network.id) else { return Ok(None) };
        match self.docker.inspect_network(&id, None).await {
            Ok(found) => Ok(Some(see(found))),
            Err(error) => match self.explain("looking at a network", name, error) {
                DockerError::Gone(_) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// While it is held, nobody else of this process makes networks on this engine.
    pub async fn turn_to_make_networks(&self) -> tokio::sync::OwnedMutexGuard<()> {
        std::sync::Arc::clone(&self.networks).lock_owned().await
    }

    /// Makes a network and gives its id. The engine lets several have one name.
    pub async fn make_network(
        &self,
        wanted: &MakeNetwork,
        labels: HashMap<String, String>,
    ) -> Result<String, DockerError> {
        let MakeNetwork { name, driver, driver_options, subnet, ip_range, gateway, internal, .. } = wanted.clone();
        let config = IpamConfig { subnet, ip_range, gateway, ..Default::default() };
        let own = wanted.labels.clone().into_iter().chain(labels).collect();
        let request = NetworkCreateRequest {
            name,
            driver: Some(driver),
            internal: Some(internal),
            ipam: config.subnet.is_some().then(|| Ipam { config: Some(vec![config]), ..Default::default() }),
            options: Some(driver_options.into_iter().collect()),
            labels: Some(own),
            ..Default::default()
        };
        failpoint!("executor.network.before");
        let made = self.docker.create_network(request).await;
        failpoint!("executor.network.after");
        Ok(made.map_err(|error| self.refused(&format!("making network {}", wanted.name), &wanted.name, error))?.id)
    }

    /// Removes a network. One that is not there counts as removed.
    pub async fn remove_network(&self, id: &str) -> Result<(), DockerError> {
        match self.docker.remove_network(id).await {
            Ok(()) => Ok(()),
            Err(error) => match self.explain("removing a network", &short(id), error) {
                DockerError::Gone(_) => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Lets a container join a network.
    pub async fn join(&self, id: &str, network: &str, join: &JoinNetwork) -> Result<(), DockerError> {
        let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(endpoint(join)) };
        failpoint!("executor.join.before");
        let joined = self.docker.connect_network(network, request).await;
        failpoint!("executor.join.after");
        joined.map_err(|error| self.refused(&format!("joining network {network}"), &short(id), error))
    }
}
