//! The invariants of docs/architecture.md that `cargo metadata` and the sources can show.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;
use slipway_integration_tests::{machine, settings};

/// Crates that do input and output.
const IO: [&str; 14] = [
    "tokio",
    "async-nats",
    "sea-orm",
    "sqlx",
    "bollard",
    "reqwest",
    "hyper",
    "axum",
    "mio",
    "socket2",
    "openssh",
    "rustls",
    "opentelemetry-otlp",
    "nix",
];

/// Our crates and what they depend on, as Cargo sees it.
struct Workspace {
    /// Names by package id.
    names: BTreeMap<String, String>,
    /// Normal dependencies by package id.
    dependencies: BTreeMap<String, Vec<String>>,
    /// Ids of the workspace's own packages by name.
    own: BTreeMap<String, String>,
}

impl Workspace {
    async fn read() -> Result<Self> {
        let manifest = settings::workspace().join("Cargo.toml").display().to_string();
        let compiler = machine::run("rustc", &["-vV"]).await?;
        let host = compiler.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
        let arguments = ["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host];
        let arguments = [&arguments[..], &["--manifest-path", &manifest]].concat();
        let metadata: Value = serde_json::from_str(&machine::run("cargo", &arguments).await?)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let names: BTreeMap<_, _> =
            list(&metadata["packages"]).iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
        let members = list(&metadata["workspace_members"]);
        let own = members.iter().map(text).map(|id| (names[&id].clone(), id)).collect();
        let mut dependencies = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let normal = |dep: &Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            let found = list(&node["deps"]).iter().filter(|dep| normal(dep)).map(|dep| text(&dep["pkg"])).collect();
            dependencies.insert(text(&node["id"]), found);
        }
        Ok(Self { names, dependencies, own })
    }

    /// Every crate that a crate of ours reaches, itself left out.
    fn reached(&self, name: &str) -> Result<BTreeSet<String>> {
        let start = self.own.get(name).with_context(|| format!("no crate {name}"))?;
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(id) = next.pop() {
            for dependency in &self.dependencies[id] {
                if seen.insert(dependency) {
                    next.push(dependency);
                }
            }
        }
        Ok(seen.into_iter().map(|id| self.names[id].clone()).collect())
    }

    /// The crates of ours that name a crate as their own dependency.
    fn users(&self, crate_name: &str) -> BTreeSet<&str> {
        let uses = |id: &String| self.dependencies[id].iter().any(|dependency| self.names[dependency] == crate_name);
        self.own.iter().filter(|(_, id)| uses(id)).map(|(name, _)| name.as_str()).collect()
    }
}

#[tokio::test]
async fn domain_and_engine_reach_no_crate_that_does_input_or_output() -> Result<()> {
    let workspace = Workspace::read().await?;
    for pure in ["slipway-domain", "slipway-engine"] {
        let reached = workspace.reached(pure)?;
        let forbidden: Vec<_> = IO.iter().filter(|name| reached.contains(**name)).collect();
        assert!(forbidden.is_empty(), "{pure} reaches {forbidden:?}");
    }
    let ours = |name: &str| -> Result<Vec<String>> {
        Ok(workspace.reached(name)?.into_iter().filter(|other| other.starts_with("slipway-")).collect())
    };
    assert_eq!(ours("slipway-domain")?, Vec::<String>::new());
    assert_eq!(ours("slipway-engine")?, ["slipway-domain"]);
    Ok(())
}

#[test]
fn domain_and_engine_read_no_clock_no_chance_and_no_environment() -> Result<()> {
    let banned =
        ["Utc::now", "Instant::now", "SystemTime", "now_v7", "new_v4", "thread_rng", "rand::", "std::env", "std::fs"];
    for folder in ["shared/domain/src", "shared/engine/src"] {
        for file in rust_files(&settings::workspace().join(folder))? {
            let text = std::fs::read_to_string(&file)?;
            // What tests do is their own affair.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let is_test = file.components().any(|part| part.as_os_str() == "tests.rs" || part.as_os_str() == "tests");
            let found: Vec<_> = banned.iter().filter(|word| !is_test && code.contains(**word)).collect();
            assert!(found.is_empty(), "{}: {found:?}", file.display());
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_library_with_a_fence_has_one_home() -> Result<()> {
    let workspace = Workspace::read().await?;
    let tests = "slipway-integration-tests";
    for (library, homes) in [
        ("sea-orm", &["slipway-store"][..]),
        ("sea-orm-migration", &["slipway-store"]),
        ("async-nats", &["slipway-bus"]),
        ("bollard", &["slipway-executor"]),
    ] {
        let mut users = workspace.users(library);
        users.remove(tests);
        assert_eq!(users, homes.iter().copied().collect::<BTreeSet<_>>(), "who uses {library}");
    }
    Ok(())
}

#[tokio::test]
async fn only_the_release_service_has_slipways_database() -> Result<()> {
    let workspace = Workspace::read().await?;
    assert_eq!(workspace.users("slipway-store"), BTreeSet::from(["slipway-release"]));
    for service in ["slipway-planner", "slipway-notifier", "slipway-cli"] {
        let reached = workspace.reached(service)?;
        for library in ["sea-orm", "sqlx", "slipway-store"] {
            assert!(!reached.contains(library), "{service} reaches {library}");
        }
    }
    // The executor migrates other people's databases, so it has drivers; Slipway's own tables it does not know.
    assert!(!workspace.reached("slipway-executor")?.contains("sea-orm"));
    Ok(())
}

#[tokio::test]
async fn tls_is_one_provider_without_openssl() -> Result<()> {
    let workspace = Workspace::read().await?;
    for name in workspace.own.keys() {
        let reached = workspace.reached(name)?;
        for library in ["openssl-sys", "aws-lc-sys", "aws-lc-rs"] {
            assert!(!reached.contains(library), "{name} reaches {library}");
        }
    }
    Ok(())
}

#[test]
fn no_module_is_called_utils_helpers_common_core_or_manager() -> Result<()> {
    for folder in ["shared", "services", "integration-tests"] {
        for file in rust_files(&settings::workspace().join(folder))? {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            assert!(
                !["utils", "util", "helpers", "common", "core", "manager"].contains(&stem.as_str()),
                "{}",
                file.display()
            );
        }
    }
    Ok(())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}
