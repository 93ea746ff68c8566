//! A container as an engine shows it, in words of our own.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, EndpointSettings, HealthStatusEnum,
    HealthcheckResult, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use slipway_domain::{manifest::Restart, order::PortMapping};

/// Where a container with the host's network is reached.
const HOST: &str = "127.0.0.1";

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
    /// Where its ports can be reached without being published.
    pub addresses: Vec<String>,
    /// Its address on each of its networks, by name.
    pub networks: BTreeMap<String, String>,
    /// Addresses that it asks for: network and address.
    pub fixed_addresses: Vec<(String, String)>,
    /// Whether its network is the host's own.
    pub has_hosts_network: bool,
    /// When the engine starts it again.
    pub restart: Restart,
    /// How long it may take to end, in seconds, if its maker said so.
    pub stop_grace: Option<i64>,
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
    /// No verdict so far, with the output of the last check, if one failed.
    Starting(Option<String>),
    /// Good.
    Healthy,
    /// Not good, with the output of the last check.
    Unhealthy(String),
}

pub(super) fn see(found: ContainerInspectResponse) -> Seen {
    let document = serde_json::to_value(&found).unwrap_or_default();
    let network = found.network_settings.unwrap_or_default();
    let state = found.state.unwrap_or_default();
    let host = found.host_config.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let endpoints = network.networks.unwrap_or_default();
    let networks = addresses(&endpoints);
    let has_hosts_network = host.network_mode.as_deref() == Some("host");
    let own = if has_hosts_network { vec![HOST.to_owned()] } else { networks.values().cloned().collect() };
    Seen {
        id: found.id.unwrap_or_default(),
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: found.image.unwrap_or_default(),
        labels: config.labels.unwrap_or_default(),
        fixed_ports: host.port_bindings.into_iter().flatten().flat_map(|(key, list)| fixed_ports(&key, list)).collect(),
        published: network.ports.unwrap_or_default().into_iter().filter_map(published).collect(),
        addresses: own,
        networks,
        fixed_addresses: endpoints.into_iter().filter_map(fixed_address).collect(),
        has_hosts_network,
        restart: restart(host.restart_policy.unwrap_or_default()),
        stop_grace: config.stop_timeout,
        health: health(&state),
        ended_at: time(state.finished_at.as_ref()),
        life: life(&state),
        created: document["Created"].as_str().unwrap_or_default().to_owned(),
        document,
    }
}

fn addresses(endpoints: &HashMap<String, EndpointSettings>) -> BTreeMap<String, String> {
    let own = |(name, endpoint): (&String, &EndpointSettings)| {
        let address = endpoint.ip_address.clone().filter(|address| !address.is_empty())?;
        Some((name.clone(), address))
    };
    endpoints.iter().filter_map(own).collect()
}

fn fixed_address((network, endpoint): (String, EndpointSettings)) -> Option<(String, String)> {
    let address = endpoint.ipam_config?.ipv4_address.filter(|address| !address.is_empty())?;
    Some((network, address))
}

fn restart(policy: RestartPolicy) -> Restart {
    match policy.name {
        Some(RestartPolicyNameEnum::ALWAYS) => Restart::Always,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => Restart::UnlessStopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => Restart::OnFailure(
            policy.maximum_retry_count.and_then(|times| u32::try_from(times).ok()).filter(|n| *n > 0),
        ),
        _ => Restart::No,
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
    let last = health.log.as_ref().and_then(|log| log.last());
    let output = |check: &HealthcheckResult| check.output.clone().unwrap_or_default().trim().to_owned();
    match health.status? {
        HealthStatusEnum::STARTING => {
            Some(Health::Starting(last.filter(|check| check.exit_code != Some(0)).map(output)))
        }
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy(last.map(output).unwrap_or_default())),
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
