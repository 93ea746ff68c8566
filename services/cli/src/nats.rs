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

/// The file with the password that the servers of a cluster show one another.
const ROUTES: &str = "cluster.password";

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
    /// The servers of a cluster; none for a server of its own.
    pub nodes: Vec<Node>,
}

/// A server of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name; its configuration is `NAME.conf`.
    pub name: HolderName,
    /// Host and port for the services.
    pub listen: String,
    /// Host and port for the other servers.
    pub route: String,
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
    /// The configuration file; in a cluster, one for each server.
    pub configs: Vec<PathBuf>,
    /// Whether any differs from the one before.
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
    let mut texts = Vec::new();
    if init.nodes.is_empty() {
        texts.push((init.dir.join(CONFIG), render(init, None, &users)));
    } else {
        let password = route_password(&init.dir.join(ROUTES))?;
        for node in &init.nodes {
            let text = render(init, Some((node, &password)), &users);
            texts.push((init.dir.join(format!("{}.conf", node.name)), text));
        }
    }
    let mut changed = false;
    for (config, text) in &texts {
        if std::fs::read_to_string(config).ok().as_deref() != Some(text.as_str()) {
            changed = true;
            write_private(config, text.as_bytes())?;
        }
    }
    Ok(Written { configs: texts.into_iter().map(|(config, _)| config).collect(), changed, seeds })
}

/// What the servers of a cluster show one another; a new one if the file is not there.
fn route_password(file: &Path) -> Result<String> {
    if let Ok(text) = std::fs::read_to_string(file) {
        return Ok(text.trim().to_owned());
    }
    let password = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    write_private(file, format!("{password}\n").as_bytes())?;
    Ok(password)
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
fn render(init: &Init, node: Option<(&Node, &str)>, users: &[(&Service, String)]) -> String {
    let mut text = String::from("# Written by `slipway nats init`, which writes it again when it is called again.\n");
    let mut line = |key: &str, value: serde_json::Value| {
        let _ = writeln!(text, "{key}: {value}");
    };
    line("server_name", json!(node.map_or("slipway", |(node, _)| node.name.as_str())));
    line("listen", json!(node.map_or(&init.listen, |(node, _)| &node.listen)));
    if let Some(monitor) = &init.monitor {
        line("http", json!(monitor));
    }
    line("max_payload", json!(1_048_576));
    line("ping_interval", json!("10s"));
    let _ = write!(
        text,
        "\n# An acknowledged write is on the disk: the log must not lose what it told.\n\
         jetstream {{\n  store_dir: {}\n  sync_interval: always\n}}\n\nauthorization {{\n  users: [\n",
        json!(node.map_or(init.store_dir.clone(), |(node, _)| init.store_dir.join(node.name.as_str())))
    );
    if let Some((node, password)) = node {
        text.insert_str(text.rfind("authorization {").unwrap_or(text.len()), &cluster(init, node, password));
    }
    for (service, public) in users {
        let _ = writeln!(text, "    # {}", service.id());
        let _ = writeln!(text, "    {{ nkey: {public}, permissions: {} }}", permissions(&service.rights()));
    }
    text.push_str("  ]\n}\n");
    text
}

/// How the servers of a cluster find one another. They tell nobody else's addresses to the services.
fn cluster(init: &Init, node: &Node, password: &str) -> String {
    let others = init.nodes.iter().filter(|other| other.name != node.name);
    let routes: Vec<String> = others.map(|other| format!("nats-route://route:{password}@{}", other.route)).collect();
    format!(
        "cluster {{\n  name: slipway\n  listen: {}\n  no_advertise: true\n  \
         authorization {{ user: route, password: {}, timeout: 5 }}\n  routes: {}\n}}\n\n",
        json!(node.route),
        json!(password),
        json!(routes)
    )
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
