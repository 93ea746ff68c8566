//! Settings of an executor: flags, or `SLIPWAY_*` variables.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use slipway_bus::BusConfig;
use slipway_domain::{
    name::{HolderName, TargetName},
    presence::Role,
};
use slipway_service::{
    Command,
    args::{ListenArgs, NatsArgs},
};
use slipway_worker::WorkerConfig;

use crate::simulate::settings::SimulateArgs;

/// Port of the operators' endpoint.
const PORT: u16 = 7303;
/// How long a health probe may take to connect.
const PROBE_CONNECT: Duration = Duration::from_secs(2);

/// Runs tasks on the Docker engines of its host
#[derive(Debug, clap::Parser)]
#[command(name = "slipway-executor", version)]
pub struct Settings {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    nats: NatsArgs,
    #[command(flatten)]
    listen: ListenArgs,
    /// Targets to serve, separated by commas
    #[arg(long, env = "SLIPWAY_TARGETS", value_delimiter = ',')]
    targets: Vec<String>,
    /// Also serve the steps that run on no target
    #[arg(long, env = "SLIPWAY_WORKER")]
    worker: bool,
    /// Docker engine of the steps that run on no target
    #[arg(long, env = "SLIPWAY_WORKER_DOCKER", default_value = "unix:///var/run/docker.sock")]
    pub worker_docker: String,
    /// Configuration of ssh for targets of ssh://; the user's own and the system's without
    #[arg(long, env = "SLIPWAY_SSH_CONFIG", value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
    /// Tasks at a time
    #[arg(long, env = "SLIPWAY_SLOTS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    slots: u16,
    /// Folder of its own, whose lock proves that only one process has this id; /var/lib/slipway/<id> if not said
    #[arg(long, env = "SLIPWAY_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Its name, the same after every restart
    #[arg(long, env = "SLIPWAY_ID", default_value = "executor-1")]
    id: String,
    #[command(flatten)]
    pub simulate: SimulateArgs,
}

impl Settings {
    /// Where the operators' endpoint listens.
    pub fn address(&self) -> SocketAddr {
        self.listen.or_port(PORT)
    }

    /// How to reach NATS.
    pub fn bus_config(&self) -> BusConfig {
        BusConfig {
            url: self.nats.url.clone(),
            creds: self.nats.creds.clone(),
            role: Role::Executor,
            id: self.id.clone(),
        }
    }

    /// Who it is and what it serves.
    pub fn worker_config(&self) -> anyhow::Result<WorkerConfig> {
        let named = self.targets.iter().map(|target| target.trim()).filter(|target| !target.is_empty());
        let mut targets = named.map(TargetName::new).collect::<Result<Vec<_>, _>>().context("SLIPWAY_TARGETS")?;
        if let Some(reserved) = targets.iter().find(|target| target.is_reserved()) {
            anyhow::bail!("`{reserved}` is no target of its own; to serve the steps without targets use --worker");
        }
        if self.worker {
            targets.push(TargetName::worker());
        }
        ensure!(!targets.is_empty(), "there is nothing to serve: name targets with --targets, or use --worker");
        targets.sort();
        targets.dedup();
        Ok(WorkerConfig {
            role: Role::Executor,
            name: HolderName::new(self.id.clone()).context("SLIPWAY_ID")?,
            targets,
            slots: usize::from(self.slots),
            state_dir: self.state_dir(),
        })
    }

    fn state_dir(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| Path::new("/var/lib/slipway").join(&self.id))
    }

    /// The effective settings, without secrets.
    pub fn effective(&self) -> String {
        let settings = serde_json::json!({
            "id": self.id,
            "nats_url": self.nats.redacted_url(),
            "nats_creds": self.nats.creds,
            "listen": self.address().to_string(),
            "targets": self.targets,
            "worker": self.worker,
            "worker_docker": self.worker_docker,
            "ssh_config": self.ssh_config,
            "slots": self.slots,
            "state_dir": self.state_dir(),
            "simulate": self.simulate.shown(),
        });
        format!("{settings:#}\n")
    }
}

/// The client of health probes: what the container itself answers, so no redirect and no proxy, and plain http, which
/// needs no CA certificates.
pub fn probe_client() -> anyhow::Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_certs_only([])
        .connect_timeout(PROBE_CONNECT)
        .pool_max_idle_per_host(0)
        .user_agent("slipway-health");
    client.build().context("the HTTP client of health probes")
}
