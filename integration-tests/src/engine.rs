//! A Docker engine of one's own, that may be killed: with folders and a network of its own, so that the engine of the
//! other tests does not notice.
//!
//! Its containers have no network. It pulls from a registry that is there twice, on the same address and the same
//! files: for the services in the network of the tests, and for this engine in its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{host, machine, process::Process, settings, wait};

/// Whether the engine's containers go on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Containers {
    /// As with `live-restore` in `daemon.json`.
    GoOn,
    /// As without.
    EndWithIt,
}

/// A running engine. Dropped, it is gone with everything that it had.
pub struct Engine {
    run: PathBuf,
    data: PathBuf,
    /// Holds the network.
    registry: Process,
    daemon: Process,
}

impl Engine {
    /// Starts one in `folder`, in a network in which the registry of this configuration answers.
    pub async fn start(folder: &Path, registry: &Path, containers: Containers) -> Result<Self> {
        let mut engine = Self::prepare(folder, registry).await?;
        engine.option("--bridge", "none");
        engine.option("--iptables", "false");
        engine.option("--ip-forward", "false");
        if containers == Containers::GoOn {
            engine.option("--live-restore", "true");
        }
        engine.restart().await?;
        Ok(engine)
    }

    /// One that does not run yet: its network is there, with that registry, and options can be added.
    pub async fn prepare(folder: &Path, registry: &Path) -> Result<Self> {
        let name = format!("slipway-engine-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        // Sockets have short names, and an engine's data must not lie on another engine's layers.
        let (run, data) = (PathBuf::from("/run").join(&name), PathBuf::from("/var/lib").join(&name));
        ensure!(machine::run("id", &["-u"]).await?.trim() == "0", "an engine of one's own needs root");
        std::fs::create_dir_all(&run)?;
        let inside =
            format!("ip link set lo up && exec {} serve {}", settings::registry().display(), registry.display());
        let mut registry = Process::new(&format!("{name}-registry"), "unshare".into(), folder);
        for argument in ["--net", "sh", "-c", &inside] {
            registry = registry.arg(argument);
        }
        registry.start()?;
        let network = network_of(&registry)?;
        host::own_network(registry.id().context("the registry runs")?).await?;
        let inside = format!("--net={}", network.display());
        let daemon = Process::new(&name, "nsenter".into(), folder).arg(inside).arg("dockerd");
        let mut engine = Self { run, data, registry, daemon };
        let run = engine.run.clone();
        engine.option("--data-root", &engine.data.display().to_string());
        engine.option("--exec-root", &run.join("exec").display().to_string());
        engine.option("--pidfile", &run.join("docker.pid").display().to_string());
        engine.option("--host", &format!("unix://{}", run.join("docker.sock").display()));
        Ok(engine)
    }

    /// Adds an option for the next start.
    pub fn option(&mut self, name: &str, value: &str) {
        self.daemon.add(format!("{name}={value}"));
    }

    /// Where the kernel shows its network.
    pub fn network(&self) -> Result<PathBuf> {
        network_of(&self.registry)
    }

    /// The process that holds its network.
    pub fn network_holder(&self) -> Result<u32> {
        self.registry.id().context("the registry runs")
    }

    /// Its endpoint.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.run.join("docker.sock").display())
    }

    /// `kill -9`; the program below it, containerd, dies with it.
    pub async fn kill(&mut self) -> Result<()> {
        self.daemon.kill().await?;
        let below = self.run.join("exec/containerd/containerd.pid");
        let Ok(pid) = std::fs::read_to_string(&below) else { return Ok(()) };
        wait::until("containerd has died with the engine", || async {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            // Nobody may ask for its exit code, so that it stays as a zombie.
            match state {
                Ok(state) if !state.contains(") Z ") => Err(state),
                _ => Ok(()),
            }
        })
        .await;
        // They would be taken for running as long as somebody has their numbers.
        for left in [below, self.run.join("docker.pid")] {
            let _ = std::fs::remove_file(left);
        }
        Ok(())
    }

    /// Starts it again and waits until it answers.
    pub async fn restart(&mut self) -> Result<()> {
        self.daemon.start()?;
        let daemon = &self.daemon;
        wait::until("the engine answers", || async {
            let version = self.docker(&["version", "--format", "{{.Server.Version}}"]).await;
            version.map_err(|error| format!("{error:#}\n{}", daemon.tail()))
        })
        .await;
        Ok(())
    }

    /// Runs the `docker` command against it; what it printed.
    pub async fn docker(&self, arguments: &[&str]) -> Result<String> {
        let endpoint = self.endpoint();
        machine::run("docker", &[&["--host", &endpoint], arguments].concat()).await
    }

    /// What it said last.
    pub fn tail(&self) -> String {
        format!("{}\n{}", self.daemon.tail(), self.registry.tail())
    }
}

fn network_of(registry: &Process) -> Result<PathBuf> {
    Ok(PathBuf::from(format!("/proc/{}/ns/net", registry.id().context("the registry runs")?)))
}

impl Drop for Engine {
    /// What belongs to an engine names its folders on its command line, and the groups of its containers have their
    /// ids; the innermost mounts go first.
    fn drop(&mut self) {
        let clean = r#"
            containers=$(ls "$1/containers")
            for pid in $(pgrep -f -- "(-root|-address|-config|-state|-workdir)[ =]($1|$2)/"); do
              [ "$pid" = $$ ] || kill -KILL "$pid"
            done
            for id in $containers; do
              find /sys/fs/cgroup -path "*$id*" -name cgroup.procs -exec cat {} + | sort -u | xargs -r kill -KILL
            done
            awk '{print $5}' /proc/self/mountinfo | sort -r | while read -r mount; do
              case $mount in "$1" | "$1"/* | "$2" | "$2"/*) umount -l "$mount" ;; esac
            done
            rm -rf "$1" "$2"
        "#;
        let mut command = std::process::Command::new("sh");
        command.args(["-c", clean, "sh"]).arg(&self.data).arg(&self.run);
        if let Err(error) = command.output() {
            eprintln!("{} stays: {error}", self.data.display());
        }
    }
}
