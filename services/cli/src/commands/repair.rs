//! `slipway repair`: deployments that damage of the log stopped, and rows made again from the archive.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use slipway_domain::api::{Abandon, Accepted, Damaged, Rebuild};

use super::Shared;
use crate::{
    client::{Client, segment},
    failure::{Failure, Result},
    output, times, watch,
};

/// How often the server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub enum Repair {
    /// List deployments that an impossible entry of the log stopped
    List,
    /// Give up such a deployment: it ends as failed, and its environment is free
    Abandon(AbandonArgs),
    /// Make the rows of deployments in the database again from the archive, while the server goes on
    Rebuild,
}

#[derive(Debug, Args)]
pub struct AbandonArgs {
    /// Deployment: its id, or the beginning of it
    deployment: String,
    /// Why it may be given up, and what was looked at
    #[arg(long)]
    reason: String,
}

impl Repair {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let client = shared.client()?;
        match self {
            Self::List => {
                let damaged: Vec<Damaged> = client.get("/api/v1/damaged").await?;
                shared.output.show(&damaged, |wide| list(&damaged, wide, times::now()))
            }
            Self::Abandon(args) => {
                let path = format!("/api/v1/deployments/{}/abandon", segment(&args.deployment));
                let accepted: Accepted = client.post(&path, &Abandon { reason: args.reason }).await?;
                shared.output.show(&accepted, |_| {
                    format!("{} is given up; the next deployment to its environment can start\n", accepted.id)
                })
            }
            Self::Rebuild => rebuild(shared, &client).await,
        }
    }
}

async fn rebuild(shared: &Shared, client: &Client) -> Result<()> {
    let mut state: Rebuild = client.post("/api/v1/rebuild", &()).await?;
    while matches!(state, Rebuild::Running { .. }) {
        tokio::time::sleep(ASK_EVERY).await;
        state = client.get("/api/v1/rebuild").await?;
    }
    match &state {
        Rebuild::Failed { reason } => Err(Failure::failed(format!("the rows were not made again: {reason}"))),
        state => shared.output.show(state, |_| told(state)),
    }
}

fn told(state: &Rebuild) -> String {
    match state {
        Rebuild::Done { events, deployments, dropped: 0 } => {
            format!("{deployments} deployments made again from {events} entries of the log\n")
        }
        Rebuild::Done { events, deployments, dropped } => format!(
            "{deployments} deployments made again from {events} entries of the log; {dropped} that no entry knows were taken away\n"
        ),
        _ => "the server was started again and knows of none\n".to_owned(),
    }
}

fn list(damaged: &[Damaged], wide: bool, now: DateTime<Utc>) -> String {
    if damaged.is_empty() {
        return "nothing is damaged\n".to_owned();
    }
    let row = |d: &Damaged| {
        vec![
            if wide { d.id.to_string() } else { watch::short(d.id) },
            d.project.to_string(),
            d.version.clone(),
            d.environment.to_string(),
            if wide { times::exact(d.requested_at) } else { times::ago(d.requested_at, now) },
            d.fact.clone(),
        ]
    };
    let headings = ["deployment", "project", "version", "environment", "requested", "stopped at"];
    output::table(&headings, damaged.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_stopped_a_deployment() {
        let damaged: Vec<Damaged> = serde_json::from_value(serde_json::json!([{
            "id": "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", "project": "shop", "environment": "staging", "version": "1.1.0",
            "requested_at": "2026-11-21T11:50:00Z", "fact": "entry 7: a@worker is not held"
        }]))
        .unwrap();
        assert_eq!(
            list(&damaged, false, "2026-11-21T12:00:00Z".parse().unwrap()),
            "DEPLOYMENT     PROJECT  VERSION  ENVIRONMENT  REQUESTED  STOPPED AT\n\
             0192aaaa-bbbb  shop     1.1.0    staging      10m ago    entry 7: a@worker is not held\n"
        );
        assert_eq!(list(&[], false, Utc::now()), "nothing is damaged\n");
    }

    #[test]
    fn the_end_of_a_rebuild_is_told() {
        let done = |dropped| told(&Rebuild::Done { events: 9, deployments: 2, dropped });
        assert_eq!(done(0), "2 deployments made again from 9 entries of the log\n");
        assert!(done(1).contains("1 that no entry knows"));
    }
}
