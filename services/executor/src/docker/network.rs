//! Networks of an engine: looked up, and joined by containers.

use bollard::models::NetworkConnectRequest;
use slipway_domain::order::JoinNetwork;
use slipway_service::failpoint;

use super::{
    DockerError, Engine,
    container::{endpoint, short},
};

impl Engine {
    /// Whether there is a network of that name.
    pub async fn has_network(&self, name: &str) -> Result<bool, DockerError> {
        match self.docker.inspect_network(name, None).await {
            Ok(_) => Ok(true),
            Err(error) => match self.explain("looking for a network", name, error) {
                DockerError::Gone(_) => Ok(false),
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
