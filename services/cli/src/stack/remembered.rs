//! What a stack was started with, kept in its folder, so that the next `slipway up` needs no flags.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slipway_domain::name::TargetName;

use crate::{
    failure::{Failure, Result},
    output, settings,
};

/// The file.
const FILE: &str = "stack.json";

/// How a stack is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    /// The release service's port; notifier, planner and executor have the next three.
    pub port_base: u16,
    /// Port of NATS.
    pub nats_port: u16,
    /// What the executor serves besides `worker`.
    #[serde(default)]
    pub targets: Vec<TargetName>,
    /// Database of the release service; SQLite in the folder without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_url: Option<String>,
    /// The Docker engine of `worker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<String>,
    /// The nats-server program; the one on the PATH without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats_server: Option<PathBuf>,
    /// Where the services' programs are.
    pub bin_dir: PathBuf,
}

impl Remembered {
    /// What is kept in a folder; none if there was never a stack.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join(FILE);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Failure::failed(format!("reading {}: {e}", file.display()))),
        };
        serde_json::from_str(&text).map(Some).map_err(|e| {
            Failure::failed(format!("{} is not as expected: {e}; remove it and say the flags again", file.display()))
        })
    }

    /// Keeps it; the database's URL may hold a password, so only the owner may read it.
    pub fn store(&self, dir: &Path) -> Result<()> {
        settings::write_private(&dir.join(FILE), format!("{}\n", output::to_json(self)?).as_bytes())
    }
}
