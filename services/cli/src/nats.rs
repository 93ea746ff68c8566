//! NATS as Slipway needs it: a configuration with one user per process, and the seeds of their keys.
//!
//! Nobody but these users may connect. What each may do is in [`rights`].

mod rights;
#[cfg(test)]
mod tests;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use nkeys::KeyPair;
use serde_json::json;
use slipway_domain::name::{HolderName, TargetName};

use self::rights::Rights;
pub use self::rights::Service;
use crate::{
    failure::{Failure, Result},
    settings::write_private,
};

/// The file that nats-server is started with.
pub const CONFIG: &str = "nats.conf";

/// What to write.
#[derive(Debug, Clone)]
pub struct Init {
    /// Where configuration and seeds go.
    pub dir: PathBuf,
    /// Host and port that the server listens on.
    pub listen: String,
    /// Host and port of the server's monitoring pages, if wanted.
    pub monitor: Option<String>,
    /// Where the streams are kept.
    pub store_dir: PathBuf,
    /// Who may connect.
    pub services: Vec<Service>,
}

/// The services of a plain installation with these executors.
pub fn services(executors: Vec<(HolderName, Option<Vec<TargetName>>)>) -> Vec<Service> {
    let name = |text: &str| HolderName::new(text).expect("invariant: the default ids are names");
    let mut services = vec![
        Service::Release(name("release-1")),
        Service::Planner(name("planner-1")),
        Service::Notifier(name("notifier-1")),
    ];
    services.extend(executors.into_iter().map(|(id, targets)| Service::Executor { id, targets }));
    services.push(Service::Operator);
    services
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The configuration file.
    pub config: PathBuf,
    /// Whether it differs from the one before.
    pub changed: bool,
    /// Each user's seed file.
    pub seeds: Vec<PathBuf>,
}

/// Writes configuration and seeds. Seeds that are there are kept, so that running services stay connected.
pub fn init(init: &Init) -> Result<Written> {
    let mut ids: Vec<&str> = init.services.iter().map(Service::id).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Failure::Usage(format!("two services are called `{}`: give each its own name", twice[0])));
    }
    let mut users = Vec::new();
    let mut seeds = Vec::new();
    for service in &init.services {
        let file = init.dir.join(format!("{}.nk", service.id()));
        users.push((service, key(&file)?.public_key()));
        seeds.push(file);
    }
    let config = init.dir.join(CONFIG);
    let text = render(init, &users);
    let changed = std::fs::read_to_string(&config).ok().as_deref() != Some(text.as_str());
    if changed {
        write_private(&config, text.as_bytes())?;
    }
    Ok(Written { config, changed, seeds })
}

/// The key in a seed file; a new one if the file is not there.
fn key(file: &Path) -> Result<KeyPair> {
    let failed = |e: &dyn std::fmt::Display| Failure::failed(format!("the seed file {}: {e}", file.display()));
    if file.exists() {
        let text = std::fs::read_to_string(file).map_err(|e| failed(&e))?;
        // The parser's words are left out: they might quote the seed.
        return KeyPair::from_seed(text.trim())
            .map_err(|_| failed(&"there is no nkey seed in it; remove it to have a new one made"));
    }
    let key = KeyPair::new_user();
    let seed = key.seed().map_err(|e| failed(&e))?;
    write_private(file, format!("{seed}\n").as_bytes())?;
    Ok(key)
}

/// The configuration. Values are JSON, which the server's format takes.
fn render(init: &Init, users: &[(&Service, String)]) -> String {
    let mut text = String::from("# Written by `slipway nats init`, which writes it again when it is called again.\n");
    let mut line = |key: &str, value: serde_json::Value| {
        let _ = writeln!(text, "{key}: {value}");
    };
    line("server_name", json!("slipway"));
    line("listen", json!(init.listen));
    if let Some(monitor) = &init.monitor {
        line("http", json!(monitor));
    }
    line("max_payload", json!(1_048_576));
    line("ping_interval", json!("10s"));
    let _ = write!(
        text,
        "\n# An acknowledged write is on the disk: the log must not lose what it told.\n\
         jetstream {{\n  store_dir: {}\n  sync_interval: always\n}}\n\nauthorization {{\n  users: [\n",
        json!(init.store_dir)
    );
    for (service, public) in users {
        let _ = writeln!(text, "    # {}", service.id());
        let _ = writeln!(text, "    {{ nkey: {public}, permissions: {} }}", permissions(&service.rights()));
    }
    text.push_str("  ]\n}\n");
    text
}

fn permissions(rights: &Rights) -> String {
    let mut text = format!(
        "{{\n      publish: {{ allow: {}, deny: {} }}\n      subscribe: {{ allow: {} }}\n",
        list(&rights.publish),
        list(&rights.never_publish),
        list(&rights.subscribe)
    );
    if rights.answers {
        text.push_str("      allow_responses: true\n");
    }
    text.push_str("    }");
    text
}

fn list(subjects: &[String]) -> String {
    if subjects.len() < 2 {
        return json!(subjects).to_string();
    }
    let lines: Vec<String> = subjects.iter().map(|subject| format!("        {}", json!(subject))).collect();
    format!("[\n{}\n      ]", lines.join(",\n"))
}
