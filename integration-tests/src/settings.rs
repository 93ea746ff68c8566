//! Where the parts are. `deploy/test` says so in `SLIPWAY_TEST_*` variables; without them the usual
//! places are looked at, so that a single test can be started from an editor.

use std::path::{Path, PathBuf};

/// The Docker engine's endpoint.
pub fn docker() -> String {
    variable("SLIPWAY_TEST_DOCKER")
        .or_else(|| variable("DOCKER_HOST"))
        .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
}

/// The `nats-server` program, 2.14 or newer.
pub fn nats_server() -> PathBuf {
    program("SLIPWAY_TEST_NATS_SERVER", &[&workspace().join(".slipway/tools/bin").display().to_string()], "nats-server")
}

/// The `docker-registry` program.
pub fn registry() -> PathBuf {
    program("SLIPWAY_TEST_REGISTRY", &[], "docker-registry")
}

/// The folder with Postgres's `initdb` and `postgres`.
pub fn postgres() -> PathBuf {
    variable("SLIPWAY_TEST_POSTGRES").map(PathBuf::from).unwrap_or_else(|| {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = versions.map(|v| v.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
        newest.expect("Postgres is installed (deploy/install --for-tests)")
    })
}

/// One of the workspace's own programs, as `cargo build --workspace --bins` leaves it.
pub fn own(name: &str) -> PathBuf {
    let me = std::env::current_exe().expect("the program's own path");
    let beside = me.parent().expect("invariant: a program is in a folder");
    // A test is in target/<profile>/deps, a program in target/<profile>.
    let profile = if beside.ends_with("deps") { beside.parent().unwrap_or(beside) } else { beside };
    let folder = variable("SLIPWAY_TEST_BIN").map_or(profile.to_owned(), PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: cargo build --workspace --bins", path.display());
    path
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn program(name: &str, more: &[&str], file: &str) -> PathBuf {
    if let Some(path) = variable(name) {
        return PathBuf::from(path);
    }
    let path = std::env::var("PATH").unwrap_or_default();
    more.iter()
        .copied()
        .chain(path.split(':'))
        .map(|folder| Path::new(folder).join(file))
        .find(|candidate| candidate.exists())
        .unwrap_or_else(|| panic!("{file} is missing: run deploy/install, or set {name}"))
}
