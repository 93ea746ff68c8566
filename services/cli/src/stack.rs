//! A local stack: NATS and the four services as processes of this machine, in one folder.
//!
//! What runs is known by the files in the folder and by `/proc`; nothing stays resident.

mod process;
mod ready;
mod remembered;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use slipway_domain::name::{HolderName, TargetName};

pub use self::{process::State, remembered::Remembered};
use self::{
    process::{Processes, Spec},
    ready::Probe,
};
use crate::{
    failure::{Failure, Result},
    nats,
    settings::{self, Stored},
};

/// The only executor of a local stack.
const EXECUTOR: &str = "executor-1";
/// How long a service may take to be usable.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a service may drain before it is killed.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// A stack in a folder.
pub struct Stack {
    dir: PathBuf,
    wanted: Remembered,
    processes: Processes,
}

/// One process, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Running {
    /// Which one.
    pub name: &'static str,
    /// Where it listens.
    pub address: String,
    /// Its process id.
    pub pid: i32,
    /// What was done: `started`, `restarted` or `kept`.
    pub action: &'static str,
}

impl Stack {
    /// The stack in `dir`, an absolute path.
    pub fn new(dir: PathBuf, wanted: Remembered) -> Self {
        let processes = Processes::new(dir.join("pids"), dir.join("logs"));
        Self { dir, wanted, processes }
    }

    /// URL of the release service.
    pub fn server(&self) -> String {
        format!("http://{}", self.address(0))
    }

    fn address(&self, offset: u16) -> String {
        format!("127.0.0.1:{}", self.wanted.port_base + offset)
    }

    fn nats_address(&self) -> String {
        format!("127.0.0.1:{}", self.wanted.nats_port)
    }

    /// Starts what does not run, waits until all of it is usable, and writes `cli.json`.
    pub async fn up(&self) -> Result<Vec<Running>> {
        private_folder(&self.dir)?;
        self.wanted.store(&self.dir)?;
        let written = nats::init(&self.nats_init())?;
        let nats = self.nats_spec()?;
        let mut running = vec![self.start(&nats).await?];
        if written.changed && running[0].action == "kept" {
            self.processes.signal(nats.name, nix::sys::signal::Signal::SIGHUP)?;
        }
        self.await_ready(&nats).await?;
        let services = self.services()?;
        for spec in &services {
            running.push(self.start(spec).await?);
        }
        for spec in &services {
            self.await_ready(spec).await?;
        }
        settings::store(&self.dir, &Stored { server: self.server(), token_file: "admin.token".into() })?;
        Ok(running)
    }

    /// Stops everything, NATS last, and tells what was stopped. What does not end in time is killed.
    pub async fn down(&self) -> Result<Vec<(&'static str, &'static str)>> {
        let mut stopped = Vec::new();
        for group in [&["executor", "notifier", "planner", "release"][..], &["nats"][..]] {
            for name in group {
                self.processes.signal(name, nix::sys::signal::Signal::SIGTERM)?;
            }
            for name in group {
                if let Some(how) = self.processes.stopped(name, DRAIN_WITHIN).await? {
                    stopped.push((*name, how));
                }
            }
        }
        Ok(stopped)
    }

    /// Where each process of the stack is, by the files in the folder.
    pub fn states(&self) -> Vec<(&'static str, String, State)> {
        let all =
            [("nats", None), ("release", Some(0)), ("notifier", Some(1)), ("planner", Some(2)), ("executor", Some(3))];
        all.into_iter()
            .map(|(name, offset)| {
                let address = offset.map_or_else(|| self.nats_address(), |offset| self.address(offset));
                (name, address, self.processes.state(name))
            })
            .collect()
    }

    async fn start(&self, spec: &Spec) -> Result<Running> {
        let running = |pid, action| Running { name: spec.name, address: spec.probe.address().to_owned(), pid, action };
        let action = match self.processes.state(spec.name) {
            State::Running { pid, fingerprint } if fingerprint == spec.fingerprint() => {
                return Ok(running(pid, "kept"));
            }
            State::Running { .. } | State::Outdated { .. } => {
                self.processes.signal(spec.name, nix::sys::signal::Signal::SIGTERM)?;
                self.processes.stopped(spec.name, DRAIN_WITHIN).await?;
                "restarted"
            }
            State::Stopped => "started",
        };
        if spec.probe.is_taken().await {
            return Err(Failure::failed(format!(
                "{} can not be started: another program listens on {}; stop it or choose other ports with --port-base and --nats-port",
                spec.name,
                spec.probe.address()
            )));
        }
        Ok(running(self.processes.spawn(spec)?, action))
    }

