//! Which server, and with which token: flags and environment first, then `cli.json` of the local
//! stack, then the one that `slipway login` wrote.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// The server if nobody says otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:7300";
/// The folder of a local stack.
pub const STACK_DIR: &str = ".slipway";
/// The file in it, and in the folder of the user's settings.
pub const FILE: &str = "cli.json";

/// The content of `cli.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// URL of the release service.
    pub server: String,
    /// File with the token; relative to the folder of `cli.json`.
    pub token_file: PathBuf,
}

/// Where to look, besides flags and environment.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `$SLIPWAY_DIR`
    pub slipway_dir: Option<PathBuf>,
    /// The current folder.
    pub current: PathBuf,
    /// `~/.config/slipway`
    pub user: Option<PathBuf>,
}

impl Places {
    /// The places of this process.
    pub fn of_process() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            slipway_dir: set("SLIPWAY_DIR"),
            current: std::env::current_dir().unwrap_or_default(),
            user: set("XDG_CONFIG_HOME")
                .or_else(|| set("HOME").map(|home| home.join(".config")))
                .map(|config| config.join("slipway")),
        }
    }

    /// The first `cli.json` there is. With `$SLIPWAY_DIR` no other folder of a stack is looked into.
    pub fn file(&self) -> Option<PathBuf> {
        let stacks: Vec<PathBuf> = match &self.slipway_dir {
            Some(dir) => vec![dir.clone()],
            None => self.current.ancestors().map(|folder| folder.join(STACK_DIR)).collect(),
        };
        stacks.into_iter().chain(self.user.clone()).map(|dir| dir.join(FILE)).find(|file| file.is_file())
    }
}

/// Which server, with which token.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// URL without a slash at the end.
    pub server: String,
    /// The token, if any.
    pub token: Option<String>,
    /// Where the server was read from, for people.
    pub source: String,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("server", &self.server).field("source", &self.source).finish_non_exhaustive()
    }
}

/// Puts together what was said and what is stored. A token that is said wins over a stored one; a stored
/// token goes only to the server that it is stored with.
pub fn find(server: Option<String>, token: Option<String>, places: &Places) -> Result<Settings> {
    let trimmed = |url: String| url.trim_end_matches('/').to_owned();
    let server = server.map(trimmed);
    if let (Some(server), Some(_)) = (&server, &token) {
        return Ok(Settings { server: server.clone(), token, source: "flags or environment".to_owned() });
    }
    let Some(file) = places.file() else {
        let source = if server.is_some() { "flags or environment" } else { "the default" };
        let server = server.unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        return Ok(Settings { server, token, source: source.to_owned() });
    };
    let stored = read(&file)?;
    let stored_server = trimmed(stored.server.clone());
    if let Some(server) = server.filter(|server| *server != stored_server) {
        return Ok(Settings { server, token, source: "flags or environment".to_owned() });
    }
    let token = match token {
        Some(token) => Some(token),
        None => Some(read_token(&file, &stored)?),
    };
    Ok(Settings { server: stored_server, token, source: file.display().to_string() })
}

fn read(file: &Path) -> Result<Stored> {
    let text =
        std::fs::read_to_string(file).map_err(|e| Failure::failed(format!("reading {}: {e}", file.display())))?;
    serde_json::from_str(&text).map_err(|e| {
        Failure::failed(format!(
            "{} is not as expected: {e}; write it again with `slipway login` or `slipway up`",
            file.display()
        ))
    })
}

fn read_token(file: &Path, stored: &Stored) -> Result<String> {
    let path = file.parent().unwrap_or(Path::new(".")).join(&stored.token_file);
    std::fs::read_to_string(&path).map(|token| token.trim().to_owned()).map_err(|e| {
        Failure::failed(format!("reading the token file {} named by {}: {e}", path.display(), file.display()))
    })
}

/// Writes `cli.json` into a folder, readable for its owner only.
pub fn store(dir: &Path, stored: &Stored) -> Result<PathBuf> {
    let file = dir.join(FILE);
    let text = format!("{}\n", crate::output::to_json(stored)?);
    write_private(&file, text.as_bytes())?;
    Ok(file)
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(file: &Path, content: &[u8]) -> Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let failed = |e: std::io::Error| Failure::failed(format!("writing {}: {e}", file.display()));
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(name);
    let mut options = std::fs::OpenOptions::new();
    let mut handle = options.write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(failed)?;
    handle.write_all(content).and_then(|()| handle.sync_all()).map_err(failed)?;
    std::fs::rename(&new, file).map_err(failed)
}

#[cfg(test)]
mod tests;
