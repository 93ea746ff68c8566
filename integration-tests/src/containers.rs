//! What the Docker engine has: the containers of one stack, found by their labels.

use std::collections::HashMap;

use anyhow::Result;
use bollard::{
    Docker,
    models::ContainerSummary,
    query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder},
};

/// The engine of the tests.
pub fn engine() -> Result<Docker> {
    let endpoint = crate::settings::docker();
    let path = endpoint.strip_prefix("unix://").unwrap_or(&endpoint);
    Ok(Docker::connect_with_unix(path, 60, bollard::API_DEFAULT_VERSION)?)
}

/// Containers, running or not, that carry all these labels.
pub async fn labelled(docker: &Docker, labels: &[String]) -> Result<Vec<ContainerSummary>> {
    let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    Ok(docker.list_containers(Some(options)).await?)
}

/// Those of them that run.
pub async fn running(docker: &Docker, labels: &[String]) -> Result<Vec<ContainerSummary>> {
    let mut found = labelled(docker, labels).await?;
    found.retain(|container| state(container) == "running");
    Ok(found)
}

/// `running`, `exited`, `created`, …
pub fn state(container: &ContainerSummary) -> String {
    container.state.as_ref().map(|s| s.to_string().to_lowercase()).unwrap_or_default()
}

/// A label's value.
pub fn label<'a>(container: &'a ContainerSummary, name: &str) -> &'a str {
    container.labels.as_ref().and_then(|labels| labels.get(name)).map_or("", String::as_str)
}

/// Removes every container that carries the label.
pub async fn remove_all(docker: &Docker, label: String) -> Result<()> {
    for container in labelled(docker, &[label]).await? {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let id = container.id.unwrap_or_default();
        if let Err(error) = docker.remove_container(&id, Some(options)).await {
            eprintln!("container {id} stays: {error}");
        }
    }
    Ok(())
}
