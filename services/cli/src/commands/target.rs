//! `slipway target`: Docker hosts and who serves them.

use clap::Subcommand;
use slipway_domain::api::TargetView;

use super::Shared;
use crate::{failure::Result, output};

#[derive(Debug, Subcommand)]
pub enum Target {
    /// List targets with the executors that serve them now
    List,
}

impl Target {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let Self::List = self;
        let targets: Vec<TargetView> = shared.client()?.get("/api/v1/target-status").await?;
        shared.output.show(&targets, |wide| list(&targets, wide))
    }
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
