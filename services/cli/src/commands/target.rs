//! `slipway target`: Docker hosts, who serves them, and what is there.

use std::fmt::Write as _;

use clap::Subcommand;
use slipway_domain::{
    api::{TargetCheck, TargetView},
    inspection::{EngineFacts, Found, FoundLife},
    name::TargetName,
};

use super::Shared;
use crate::{
    failure::{Failure, Result},
    output,
};

#[derive(Debug, Subcommand)]
pub enum Target {
    /// List targets with the executors that serve them now
    List,
    /// Look at a target now: its Docker engine, its disk and clock, the containers; exit code 1 if something is wrong
    Check {
        /// Target
        target: TargetName,
    },
}

impl Target {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let client = shared.client()?;
        match self {
            Self::List => {
                let targets: Vec<TargetView> = client.get("/api/v1/target-status").await?;
                shared.output.show(&targets, |wide| list(&targets, wide))
            }
            Self::Check { target } => {
                let path = format!("/api/v1/target-status/{target}/check");
                let check: TargetCheck = client.post(&path, &()).await?;
                shared.output.show(&check, |wide| checked(&check, wide))?;
                match check.problems.len() + check.drift.len() {
                    0 => Ok(()),
                    1 => Err(Failure::failed(format!("{target}: something is not as it should be"))),
                    many => Err(Failure::failed(format!("{target}: {many} things are not as they should be"))),
                }
            }
        }
    }
}

/// What was seen, the problems first.
fn checked(check: &TargetCheck, wide: bool) -> String {
    let mut text = format!("{} ({})\n", check.target, check.docker);
    for problem in &check.problems {
        let _ = writeln!(text, "! {problem}");
    }
    for drift in &check.drift {
        let (project, environment, step) = (&drift.project, &drift.environment, &drift.step);
        let _ = writeln!(text, "! {project} in {environment}, {step}: {}", drift.detail);
    }
    let Some(seen) = &check.seen else { return text };
    let _ = writeln!(text, "  {}, seen by {}", engine(&seen.engine), seen.executor);
    let shown = seen.containers.iter().filter(|found| wide || found.life.is_live());
    let mut headings = vec!["container", "project", "environment", "release", "step", "state"];
    if wide {
        headings.push("image");
    }
    let row = |found: &Found| {
        let place =
            [&found.name, found.project.as_str(), found.environment.as_str(), &found.release, found.step.as_str()];
        let mut row: Vec<_> = place.map(str::to_owned).to_vec();
        row.push(state(found));
        if wide {
            row.push(found.image.clone());
        }
        row
    };
    text.push_str(&output::table(&headings, shown.map(row).collect()));
    let ended = seen.containers.iter().filter(|found| !found.life.is_live()).count();
    if ended > 0 && !wide {
        let _ = writeln!(text, "and {ended} that do not run; -o wide shows them");
    }
    text
}

fn engine(engine: &EngineFacts) -> String {
    const GB: f64 = 1_073_741_824.0;
    let disk = engine
        .disk
        .map(|disk| format!(", {:.1} of {:.1} GB of disk free", disk.free as f64 / GB, disk.total as f64 / GB));
    format!(
        "Docker {} ({}) on {}, {} CPUs, {:.1} GB of memory{}",
        engine.version,
        engine.platform,
        engine.host,
        engine.cpus,
        engine.memory as f64 / GB,
        disk.unwrap_or_default()
    )
}

fn state(found: &Found) -> String {
    let life = match &found.life {
        FoundLife::Created => "created".to_owned(),
        FoundLife::Running => "running".to_owned(),
        FoundLife::Paused => "paused".to_owned(),
        FoundLife::Restarting => "restarting".to_owned(),
        FoundLife::Ended(code) => format!("ended with {code}"),
    };
    let health = found.health.as_deref().filter(|_| found.life.is_live()).map(|health| format!(", {health}"));
    let restarts = (found.restarts > 0).then(|| format!(", started again {} times", found.restarts));
    [Some(life), health, restarts].into_iter().flatten().collect()
}

fn list(targets: &[TargetView], wide: bool) -> String {
    let mut headings = vec!["target", "environments", "roles", "executors"];
    if wide {
        headings.push("docker");
    }
    let join = |items: Vec<String>| items.join(", ");
    let row = |t: &TargetView| {
        let executors = join(t.executors.iter().map(ToString::to_string).collect());
        let mut row = vec![
            t.name.to_string(),
            join(t.environments.iter().map(ToString::to_string).collect()),
            t.roles.join(", "),
            if executors.is_empty() { "absent".to_owned() } else { executors },
        ];
        if wide {
            row.push(t.docker.clone());
        }
        row
    };
    output::table(&headings, targets.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_without_an_executor_is_absent() {
        let targets: Vec<TargetView> = serde_json::from_value(serde_json::json!([
            {"name": "web-01", "environments": ["production"], "roles": ["web"], "docker": "unix:///x", "executors": ["executor-1", "executor-2"]},
            {"name": "web-02", "environments": ["production", "staging"], "roles": [], "docker": "unix:///y", "executors": []},
        ]))
        .unwrap();
        assert_eq!(
            list(&targets, false),
            "TARGET  ENVIRONMENTS         ROLES  EXECUTORS\n\
             web-01  production           web    executor-1, executor-2\n\
             web-02  production, staging         absent\n"
        );
        assert!(list(&targets, true).contains("unix:///y"));
    }
}
