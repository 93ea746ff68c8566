//! How a container is made, beyond image, environment and command: every text rendered, every size a number.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::duration::Span;

/// The options of a container. Entry point, labels and options of the log may hold secret markers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContainerOptions {
    /// Entry point, instead of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// `USER` or `USER:GROUP`, instead of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Folder that it starts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Its own host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Labels beside Slipway's own.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
    /// Networks that it joins, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub networks: IndexMap<String, JoinNetwork>,
    /// Instead of networks: `bridge`, `host`, `none` or `container:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<String>,
    /// Lines of its hosts file: `NAME:IP`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<String>,
    /// Addresses of name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// What is mounted into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<MountVolume>,
    /// Folders in memory, by path.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tmpfs: IndexMap<String, MountTmpfs>,
    /// Size of its /dev/shm, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u64>,
    /// Whether its own file system can not be written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Capabilities that it has in addition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities that it does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Options for security modules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<String>,
    /// Whether it may do all that root may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// Devices of the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<MapDevice>,
    /// Most memory, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Most memory and swap, in bytes; -1 is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<i64>,
    /// Time of processors, in billionths of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nano_cpus: Option<u64>,
    /// Most processes; -1 is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<i64>,
    /// Limits of its processes, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub ulimits: IndexMap<String, Ulimit>,
    /// Whether an init runs as its first process.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
    /// Signal that asks it to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How long it may take to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_grace: Option<Span>,
    /// Where its output goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogTo>,
    /// Platform of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

impl ContainerOptions {
    /// The texts that may hold secret markers.
    pub fn secret_texts(&self) -> impl Iterator<Item = &String> {
        let log = self.log.iter().flat_map(|log| log.options.values());
        self.entrypoint.iter().flatten().chain(self.labels.values()).chain(log)
    }

    /// The same, to fill them in.
    pub fn secret_texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let log = self.log.iter_mut().flat_map(|log| log.options.values_mut());
        self.entrypoint.iter_mut().flatten().chain(self.labels.values_mut()).chain(log)
    }
}

/// A network that a container joins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JoinNetwork {
    /// Names by which others there find it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Its address there; any free one if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
}

/// Something that is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MountVolume {
    /// A path of the host, or the name of a volume; a volume without a name, which goes with the container, if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where the container sees it.
    pub target: String,
    /// Whether it can not be written there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Whether what the image has there is kept out of a new volume.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_copy: bool,
    /// What makes the volume if it is not there; the engine's own driver if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// What it is told.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub driver_options: IndexMap<String, String>,
}

impl MountVolume {
    /// Whether the source is a path of the host.
    pub fn is_of_host(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.starts_with('/'))
    }
}

/// A folder in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MountTmpfs {
    /// Its size in bytes; no limit if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapDevice {
    /// Its path on the host.
    pub host: String,
    /// Its path in the container.
    pub container: String,
    /// Some of `r`, `w` and `m`.
    pub permissions: String,
}

/// A limit of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// What holds.
    pub soft: i64,
    /// How far a process may raise it.
    pub hard: i64,
}

/// Where output goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogTo {
    /// The engine's driver; its default if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// What it is told.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub options: IndexMap<String, String>,
}
