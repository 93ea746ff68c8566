//! Steps that run a script in a container.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::File;
use crate::name::PackageName;

/// Run a script in a container of its own; its exit code decides. Either `package` or `image`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The script.
    pub run: String,
    /// The package in whose image it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// The image in which it runs, by its digest: `registry/repository@sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What runs it: a program of the image, and arguments that come before the script's path.
    #[serde(default = "default_shell")]
    pub shell: String,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// Files that are put into the container before, by absolute path.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub files: IndexMap<String, File>,
    /// The folder in which it begins; the image's without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
}

fn default_shell() -> String {
    "/bin/sh".to_owned()
}

impl Script {
    /// The folder of a container in which Slipway keeps the script and its outputs.
    pub const FOLDER: &str = "/slipway";
    /// The variable that names the file for outputs.
    pub const OUTPUT: &str = "SLIPWAY_OUTPUT";
}
