//! Containers of an engine: found by labels, looked at, created by name, and from then on touched
//! by their id alone.

use std::collections::{BTreeMap, HashMap};

use bollard::{
    models::{
        ContainerCreateBody, ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerUpdateBody,
        HealthStatusEnum, HostConfig, Mount, MountType, MountVolumeOptions, PortBinding, RestartPolicy,
        RestartPolicyNameEnum,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
        StopContainerOptions,
    },
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use slipway_domain::order::PortMapping;
use slipway_service::failpoint;

use super::{DockerError, Engine};

/// Where a container finds its secrets.
pub const SECRETS_FOLDER: &str = "/run/secrets";

/// What a container is created from.
#[derive(Debug)]
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
}

/// A volume at the folder of secrets.
#[derive(Debug, Clone)]
pub struct SecretsMount {
    /// Its name.
    pub volume: String,
    /// Whether the container may write there.
    pub writable: bool,
}

/// A container as the engine showed it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its id; the only thing by which it may be touched.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub life: Life,
    /// Id of its image.
    pub image: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// Fixed ports of the host that it asks for.
    pub fixed_ports: Vec<FixedPort>,
    /// Where each of its ports (`80/tcp`) can be reached on the host: address and port.
    pub published: BTreeMap<String, (String, u16)>,
    /// Its addresses on its networks.
    pub addresses: Vec<String>,
    /// What its HEALTHCHECK says, if it has one.
    pub health: Option<Health>,
    /// When it ended, if it has.
    pub ended_at: Option<DateTime<Utc>>,
    /// When it was created, as the engine writes it; sorts by time.
    pub created: String,
    /// The whole document.
    pub document: Value,
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// Created, never started.
    Created,
    /// Running, or between two runs of its restart policy.
    Live,
    /// Over, with its exit code and what the engine adds to it.
    Ended(i64, String),
}

impl Life {
    /// Whether it runs.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }
}

/// A port of the host that a container asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedPort {
    /// Address; all if empty.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

impl FixedPort {
    /// The fixed port that a mapping asks for, if it asks for one.
    pub fn wanted(mapping: &PortMapping) -> Option<Self> {
        let port = mapping.host.filter(|port| *port != 0)?;
        Some(Self { ip: mapping.ip.clone().unwrap_or_default(), port, protocol: mapping.protocol.clone() })
    }

    /// Whether both can not be had at once.
    pub fn collides(&self, other: &Self) -> bool {
        let all = |ip: &str| matches!(ip, "" | "0.0.0.0" | "::");
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || all(&self.ip) || all(&other.ip))
    }
}

