//! `slipway deployment`: list, show, watch, logs, why; cancel, pause, resume, retry.

mod why;

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use futures::StreamExt as _;
use serde::Serialize;
use slipway_domain::{
    api::{Accepted, Cancel, DeploymentSummary, DeploymentView, Go, LogLine, Status, Waiting},
    name::{EnvironmentName, ProjectName, StepName, TargetName},
};

use super::{Shared, deploy::span};
use crate::{
    client::{Client, segment},
    failure::{Failure, Result},
    output::{self, OutputArgs},
    sse, times, watch,
};

#[derive(Debug, Subcommand)]
pub enum Deployment {
    /// List deployments, newest first
    List(List),
    /// Show a deployment with its steps, and why it failed
    Show {
        /// Deployment: its id, or the beginning of it
        deployment: String,
    },
    /// Follow a deployment to its end
    Watch(Watch),
    /// Print what a deployment's steps print
    Logs(Logs),
    /// Stop a deployment; steps that run always still run
    Cancel(CancelArgs),
    /// Start nothing new in a deployment; what runs goes on
    Pause(CancelArgs),
    /// Let a paused deployment go on
    Resume {
        /// Deployment: its id, or the beginning of it
        deployment: String,
    },
    /// Deploy again what a finished deployment did not do
    Retry {
        /// Deployment: its id, or the beginning of it
        deployment: String,
    },
    /// Tell a step of kind demo to go on
    Go(GoArgs),
    /// Say for each thing that waits what it waits for
    Why {
        /// Deployment: its id, or the beginning of it
        deployment: String,
    },
}

#[derive(Debug, Args)]
pub struct List {
    /// Only of this project
    #[arg(long)]
    project: Option<ProjectName>,
    /// Only to this environment
    #[arg(long)]
    environment: Option<EnvironmentName>,
    /// How many
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

#[derive(Debug, Args)]
pub struct Watch {
    /// Deployment: its id, or the beginning of it
    deployment: String,
    /// Leave with exit code 4 after waiting this long for a person, such as 10m; without, keep following
    #[arg(long, value_name = "SPAN", value_parser = span)]
    wait_timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// Deployment: its id, or the beginning of it
    deployment: String,
    /// Keep printing until the deployment is finished
    #[arg(long)]
    follow: bool,
    /// Only of this step
    #[arg(long)]
    step: Option<StepName>,
    /// Only of this target
    #[arg(long)]
    target: Option<TargetName>,
}

#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Deployment: its id, or the beginning of it
    deployment: String,
    /// Why, for the others
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct GoArgs {
    /// Deployment: its id, or the beginning of it
    deployment: String,
    /// The step
    step: StepName,
    /// On this target, if the step holds on several
    #[arg(long)]
    target: Option<TargetName>,
    /// Let it fail
    #[arg(long)]
    fail: bool,
}

fn path(deployment: &str) -> String {
    format!("/api/v1/deployments/{}", segment(deployment))
}

impl Deployment {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let client = shared.client()?;
        match self {
            Self::List(args) => args.run(&client, &shared.output).await,
            Self::Show { deployment } => {
                let view: DeploymentView = client.get(&path(&deployment)).await?;
                shared.output.show(&view, |wide| watch::details(&view, wide, times::now()))
            }
            Self::Watch(args) => {
                watch::follow(&client, &shared.output, &args.deployment, None, args.wait_timeout).await
            }
            Self::Logs(args) => args.run(&client, &shared.output).await,
            Self::Cancel(args) => {
                let body = Cancel { reason: args.reason };
                ask(shared, &client, &args.deployment, "cancel", &body, "cancel is requested").await
            }
            Self::Pause(args) => {
                let body = Cancel { reason: args.reason };
                ask(shared, &client, &args.deployment, "pause", &body, "paused: what runs goes on, nothing new starts")
                    .await
            }
            Self::Go(args) => {
                let body = Go { target: args.target, fail: args.fail };
                let verb = format!("steps/{}/go", args.step);
                ask(shared, &client, &args.deployment, &verb, &body, "the step is told").await
            }
            Self::Resume { deployment } => ask(shared, &client, &deployment, "resume", &(), "resumed").await,
            Self::Retry { deployment } => {
                let accepted: Accepted = client.post(&format!("{}/retry", path(&deployment)), &()).await?;
                shared.output.show(&accepted, |_| {
                    let short = watch::short(accepted.id);
                    format!(
                        "{}\n  goes on where {deployment} ended; follow it with `slipway deployment watch {short}`\n",
                        accepted.id
                    )
                })
            }
            Self::Why { deployment } => {
                let waiting: Vec<Waiting> = client.get(&format!("{}/why", path(&deployment))).await?;
                shared.output.show(&waiting, |_| why::table(&waiting, times::now()))
            }
        }
    }
}