    async fn await_ready(&self, spec: &Spec) -> Result<()> {
        ready::wait(&spec.probe, READY_WITHIN, || matches!(self.processes.state(spec.name), State::Running { .. }))
            .await
            .map_err(|reason| {
                Failure::failed(format!(
                    "{} {reason}\n  the last lines of {}:\n{}",
                    spec.name,
                    self.processes.log(spec.name).display(),
                    self.processes.tail(spec.name)
                ))
            })
    }

    fn nats_init(&self) -> nats::Init {
        let executor = HolderName::new(EXECUTOR).expect("invariant: the executor's id is a name");
        let mut targets = self.wanted.targets.clone();
        targets.push(TargetName::worker());
        nats::Init {
            dir: self.dir.join("nats"),
            listen: self.nats_address(),
            monitor: None,
            store_dir: self.dir.join("nats/jetstream"),
            services: nats::services(vec![(executor, Some(targets))]),
            nodes: Vec::new(),
        }
    }

    fn nats_spec(&self) -> Result<Spec> {
        let program = match &self.wanted.nats_server {
            Some(path) => path.clone(),
            None => process::on_path("nats-server").ok_or_else(|| {
                Failure::failed(
                    "nats-server is not on the PATH: install version 2.14 or newer (deploy/install does), or name it with --nats-server",
                )
            })?,
        };
        let config = self.dir.join("nats").join(nats::CONFIG).display().to_string();
        Ok(Spec {
            name: "nats",
            program,
            arguments: vec!["-c".to_owned(), config],
            variables: Vec::new(),
            unset: Vec::new(),
            probe: Probe::Nats(self.nats_address()),
        })
    }

    fn services(&self) -> Result<Vec<Spec>> {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let database =
            self.wanted.database_url.clone().unwrap_or_else(|| format!("sqlite://{}?mode=rwc", path("release.db")));
        let release = vec![
            ("SLIPWAY_DATABASE_URL", database),
            ("SLIPWAY_MASTER_KEY_FILE", path("master.key")),
            ("SLIPWAY_ADMIN_TOKEN_FILE", path("admin.token")),
        ];
        let mut executor = vec![("SLIPWAY_WORKER", "true".to_owned()), ("SLIPWAY_STATE_DIR", path("state/executor"))];
        if let Some(docker) = &self.wanted.docker {
            executor.push(("SLIPWAY_WORKER_DOCKER", docker.clone()));
        }
        let targets: Vec<&str> = self.wanted.targets.iter().map(TargetName::as_str).collect();
        if !targets.is_empty() {
            executor.push(("SLIPWAY_TARGETS", targets.join(",")));
        }
        let notifier = vec![("SLIPWAY_STATE_DIR", path("state/notifier"))];
        Ok(vec![
            self.service("release", 0, release)?,
            self.service("planner", 2, Vec::new())?,
            self.service("notifier", 1, notifier)?,
            self.service("executor", 3, executor)?,
        ])
    }

    fn service(&self, name: &'static str, offset: u16, own: Vec<(&'static str, String)>) -> Result<Spec> {
        let program = self.wanted.bin_dir.join(format!("slipway-{name}"));
        if !program.is_file() {
            return Err(Failure::failed(format!(
                "{} is not there: build it with `cargo build --workspace --bins`, or name the folder with --bin-dir",
                program.display()
            )));
        }
        let id = format!("{name}-1");
        let seed = self.dir.join("nats").join(format!("{id}.nk")).display().to_string();
        let mut variables = vec![
            ("SLIPWAY_ID", id),
            ("SLIPWAY_LISTEN", self.address(offset)),
            ("SLIPWAY_NATS_URL", format!("nats://{}", self.nats_address())),
            ("SLIPWAY_NATS_CREDS", seed),
        ];
        variables.extend(own);
        Ok(Spec {
            name,
            program,
            arguments: Vec::new(),
            variables,
            // What the caller's shell has for the command is none of the services' business.
            unset: vec!["SLIPWAY_TOKEN", "SLIPWAY_TARGETS", "SLIPWAY_SERVER"],
            probe: Probe::Http(self.address(offset)),
        })
    }
}

/// Makes the folder, for its owner only: database, keys and tokens will be in it. One that is there is left as it is.
fn private_folder(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| Failure::failed(format!("the folder {} can not be made: {e}", dir.display())))
}
