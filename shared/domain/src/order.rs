//! Orders: what a doorbell carries. An order is complete, so its holder has nothing to decide.

mod container;
mod network;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{
    duration::Span,
    id::{DeploymentId, TaskKey},
    image::ImageRef,
    manifest::{DockerTls, Health, Http, Restart, SqlFiles, Switch},
    name::{EnvironmentName, PackageName, ProjectName},
    release::PullCredentials,
    secret::SecretRef,
};

pub use container::*;
pub use network::*;

/// Values that a task gives to later steps, by name.
pub type Outputs = BTreeMap<String, serde_json::Value>;

/// Word that a granted task may be claimed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Doorbell {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The task.
    pub task: TaskKey,
    /// The head of the task's subject that the claim must expect.
    pub expected_seq: u64,
    /// The number that the claim gives its attempt.
    pub attempt: u32,
    /// An earlier holder was lost: look what it left behind before acting.
    pub adopt: bool,
    /// The deployment was cancelled: end what the earlier holder left behind, start nothing.
    pub stop: bool,
    /// The step is taken back: end what it made here, and bring back what was there before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restore: bool,
    /// What to do.
    pub order: Order,
    /// W3C `traceparent` to link to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// The answer to a doorbell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A claim is being written.
    Claiming,
    /// No free slot.
    Busy,
}

/// Everything needed to run one task. Texts may hold secret markers ([`crate::secret`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release's version.
    pub release: String,
    /// The Docker endpoint of the target; none for `worker` and `notifier`, which use their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<String>,
    /// How both sides of a `tcp://` endpoint prove who they are: files of the executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<DockerTls>,
    /// How long the attempt may take.
    pub timeout: Span,
    /// The secrets that the order's texts refer to; asked for after the claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRef>,
    /// What to do.
    pub work: Work,
}

/// What to do, by step kind, with every template rendered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "an order is held one at a time, beside what is far larger")]
pub enum Work {
    /// Replace the step's container on the target by a new one that is healthy.
    DockerRun(RunContainer),
    /// Run a container to its end.
    DockerJob(RunJob),
    /// Run a script in a container.
    Script(RunScript),
    /// Have images ready.
    DockerPull(PullImages),
    /// Have a network.
    DockerNetwork(MakeNetwork),
    /// Bring a database to the newest migration.
    Sql(RunSql),
    /// Call something over HTTP.
    Http(Http),
    /// Post a message.
    Slack(PostSlack),
    /// Announce a gate, with buttons where the chat has them.
    Announce(AnnounceGate),
    /// Do nothing for a while.
    Wait {
        /// How long.
        span: Span,
    },
    /// Hold until told.
    Demo {
        /// For whoever reads the output.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
}

/// See [`Work::DockerRun`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunContainer {
    /// The image.
    pub image: ImageRef,
    /// How to pull it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PullCredentials>,
    /// Beginning of the container's name; the executor adds environment, target and a hash.
    pub name: String,
    /// Environment variables.
    pub env: IndexMap<String, String>,
    /// `HOST:CONTAINER`, `IP:HOST:CONTAINER` or `CONTAINER` (ephemeral), each with optional `/tcp` or `/udp`.
    pub ports: Vec<PortMapping>,
    /// Command, instead of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Files to put into it before it starts, by absolute path.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub files: IndexMap<String, PutFile>,
    /// Files `/run/secrets/NAME` for the container's user alone, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub secrets: IndexMap<String, String>,
    /// When it counts as good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// When the engine starts it again.
    #[serde(default, skip_serializing_if = "Restart::is_default")]
    pub restart: Restart,
    /// How what asks it goes from the old one to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Switch>,
    /// Create it, and do not start it.
    #[serde(default, rename = "create-only", skip_serializing_if = "std::ops::Not::not")]
    pub create_only: bool,
    /// How it is made beyond that.
    #[serde(flatten)]
    pub options: Box<ContainerOptions>,
    /// Stop the old container but keep it: the step may yet be taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_predecessor: bool,
}

/// A file that is put into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutFile {
    /// What is in it.
    pub text: String,
    /// Its mode.
    pub mode: u32,
}

/// A port of a container and where the host publishes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// Address of the host to listen on; all addresses if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Port of the host; ephemeral if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<u16>,
    /// Port of the container.
    pub container: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// See [`Work::DockerJob`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunJob {
    /// The image.
    pub image: ImageRef,
    /// How to pull it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PullCredentials>,
    /// Command, instead of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Environment variables.
    pub env: IndexMap<String, String>,
    /// Files to put into it before it starts, by absolute path.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub files: IndexMap<String, PutFile>,
    /// How it is made beyond that.
    #[serde(flatten)]
    pub options: Box<ContainerOptions>,
}

/// See [`Work::Script`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunScript {
    /// The image.
    pub image: ImageRef,
    /// How to pull it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PullCredentials>,
    /// The script.
    pub run: String,
    /// What runs it.
    pub shell: String,
    /// Environment variables.
    pub env: IndexMap<String, String>,
    /// Files to put into the container before it starts, by absolute path.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub files: IndexMap<String, PutFile>,
    /// The folder in which it begins; the image's without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
}

/// See [`Work::DockerPull`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PullImages {
    /// By package.
    pub images: BTreeMap<PackageName, PullImage>,
}

/// An image to have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PullImage {
    /// The image.
    pub image: ImageRef,
    /// How to pull it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PullCredentials>,
}

/// See [`Work::Sql`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSql {
    /// `postgres://…` or `sqlite://…`, usually a marker.
    pub database: String,
    /// Where the files are.
    pub files: SqlSource,
}

/// Where migrations come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SqlSource {
    /// A folder of an image.
    Image {
        /// The image.
        image: ImageRef,
        /// How to pull it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credentials: Option<PullCredentials>,
        /// Absolute path of a folder with `*.sql` files.
        path: String,
    },
    /// The order itself: file name to text.
    Inline(SqlFiles),
}

/// See [`Work::Slack`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostSlack {
    /// Channel name or id.
    pub channel: String,
    /// The message.
    pub text: String,
}

/// See [`Work::Announce`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnnounceGate {
    /// Slack channel.
    pub channel: String,
    /// The sequence of the gate's `Opened`; votes name it.
    pub opened: u64,
    /// The plan's digest; votes name it.
    pub plan_digest: String,
    /// What the persons asked should know.
    pub text: String,
}
