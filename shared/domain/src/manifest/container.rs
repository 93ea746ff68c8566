//! Steps that make containers: what is in them, and when they count as good.

mod file;
mod health;
mod keys;
mod options;
pub mod read;
mod resolve;
mod switch;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use file::*;
pub use health::*;
pub use options::*;
pub use switch::*;

use crate::{duration::Span, name::PackageName};

/// Where a container finds its secrets.
pub const SECRETS_FOLDER: &str = "/run/secrets/";

/// Replace the step's container on each target by a new one; the old one comes back if the new one is not healthy.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DockerRun {
    /// The container.
    #[serde(flatten)]
    pub container: Container,
    /// Beginning of the container's name; the step's name without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `HOST:CONTAINER` or `CONTAINER`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Files `/run/secrets/NAME` that only the container's user can read, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub secrets: IndexMap<String, String>,
    /// When it counts as good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// When the engine starts it again.
    #[serde(default, skip_serializing_if = "Restart::is_default")]
    pub restart: Restart,
    /// How what asks it goes from the old one to the new one; without, the old one is stopped first only where both can
    /// not be at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Switch>,
    /// Create it, and leave the start to somebody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create_only: bool,
}

/// Run a container to its end; its exit code decides.
pub type DockerJob = Container;

/// What all containers that steps make can be told. Texts are templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Container {
    /// The image.
    pub package: PackageName,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// Which variables of the scope it gets as environment variables too.
    #[serde(default, skip_serializing_if = "PassVariables::is_none")]
    pub pass_variables: PassVariables,
    /// Command, instead of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Entry point, instead of the image's; the image's command is then left out too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Files that are put into it before it starts, by absolute path.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub files: IndexMap<String, File>,
    /// `USER` or `USER:GROUP`, names or numbers, instead of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Scalar>,
    /// Folder that it starts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Its own host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Labels; those that begin with `slipway.` are Slipway's.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, Scalar>,
    /// Networks of the engine that it joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Networks>,
    /// Instead of networks: `bridge`, `host`, `none` or `container:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<String>,
    /// Lines of its hosts file: `NAME:IP`, or `NAME:host-gateway`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<String>,
    /// Addresses of name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// What is mounted into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Folders that are in memory, by absolute path.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tmpfs: IndexMap<String, TmpfsOptions>,
    /// Size of its /dev/shm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<Scalar>,
    /// Whether its own file system can not be written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Capabilities that it has beyond the engine's usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities that it does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Options for the host's security modules, such as `no-new-privileges`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<String>,
    /// Whether it may do all that root may do on the host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// Devices of the host: `/dev/x`, `/dev/x:/dev/y` or `/dev/x:/dev/y:rwm`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Most memory that it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Scalar>,
    /// Most memory and swap together, or `unlimited`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<Scalar>,
    /// How many processors' time it may use, such as 1.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Scalar>,
    /// Most processes and threads, or `unlimited`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<Scalar>,
    /// Limits of its processes, by name: `SOFT` or `SOFT:HARD`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub ulimits: IndexMap<String, Scalar>,
    /// Whether an init runs as its first process.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
    /// Signal that asks it to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How long it may take to end before it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_grace: Option<Span>,
    /// Where its output goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// Platform of the image, such as `linux/arm64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// Have the images of packages on the engine, before anything is changed there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerPull {
    /// Which; all of the project without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageName>,
}
