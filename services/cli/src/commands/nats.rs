//! `slipway nats init`: configuration and credentials for a NATS server that Slipway runs on.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use slipway_domain::name::{HolderName, TargetName};

use super::Shared;
use crate::{
    failure::{Failure, Result},
    nats,
};

#[derive(Debug, Subcommand)]
pub enum Nats {
    /// Write nats.conf and one key per service; safe to call again: keys are kept
    Init(Init),
}

#[derive(Debug, Args)]
pub struct Init {
    /// Folder for nats.conf and the keys (NAME.nk, readable for their owner only)
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:4222", value_name = "HOST:PORT")]
    listen: String,
    /// Port of the server, in place of the one in --listen
    #[arg(long)]
    port: Option<u16>,
    /// Port on 127.0.0.1 for the server's monitoring pages; none without
    #[arg(long, value_name = "PORT")]
    monitor_port: Option<u16>,
    /// Folder of the streams; `jetstream` in --dir without
    #[arg(long)]
    store_dir: Option<PathBuf>,
    /// An executor and the targets it may serve, such as executor-1=web-01,web-02,worker; all without targets. May be
    /// repeated; executor-1 without
    #[arg(long = "executor", value_name = "NAME[=TARGET,…]", value_parser = executor)]
    executors: Vec<Executor>,
    /// A server of a cluster of three or five, with its address for the services and its port for the other servers
    /// (6222 without), such as nats-1=10.0.0.1:4222/6222. Repeated for each; NAME.conf is written for each
    #[arg(long = "node", value_name = "NAME=HOST:PORT[/PORT]", value_parser = node)]
    nodes: Vec<nats::Node>,
    /// One more release service
    #[arg(long = "release", value_name = "NAME")]
    releases: Vec<HolderName>,
    /// One more planner
    #[arg(long = "planner", value_name = "NAME")]
    planners: Vec<HolderName>,
    /// One more notifier
    #[arg(long = "notifier", value_name = "NAME")]
    notifiers: Vec<HolderName>,
}

/// An executor and its targets.
type Executor = (HolderName, Option<Vec<TargetName>>);

fn executor(text: &str) -> std::result::Result<Executor, String> {
    let (name, targets) = match text.split_once('=') {
        Some((name, targets)) => (name, Some(targets)),
        None => (text, None),
    };
    let name = HolderName::new(name).map_err(|e| e.to_string())?;
    let targets = targets.map(|list| list.split(',').map(TargetName::new).collect::<std::result::Result<Vec<_>, _>>());
    Ok((name, targets.transpose().map_err(|e| e.to_string())?))
}

fn node(text: &str) -> std::result::Result<nats::Node, String> {
    let shape = "write it as NAME=HOST:PORT or NAME=HOST:PORT/ROUTE-PORT, such as nats-1=10.0.0.1:4222";
    let (name, address) = text.split_once('=').ok_or(shape)?;
    let (listen, route) = address.split_once('/').unwrap_or((address, "6222"));
    let (host, port) = listen.rsplit_once(':').ok_or(shape)?;
    if host.is_empty() || port.parse::<u16>().is_err() || route.parse::<u16>().is_err() {
        return Err(shape.to_owned());
    }
    let name = HolderName::new(name).map_err(|e| e.to_string())?;
    Ok(nats::Node { name, listen: listen.to_owned(), route: format!("{host}:{route}") })
}

#[derive(Serialize)]
struct Answer {
    configs: Vec<PathBuf>,
    changed: bool,
    seeds: Vec<PathBuf>,
}

impl Nats {
    pub fn run(self, shared: &Shared) -> Result<()> {
        let Self::Init(args) = self;
        let dir = absolute(&args.dir)?;
        if matches!(args.nodes.len(), 1 | 2 | 4) {
            return Err(Failure::Usage("a cluster that can lose a server has three or five of them".to_owned()));
        }
        let mut executors = args.executors;
        if executors.is_empty() {
            executors.push(executor("executor-1").map_err(Failure::Failed)?);
        }
        let mut services = nats::services(executors);
        services.extend(args.releases.into_iter().map(nats::Service::Release));
        services.extend(args.planners.into_iter().map(nats::Service::Planner));
        services.extend(args.notifiers.into_iter().map(nats::Service::Notifier));
        let init = nats::Init {
            listen: listen(&args.listen, args.port),
            monitor: args.monitor_port.map(|port| format!("127.0.0.1:{port}")),
            store_dir: match args.store_dir {
                Some(store) => absolute(&store)?,
                None => dir.join("jetstream"),
            },
            services,
            nodes: args.nodes,
            dir,
        };
        let written = nats::init(&init)?;
        let answer = Answer { configs: written.configs, changed: written.changed, seeds: written.seeds };
        shared.output.show(&answer, |_| {
            let state = if answer.changed { "written" } else { "unchanged" };
            let mut text = String::new();
            answer.configs.iter().for_each(|config| text.push_str(&format!("{} {state}\n", config.display())));
            answer.seeds.iter().for_each(|seed| text.push_str(&format!("  {}\n", seed.display())));
            for config in &answer.configs {
                text.push_str(&format!("start it with `nats-server -c {}`\n", config.display()));
            }
            text
        })
    }
}

/// `host` or `host:port`, with the port that was said beside it.
fn listen(address: &str, port: Option<u16>) -> String {
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (has_port, port) {
        (true, None) => address.to_owned(),
        (true, Some(port)) => format!("{}:{port}", address.rsplit_once(':').map_or(address, |(host, _)| host)),
        (false, port) => format!("{address}:{}", port.unwrap_or(4222)),
    }
}

/// A path that means the same in every folder; the server is started elsewhere.
pub fn absolute(path: &std::path::Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Failure::failed(format!("the folder {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_the_port_that_is_said() {
        for (address, port, expected) in [
            ("127.0.0.1:4222", None, "127.0.0.1:4222"),
            ("127.0.0.1:4222", Some(5), "127.0.0.1:5"),
            ("0.0.0.0", None, "0.0.0.0:4222"),
            ("0.0.0.0", Some(5), "0.0.0.0:5"),
        ] {
            assert_eq!(listen(address, port), expected);
        }
    }

    #[test]
    fn a_server_of_a_cluster_is_given_with_its_addresses() {
        let one = node("nats-1=10.0.0.1:4222").unwrap();
        assert_eq!((one.listen.as_str(), one.route.as_str()), ("10.0.0.1:4222", "10.0.0.1:6222"));
        assert_eq!(node("n=h:1/2").unwrap().route, "h:2");
        for bad in ["n", "n=h", "n=:1", "n=h:x", "n=h:1/x", "N=h:1"] {
            assert!(node(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_executor_is_given_with_its_targets() {
        assert_eq!(executor("e-1").unwrap().1, None);
        assert_eq!(executor("e-1=web-01,worker").unwrap().1.map(|t| t.len()), Some(2));
        assert!(executor("e-1=").is_err() && executor("E").is_err());
    }
}
