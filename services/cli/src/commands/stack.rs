//! `slipway up` and `slipway down`: the local stack.

use std::path::{Path, PathBuf};

use clap::Args;
use slipway_domain::name::TargetName;

use super::{Shared, nats::absolute};
use crate::{
    failure::{Failure, Result},
    output,
    settings::STACK_DIR,
    stack::{Remembered, Running, Stack},
};

const PORT_BASE: u16 = 7300;
const NATS_PORT: u16 = 4222;

#[derive(Debug, Args)]
pub struct Up {
    /// Folder of the stack
    #[arg(long, env = "SLIPWAY_DIR", default_value = STACK_DIR)]
    dir: PathBuf,
    /// Targets that the executor serves; those of the last time without
    #[arg(long, alias = "target", env = "SLIPWAY_TARGETS", value_delimiter = ',', value_name = "NAME,…")]
    targets: Vec<TargetName>,
    /// The nats-server program; the one on the PATH without
    #[arg(long, value_name = "FILE", env = "SLIPWAY_NATS_SERVER")]
    nats_server: Option<PathBuf>,
    /// Folder of the services' programs; the one of this program without
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Database of the release service; SQLite in the stack's folder without
    #[arg(long, env = "SLIPWAY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Docker engine for steps that run on no target
    #[arg(long, alias = "docker", env = "SLIPWAY_WORKER_DOCKER", value_name = "URL")]
    worker_docker: Option<String>,
    /// Port of the release service; notifier, planner and executor have the next three. 7300 at first
    #[arg(long, value_name = "PORT")]
    port_base: Option<u16>,
    /// Port of NATS. 4222 at first
    #[arg(long, value_name = "PORT")]
    nats_port: Option<u16>,
}

#[derive(Debug, Args)]
pub struct Down {
    /// Folder of the stack
    #[arg(long, env = "SLIPWAY_DIR", default_value = STACK_DIR)]
    dir: PathBuf,
    /// Also remove the folder with all data
    #[arg(long)]
    purge: bool,
}

impl Up {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let dir = absolute(&self.dir)?;
        let wanted = self.wanted(Remembered::load(&dir)?)?;
        let targets = wanted.targets.clone();
        let stack = Stack::new(dir.clone(), wanted);
        if !shared.output.is_data() {
            output::complain(&format!("starting NATS and four services in {}\n", dir.display()));
        }
        let running = stack.up().await?;
        shared.output.show(&running, |_| told(&running, &stack.server(), &dir, &targets))
    }

    /// What was said this time, then what was said before, then the defaults.
    fn wanted(self, before: Option<Remembered>) -> Result<Remembered> {
        let own_dir = || {
            let program =
                std::env::current_exe().map_err(|e| Failure::failed(format!("this program's folder: {e}")))?;
            Ok(program.parent().unwrap_or(Path::new("/")).to_owned())
        };
        let path = |path: Option<PathBuf>| path.map(|p| absolute(&p)).transpose();
        let bin_dir = match path(self.bin_dir)? {
            Some(dir) => dir,
            None => own_dir()?,
        };
        let nats_server = path(self.nats_server)?;
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (database_url, docker) = (said(self.database_url), said(self.worker_docker));
        Ok(match before {
            None => Remembered {
                port_base: self.port_base.unwrap_or(PORT_BASE),
                nats_port: self.nats_port.unwrap_or(NATS_PORT),
                targets: self.targets,
                database_url,
                docker,
                nats_server,
                bin_dir,
            },
            Some(before) => Remembered {
                port_base: self.port_base.unwrap_or(before.port_base),
                nats_port: self.nats_port.unwrap_or(before.nats_port),
                targets: if self.targets.is_empty() { before.targets } else { self.targets },
                database_url: database_url.or(before.database_url),
                docker: docker.or(before.docker),
                nats_server: nats_server.or(before.nats_server),
                bin_dir,
            },
        })
    }
}

fn told(running: &[Running], server: &str, dir: &Path, targets: &[TargetName]) -> String {
    let rows = running
        .iter()
        .map(|r| vec![r.name.to_owned(), r.address.clone(), r.pid.to_string(), r.action.to_owned()])
        .collect();
    let names: Vec<&str> = targets.iter().map(TargetName::as_str).collect();
    let targets = if names.is_empty() { "none (name them with --targets)".to_owned() } else { names.join(", ") };
    format!(
        "{}\nweb page  {server}/   token in {}\ntargets   {targets}\nlogs      {}\n",
        output::table(&["service", "address", "pid", ""], rows),
        dir.join("admin.token").display(),
        dir.join("logs").display()
    )
}

impl Down {
    pub async fn run(self) -> Result<()> {
        let dir = absolute(&self.dir)?;
        let Some(remembered) = Remembered::load(&dir)? else {
            output::complain(&format!("there is no stack in {}\n", dir.display()));
            return Ok(());
        };
        let stopped = Stack::new(dir.clone(), remembered).down().await?;
        for (name, how) in &stopped {
            output::complain(&format!("{name} {how}\n"));
        }
        if stopped.is_empty() {
            output::complain("nothing was running\n");
        }
        if self.purge {
            std::fs::remove_dir_all(&dir)
                .map_err(|e| Failure::failed(format!("the folder {} can not be removed: {e}", dir.display())))?;
            output::complain(&format!("removed {}\n", dir.display()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        up: Up,
    }

    fn wanted(flags: &[&str], before: Option<Remembered>) -> Remembered {
        Line::parse_from([&["up"], flags].concat()).up.wanted(before).unwrap()
    }

    #[test]
    fn flags_win_over_what_was_said_the_last_time() {
        let first = wanted(&["--targets", "web-01,web-02", "--port-base", "7400", "--docker", "unix:///a"], None);
        assert_eq!((first.port_base, first.nats_port, first.targets.len()), (7400, NATS_PORT, 2));
        assert_eq!(wanted(&[], Some(first.clone())), first);
        let again = wanted(&["--target", "web-03", "--nats-port", "4333"], Some(first));
        assert_eq!((again.port_base, again.nats_port), (7400, 4333));
        assert_eq!(again.targets, [TargetName::new("web-03").unwrap()]);
        assert_eq!(again.docker.as_deref(), Some("unix:///a"));
    }
}