/// What a HEALTHCHECK says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// No verdict so far.
    Starting,
    /// Good.
    Healthy,
    /// Not good, with the output of the last check.
    Unhealthy(String),
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
            Ok(found) => Ok(Some(see(found))),
            Err(error) => match self.explain("inspecting a container", id, error) {
                DockerError::Gone(_) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Creates a container and gives its id. A name that is taken is a [`DockerError::Conflict`].
    pub async fn create(&self, name: &str, blueprint: Blueprint) -> Result<String, DockerError> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
        for port in &blueprint.ports {
            let host_port = Some(port.host.map_or(String::new(), |host| host.to_string()));
            let binding = PortBinding { host_ip: port.ip.clone(), host_port };
            let key = format!("{}/{}", port.container, port.protocol);
            bindings.entry(key).or_default().get_or_insert_default().push(binding);
        }
        let body = ContainerCreateBody {
            image: Some(blueprint.image.clone()),
            env: Some(blueprint.env),
            cmd: blueprint.command,
            labels: Some(blueprint.labels),
            exposed_ports: Some(bindings.keys().cloned().collect()),
            host_config: Some(HostConfig {
                port_bindings: Some(bindings),
                mounts: blueprint.secrets.map(|mount| vec![secrets_mount(mount)]),
                ..Default::default()
            }),
            ..Default::default()
        };
        failpoint!("executor.create.before");
        let created = self.docker.create_container(Some(options), body).await;
        failpoint!("executor.create.after");
        let created =
            created.map_err(|error| self.explain(&format!("creating container {name}"), &blueprint.image, error))?;
        Ok(created.id)
    }

    /// Starts a container.
    pub async fn start(&self, id: &str) -> Result<(), DockerError> {
        failpoint!("executor.start.before");
        let result = self.docker.start_container(id, None).await;
        failpoint!("executor.start.after");
        result.map_err(|error| self.explain("starting the container", &short(id), error))
    }

    /// From now on the engine starts it again whenever it ends by itself.
    pub async fn keep_running(&self, id: &str) -> Result<(), DockerError> {
        let policy = RestartPolicy { name: Some(RestartPolicyNameEnum::UNLESS_STOPPED), maximum_retry_count: None };
        let body = ContainerUpdateBody { restart_policy: Some(policy), ..Default::default() };
        let result = self.docker.update_container(id, body).await;
        result.map_err(|error| self.explain("setting the restart policy", &short(id), error))
    }

    /// Asks a container to end and kills it after the grace (its own, 10 s, if none is given). One
    /// that is not there counts as ended.
    pub async fn stop(&self, id: &str, grace_secs: Option<i32>) -> Result<(), DockerError> {
        let options = StopContainerOptions { t: grace_secs, ..Default::default() };
        failpoint!("executor.stop.before");
        let stopped = self.docker.stop_container(id, Some(options)).await;
        failpoint!("executor.stop.after");
        match stopped {
            Ok(()) => Ok(()),
            Err(error) => match self.explain("stopping the container", &short(id), error) {
                DockerError::Gone(_) => Ok(()),
                error => Err(error),
            },
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

fn see(found: ContainerInspectResponse) -> Seen {
    let document = serde_json::to_value(&found).unwrap_or_default();
    let network = found.network_settings.unwrap_or_default();
    let state = found.state.unwrap_or_default();
    let bindings = found.host_config.and_then(|host| host.port_bindings).unwrap_or_default();
    Seen {
        id: found.id.unwrap_or_default(),
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: found.image.unwrap_or_default(),
        labels: found.config.and_then(|config| config.labels).unwrap_or_default(),
        fixed_ports: bindings.into_iter().flat_map(|(key, list)| fixed_ports(&key, list)).collect(),
        published: network.ports.unwrap_or_default().into_iter().filter_map(published).collect(),
        addresses: network
            .networks
            .unwrap_or_default()
            .into_values()
            .filter_map(|endpoint| endpoint.ip_address)
            .filter(|address| !address.is_empty())
            .collect(),
        health: health(&state),
        ended_at: time(state.finished_at.as_ref()),
        life: life(&state),
        created: document["Created"].as_str().unwrap_or_default().to_owned(),
        document,
    }
}

fn fixed_ports(key: &str, bindings: Option<Vec<PortBinding>>) -> Vec<FixedPort> {
    let protocol = key.split_once('/').map_or("tcp", |(_, protocol)| protocol);
    bindings
        .unwrap_or_default()
        .into_iter()
        .filter_map(|binding| {
            let port = binding.host_port?.parse().ok().filter(|port| *port != 0)?;
            Some(FixedPort { ip: binding.host_ip.unwrap_or_default(), port, protocol: protocol.to_owned() })
        })
        .collect()
}

/// The first IPv4 binding, else the first.
fn published((key, bindings): (String, Option<Vec<PortBinding>>)) -> Option<(String, (String, u16))> {
    let mut found: Vec<(String, u16)> = bindings?
        .into_iter()
        .filter_map(|binding| Some((binding.host_ip.unwrap_or_default(), binding.host_port?.parse().ok()?)))
        .collect();
    found.sort_by_key(|(ip, _)| ip.contains(':'));
    Some((key, found.into_iter().next()?))
}

/// A time as the engine writes it, which has a zero for never.
fn time(text: Option<&String>) -> Option<DateTime<Utc>> {
    text?.parse().ok().filter(|at: &DateTime<Utc>| at.timestamp() > 0)
}

fn life(state: &ContainerState) -> Life {
    if state.running.unwrap_or(false) || state.restarting.unwrap_or(false) {
        return Life::Live;
    }
    // One that never ran has exit code 0, also while it is removed, or when that was broken off.
    if state.status == Some(ContainerStateStatusEnum::CREATED) || time(state.started_at.as_ref()).is_none() {
        return Life::Created;
    }
    let mut remark = state.error.clone().unwrap_or_default();
    if state.oom_killed == Some(true) {
        remark.push_str(" killed because it used more memory than allowed");
    }
    Life::Ended(state.exit_code.unwrap_or(-1), remark.trim().to_owned())
}

fn health(state: &ContainerState) -> Option<Health> {
    let health = state.health.as_ref()?;
    match health.status? {
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => {
            let last = health.log.as_ref().and_then(|log| log.last()).and_then(|check| check.output.clone());
            Some(Health::Unhealthy(last.unwrap_or_default().trim().to_owned()))
        }
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ran_has_not_ended_well() {
        let state = |status, started: &str| ContainerState {
            status: Some(status),
            started_at: Some(started.to_owned()),
            exit_code: Some(0),
            ..Default::default()
        };
        const NEVER: &str = "0001-01-01T00:00:00Z";
        for (status, started, expected) in [
            (ContainerStateStatusEnum::CREATED, NEVER, Life::Created),
            (ContainerStateStatusEnum::REMOVING, NEVER, Life::Created),
            (ContainerStateStatusEnum::DEAD, NEVER, Life::Created),
            (ContainerStateStatusEnum::EXITED, "2026-01-01T00:00:00.5Z", Life::Ended(0, String::new())),
        ] {
            assert_eq!(life(&state(status, started)), expected, "{status:?}");
        }
    }

    #[test]
    fn ports_collide_by_number_protocol_and_address() {
        let port = |ip: &str, port, protocol: &str| FixedPort { ip: ip.into(), port, protocol: protocol.into() };
        for (a, b, collide) in [
            (port("", 80, "tcp"), port("127.0.0.1", 80, "tcp"), true),
            (port("10.0.0.1", 80, "tcp"), port("127.0.0.1", 80, "tcp"), false),
            (port("", 80, "tcp"), port("", 80, "udp"), false),
            (port("", 80, "tcp"), port("", 81, "tcp"), false),
        ] {
            assert_eq!(a.collides(&b), collide, "{a:?} {b:?}");
        }
    }
}
