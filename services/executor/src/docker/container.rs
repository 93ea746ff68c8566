//! Containers of an engine: found by labels, looked at, created by name, and from then on touched
//! by their id alone.

mod options;
mod seen;

use std::{collections::HashMap, time::Duration};

use bollard::{
    models::{ContainerCreateBody, ContainerUpdateBody, HostConfig, Mount, MountType, MountVolumeOptions, PortBinding},
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
        StopContainerOptions,
    },
};
use slipway_domain::{
    manifest::{Healthcheck, Restart},
    order::{ContainerOptions, PortMapping},
};
use slipway_service::failpoint;

pub(super) use options::endpoint;
pub use seen::*;

use super::{ANSWER_SECS, DockerError, Engine};

/// Where a container finds its secrets.
pub const SECRETS_FOLDER: &str = "/run/secrets";

/// What a container is created from.
#[derive(Debug, Default)]
pub struct Blueprint {
    /// Reference of an image that the engine has.
    pub image: String,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Command, instead of the image's.
    pub command: Option<Vec<String>>,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// Labels.
    pub labels: HashMap<String, String>,
    /// A volume for the folder of secrets.
    pub secrets: Option<SecretsMount>,
    /// How it is made beyond that.
    pub options: ContainerOptions,
    /// A HEALTHCHECK instead of the image's.
    pub healthcheck: Option<Healthcheck>,
}

/// A volume at the folder of secrets.
#[derive(Debug, Clone)]
pub struct SecretsMount {
    /// Its name.
    pub volume: String,
    /// Whether the container may write there.
    pub writable: bool,
}

impl Engine {
    /// All containers that have every one of the labels (`label=value`), the oldest first.
    pub async fn containers(&self, labels: &[String]) -> Result<Vec<Seen>, DockerError> {
        let filters = HashMap::from([("label", labels.iter().map(String::as_str).collect::<Vec<_>>())]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let list = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(|error| self.explain("listing containers", "the list of containers", error))?;
        let mut seen = Vec::with_capacity(list.len());
        for id in list.into_iter().filter_map(|summary| summary.id) {
            // One that is removed between list and look is simply not there.
            seen.extend(self.inspect(&id).await?);
        }
        seen.sort_by(|a, b| a.created.cmp(&b.created));
        Ok(seen)
    }

    /// The container of that id or name, if it is there.
    pub async fn inspect(&self, id: &str) -> Result<Option<Seen>, DockerError> {
        match self.docker.inspect_container(id, None).await {
            Ok(found) => Ok(Some(seen::see(found))),
            Err(error) => match self.explain("inspecting a container", id, error) {
                DockerError::Gone(_) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Creates a container and gives its id. A name that is taken is a [`DockerError::Conflict`]. Of several networks
    /// it is on the first one only, since engines of before 2024 take no more at this point.
    pub async fn create(&self, name: &str, blueprint: Blueprint) -> Result<String, DockerError> {
        let platform = blueprint.options.platform.clone().unwrap_or_default();
        let options = CreateContainerOptionsBuilder::new().name(name).platform(&platform).build();
        let bindings = bindings(&blueprint.ports);
        let mut body = ContainerCreateBody {
            image: Some(blueprint.image),
            env: Some(blueprint.env),
            cmd: blueprint.command,
            exposed_ports: Some(bindings.keys().cloned().collect()),
            host_config: Some(HostConfig {
                port_bindings: Some(bindings),
                mounts: Some(blueprint.secrets.map(secrets_mount).into_iter().collect()),
                ..Default::default()
            }),
            ..Default::default()
        };
        options::apply(blueprint.options, &mut body);
        body.healthcheck = blueprint.healthcheck.map(options::healthcheck);
        body.labels.get_or_insert_default().extend(blueprint.labels);
        failpoint!("executor.create.before");
        let created = self.docker.create_container(Some(options), body).await;
        failpoint!("executor.create.after");
        Ok(created.map_err(|error| self.refused(&format!("creating container {name}"), name, error))?.id)
    }

    /// Starts a container.
    pub async fn start(&self, id: &str) -> Result<(), DockerError> {
        failpoint!("executor.start.before");
        let result = self.docker.start_container(id, None).await;
        failpoint!("executor.start.after");
        result.map_err(|error| self.refused("starting the container", &short(id), error))
    }

    /// From now on the engine starts it again, or does not, when it ends by itself.
    pub async fn restart_policy(&self, id: &str, restart: Restart) -> Result<(), DockerError> {
        let body = ContainerUpdateBody { restart_policy: Some(options::restart_policy(restart)), ..Default::default() };
        let result = self.docker.update_container(id, body).await;
        result.map_err(|error| self.explain("setting the restart policy", &short(id), error))
    }

    /// Asks a container to end and kills it after its grace; if its maker gave it none, after this one, or the engine's
    /// of 10 s. One that is not there counts as ended.
    pub async fn stop(&self, seen: &Seen, grace_secs: Option<i32>) -> Result<(), DockerError> {
        let t = if seen.stop_grace.is_some() { None } else { grace_secs };
        // The engine answers when the container has ended.
        let wait = Duration::from_secs(ANSWER_SECS + seen.stop_grace.and_then(|s| u64::try_from(s).ok()).unwrap_or(0));
        let patient = self.docker.clone().with_timeout(wait);
        failpoint!("executor.stop.before");
        let stopped = patient.stop_container(&seen.id, Some(StopContainerOptions { t, ..Default::default() })).await;
        failpoint!("executor.stop.after");
        match stopped.map_err(|error| self.explain("stopping the container", &short(&seen.id), error)) {
            Err(DockerError::Gone(_)) => Ok(()),
            stopped => stopped,
        }
    }

    /// Removes a container and its anonymous volumes, killing it if it runs. One that is not there,
    /// or that somebody removes at this moment, counts as removed.
    pub async fn remove(&self, id: &str) -> Result<(), DockerError> {
        match self.delete(id, RemoveContainerOptionsBuilder::new().force(true)).await {
            Err(DockerError::Gone(_) | DockerError::Conflict { .. }) => Ok(()),
            removed => removed,
        }
    }

    /// Removes a container that does not run. One that does is left alone, and shown.
    pub async fn remove_unless_live(&self, id: &str) -> Result<Option<Seen>, DockerError> {
        match self.delete(id, RemoveContainerOptionsBuilder::new()).await {
            Ok(()) | Err(DockerError::Gone(_)) => Ok(None),
            // Or somebody removes it at this moment.
            Err(DockerError::Conflict { .. }) => Ok(self.inspect(id).await?.filter(|seen| seen.life != Life::Created)),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, id: &str, how: RemoveContainerOptionsBuilder) -> Result<(), DockerError> {
        failpoint!("executor.remove.before");
        let removed = self.docker.remove_container(id, Some(how.v(true).build())).await;
        failpoint!("executor.remove.after");
        removed.map_err(|error| self.explain("removing the container", &short(id), error))
    }
}

fn bindings(ports: &[PortMapping]) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in ports {
        let host_port = Some(port.host.map_or(String::new(), |host| host.to_string()));
        let binding = PortBinding { host_ip: port.ip.clone(), host_port };
        let key = format!("{}/{}", port.container, port.protocol);
        bindings.entry(key).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

fn secrets_mount(SecretsMount { volume, writable }: SecretsMount) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume),
        target: Some(SECRETS_FOLDER.to_owned()),
        read_only: Some(!writable),
        // What the image has there stays out of it.
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
        ..Default::default()
    }
}

/// The first 12 digits of an id, as people know them.
pub fn short(id: &str) -> String {
    id.chars().take(12).collect()
}
