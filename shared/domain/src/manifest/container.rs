//! Steps that make containers: what is in them, and when they count as good.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{duration::Span, name::PackageName};

/// Replace the step's container on each target by a new one; the old one comes back if the new one is not healthy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerRun {
    /// The image.
    pub package: PackageName,
    /// Beginning of the container's name; the step's name without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// `HOST:CONTAINER` or `CONTAINER`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Command, instead of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Files that are put into it before it starts, by absolute path.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub files: IndexMap<String, File>,
    /// Files `/run/secrets/NAME` that only the container's user can read, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub secrets: IndexMap<String, String>,
    /// When it counts as good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// A file: its text, or the text with a mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum File {
    /// The text.
    Text(String),
    /// With a mode.
    With(FileOptions),
}

/// A file with more to say about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOptions {
    /// The text.
    pub text: String,
    /// Who may read, write and execute it, in octal, such as `"0440"`.
    pub mode: String,
}

impl File {
    /// Mode of a file that says none: everybody reads it.
    pub const MODE: u32 = 0o444;

    /// The text.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::With(options) => &options.text,
        }
    }

    /// The mode; none if what is written is none.
    pub fn mode(&self) -> Option<u32> {
        match self {
            Self::Text(_) => Some(Self::MODE),
            Self::With(options) => u32::from_str_radix(&options.mode, 8).ok().filter(|mode| *mode <= 0o777),
        }
    }
}

/// When a container counts as good. Without a probe: the image's HEALTHCHECK if there is one, else that it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// An HTTP request to the container that must answer 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// A TCP connection that must open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    /// It must be good within this time.
    #[serde(default = "default_within")]
    pub within: Span,
    /// It must then stay good for this time.
    #[serde(default = "default_stay")]
    pub stay: Span,
}

fn default_within() -> Span {
    Span::secs(60)
}

fn default_stay() -> Span {
    Span::secs(0)
}

impl Default for Health {
    fn default() -> Self {
        Self { http: None, tcp: None, within: default_within(), stay: default_stay() }
    }
}

/// An HTTP probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    /// Port of the container.
    pub port: u16,
    /// Path and query.
    #[serde(default = "default_path")]
    pub path: String,
}

fn default_path() -> String {
    "/".to_owned()
}

/// A TCP probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpProbe {
    /// Port of the container.
    pub port: u16,
}

/// Run a container to its end; its exit code decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerJob {
    /// The image.
    pub package: PackageName,
    /// Files that are put into it before it starts, by absolute path.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub files: IndexMap<String, File>,
    /// Command, instead of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
}

/// Have the images of packages on the engine, before anything is changed there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerPull {
    /// Which; all of the project without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageName>,
}
