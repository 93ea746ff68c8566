//! Volumes that Slipway makes: found by labels, one per container that has secrets.

use std::collections::HashMap;

use bollard::{
    models::VolumeCreateRequest,
    query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions},
};
use slipway_service::failpoint;

use super::{DockerError, Engine};

impl Engine {
    /// The volumes that have every one of the labels (`label=value`): names, and all their labels.
    pub async fn volumes(&self, labels: &[String]) -> Result<Vec<(String, HashMap<String, String>)>, DockerError> {
        let filters = HashMap::from([("label", labels.iter().map(String::as_str).collect::<Vec<_>>())]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let found = self.docker.list_volumes(Some(options)).await;
        let found = found.map_err(|error| self.explain("listing volumes", "the list of volumes", error))?;
        Ok(found.volumes.unwrap_or_default().into_iter().map(|volume| (volume.name, volume.labels)).collect())
    }

    /// Makes a volume.
    pub async fn make_volume(&self, name: &str, labels: HashMap<String, String>) -> Result<(), DockerError> {
        let request = VolumeCreateRequest { name: Some(name.to_owned()), labels: Some(labels), ..Default::default() };
        failpoint!("executor.volume.before");
        let made = self.docker.create_volume(request).await;
        failpoint!("executor.volume.after");
        made.map(drop).map_err(|error| self.explain("making a volume", name, error))
    }

    /// Removes a volume, unless a container has it; whether it is gone.
    pub async fn remove_volume(&self, name: &str) -> Result<bool, DockerError> {
        match self.docker.remove_volume(name, None::<RemoveVolumeOptions>).await {
            Ok(()) => Ok(true),
            Err(error) => match self.explain("removing a volume", name, error) {
                DockerError::Gone(_) => Ok(true),
                DockerError::Conflict { .. } => Ok(false),
                error => Err(error),
            },
        }
    }
}