/// Asks something of a deployment and says that it was heard.
async fn ask(
    shared: &Shared,
    client: &Client,
    deployment: &str,
    verb: &str,
    body: &(impl Serialize + Sync),
    done: &str,
) -> Result<()> {
    let answer: serde_json::Value = client.post(&format!("{}/{verb}", path(deployment)), body).await?;
    shared.output.show(&answer, |_| format!("{done}; follow it with `slipway deployment watch {deployment}`\n"))
}

impl List {
    async fn run(self, client: &Client, output: &OutputArgs) -> Result<()> {
        let mut path = format!("/api/v1/deployments?limit={}", self.limit);
        if let Some(project) = &self.project {
            path.push_str(&format!("&project={project}"));
        }
        if let Some(environment) = &self.environment {
            path.push_str(&format!("&environment={environment}"));
        }
        let deployments: Vec<DeploymentSummary> = client.get(&path).await?;
        output.show(&deployments, |wide| list(&deployments, wide, times::now()))
    }
}

fn list(deployments: &[DeploymentSummary], wide: bool, now: DateTime<Utc>) -> String {
    let mut headings = vec!["deployment", "project", "version", "environment", "state", "requested", "by", "took"];
    if wide {
        headings.push("why");
    }
    let row = |d: &DeploymentSummary| {
        let state = match (d.status, d.outcome) {
            (Status::Finished, Some(outcome)) => outcome.as_str(),
            (status, _) => status.as_str(),
        };
        let took = match (d.started_at, d.finished_at) {
            (Some(from), Some(to)) => times::between(from, to),
            _ => String::new(),
        };
        let mut row = vec![
            if wide { d.id.to_string() } else { watch::short(d.id) },
            d.project.to_string(),
            d.version.clone(),
            d.environment.to_string(),
            state.to_owned(),
            if wide { times::exact(d.requested_at) } else { times::ago(d.requested_at, now) },
            d.requested_by.to_string(),
            took,
        ];
        if wide {
            row.push(d.reason.clone().unwrap_or_default());
        }
        row
    };
    output::table(&headings, deployments.iter().map(row).collect())
}

impl Logs {
    async fn run(self, client: &Client, output: &OutputArgs) -> Result<()> {
        let path = format!("{}/logs?follow={}", path(&self.deployment), self.follow);
        let mut last: Option<String> = None;
        let mut tries = 0;
        loop {
            match self.print(client, &path, output, &mut last).await {
                // The stream ended by itself: everything is printed.
                Ok(()) => return Ok(()),
                Err(failure) if failure.is_passing() && last.is_some() && tries < 60 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn print(&self, client: &Client, path: &str, output: &OutputArgs, last: &mut Option<String>) -> Result<()> {
        let answer = client.stream(path, last.as_deref()).await?;
        let body = answer.bytes_stream().boxed();
        let mut reader = sse::Reader::new(body);
        while let Some(message) = reader.next().await {
            let message = message
                .map_err(|e| Failure::Unreachable(format!("the server stopped in the middle of the logs: {e}")))?;
            let line: LogLine = serde_json::from_str(&message.data)
                .map_err(|e| Failure::failed(format!("the server sent a log line that can not be read: {e}")))?;
            let wanted = self.step.as_ref().is_none_or(|step| *step == line.step)
                && self.target.as_ref().is_none_or(|target| *target == line.target);
            if wanted {
                output::say(&if output.is_data() { format!("{}\n", message.data) } else { text(&line) });
            }
            *last = message.id;
        }
        Ok(())
    }
}

fn text(line: &LogLine) -> String {
    let at = line.at.format("%H:%M:%S");
    let attempt = if line.attempt > 1 { format!("#{}", line.attempt) } else { String::new() };
    let mark = if line.stream == "slipway" { "»" } else { "|" };
    format!("{at} {}@{}{attempt} {mark} {}\n", line.step, line.target, line.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_are_listed_with_state_and_time() {
        let deployments: Vec<DeploymentSummary> = serde_json::from_value(serde_json::json!([{
            "id": "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", "seq": 1, "project": "shop", "environment": "staging",
            "version": "1.1.0", "status": "finished", "outcome": "failed", "reason": "web failed",
            "requested_by": {"kind": "trigger", "name": "push"}, "requested_at": "2026-11-21T11:50:00Z",
            "started_at": "2026-11-21T11:50:01Z", "finished_at": "2026-11-21T11:51:05Z"
        }]))
        .unwrap();
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(
            list(&deployments, false, now),
            "DEPLOYMENT     PROJECT  VERSION  ENVIRONMENT  STATE   REQUESTED  BY            TOOK\n\
             0192aaaa-bbbb  shop     1.1.0    staging      failed  10m ago    trigger push  1m 4s\n"
        );
        assert!(list(&deployments, true, now).contains("0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"));
    }

    #[test]
    fn a_log_line_says_where_it_is_from() {
        let line: LogLine = serde_json::from_value(serde_json::json!({
            "seq": 1, "at": "2026-11-21T11:50:00Z", "step": "web", "target": "web-01", "attempt": 2, "stream": "out", "text": "hello"
        }))
        .unwrap();
        assert_eq!(text(&line), "11:50:00 web@web-01#2 | hello\n");
    }
}
