//! `slipway deploy`, `slipway promote` and `slipway rollback`: ask for a deployment, and watch it if wished.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use clap::Args;
use reqwest::Method;
use slipway_domain::{
    api::{AcceptedDeployment, Candidates, CreateDeployment, HoldingFreeze, Preview},
    name::{EnvironmentName, ProjectName, StepName, TargetName},
};

use super::Shared;
use crate::{
    client::Client,
    failure::{Failure, Result},
    output, times, watch,
};

/// How to follow what was asked for.
#[derive(Debug, Args)]
struct Follow {
    /// Follow the deployment to its end
    #[arg(long)]
    watch: bool,
    /// With --watch: leave with exit code 4 after waiting this long for a person, such as 10m
    #[arg(long, value_name = "SPAN", requires = "watch", value_parser = span)]
    wait_timeout: Option<Duration>,
    /// Asking twice with the same key deploys once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// A span of time such as 30s or 5m.
pub fn span(text: &str) -> std::result::Result<Duration, String> {
    slipway_domain::duration::Span::try_from(text.to_owned()).map(|span| span.0)
}

#[derive(Debug, Args)]
pub struct Deploy {
    /// Project
    project: ProjectName,
    /// Version of the release
    version: String,
    /// Environment
    #[arg(long)]
    to: EnvironmentName,
    /// Only as it was looked at: a file with what `slipway plan --json` printed. Refused if the plan is another one now
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    follow: Follow,
}

/// What may be said about one deployment.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Step to leave out. May be repeated
    #[arg(long, value_name = "STEP")]
    skip: Vec<StepName>,
    /// Start no earlier, such as 2026-12-01T22:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<DateTime<Utc>>,
    /// Ask a person about failed tasks, also where project and environment do not
    #[arg(long)]
    guided_failure: bool,
    /// Start in spite of a freeze, if you may; the reason is kept
    #[arg(long, value_name = "REASON")]
    ignore_freeze: Option<String>,
    /// Only to this target of the environment, such as one that was away. May be repeated
    #[arg(long, value_name = "TARGET")]
    target: Vec<TargetName>,
    /// Value of a variable that has a `prompt`. May be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    var: Vec<(String, String)>,
}

fn assignment(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write a name, `=` and a value, such as Message=hello".to_owned()),
    }
}

impl Options {
    pub(super) fn body(self, project: ProjectName, version: String, environment: EnvironmentName) -> CreateDeployment {
        let Self { skip, at, guided_failure, ignore_freeze, target, var } = self;
        let variables = var.into_iter().collect();
        CreateDeployment {
            skip,
            at,
            guided_failure,
            ignore_freeze,
            variables,
            targets: target,
            ..CreateDeployment::new(project, version, environment)
        }
    }
}

#[derive(Debug, Args)]
pub struct Promote {
    /// Project
    project: ProjectName,
    /// Version of the release; the newest that may go there without
    version: Option<String>,
    /// Environment
    #[arg(long)]
    to: EnvironmentName,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    follow: Follow,
}

#[derive(Debug, Args)]
pub struct Rollback {
    /// Project
    project: ProjectName,
    /// Version of the release; what was there before without
    version: Option<String>,
    /// Environment
    #[arg(long)]
    to: EnvironmentName,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    follow: Follow,
}

impl Deploy {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let plan = self.plan.as_deref().map(read_plan).transpose()?;
        let body = CreateDeployment { plan, ..self.options.body(self.project, self.version, self.to) };
        request(shared, &shared.client()?, &body, &self.follow).await
    }
}

fn read_plan(file: &Path) -> Result<Box<Preview>> {
    let unreadable =
        |why: String| Failure::Usage(format!("{} is not what `slipway plan --json` printed: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_str(&text).map(Box::new).map_err(|error| unreadable(error.to_string()))
}

impl Promote {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let client = shared.client()?;
        let version = match self.version {
            Some(version) => version,
            None => {
                let candidates = candidates(&client, &self.project, &self.to).await?;
                let version = candidates.promote.ok_or_else(|| {
                    let why = candidates.why_not.unwrap_or_default();
                    Failure::Refused(format!("no release of {} can be promoted to {}: {why}", self.project, self.to))
                })?;
                output::complain(&format!("promoting {} {version} to {}\n", self.project, self.to));
                version
            }
        };
        let body = self.options.body(self.project, version, self.to);
        request(shared, &client, &body, &self.follow).await
    }
}

impl Rollback {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let client = shared.client()?;
        let Candidates { current, rollback, .. } = candidates(&client, &self.project, &self.to).await?;
        let refused = |why: String| Failure::Refused(format!("{} can not go back in {}: {why}", self.project, self.to));
        let current = current.ok_or_else(|| refused("no release was there yet".to_owned()))?;
        let version = match self.version {
            Some(version) if version == current => {
                return Err(refused(format!("{current} is there now; `slipway deploy` deploys it again")));
            }
            Some(version) => version,
            None => rollback.ok_or_else(|| refused(format!("nothing was there before {current}")))?,
        };
        output::complain(&format!("{} in {}: {current} goes back to {version}\n", self.project, self.to));
        let body = self.options.body(self.project, version, self.to);
        request(shared, &client, &body, &self.follow).await
    }
}

async fn request(shared: &Shared, client: &Client, body: &CreateDeployment, follow: &Follow) -> Result<()> {
    // A key of our own makes it harmless to ask again when the answer got lost.
    let key = follow.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let request = client.request(Method::POST, "/api/v1/deployments").header("Idempotency-Key", &key).json(body);
    let again = request.try_clone();
    let answer: AcceptedDeployment = match (client.json(request).await, again) {
        (Err(failure), Some(again)) if failure.is_passing() => client.json(again).await.map_err(|_| failure)?,
        (result, _) => result?,
    };
    let accepted = &answer.accepted;
    if !follow.watch {
        return shared.output.show(&answer, |_| {
            format!(
                "{}\n  {} {} to {}; follow it with `slipway deployment watch {}`\n{}",
                accepted.id,
                body.project,
                body.version,
                body.environment,
                watch::short(accepted.id),
                answer.freeze.as_ref().map(held).unwrap_or_default()
            )
        });
    }
    if let Some(freeze) = &answer.freeze {
        output::complain(&held(freeze));
    }
    watch::follow(client, &shared.output, &accepted.id.to_string(), Some(accepted.seq), follow.wait_timeout).await
}

/// That a freeze keeps it from starting.
fn held(freeze: &HoldingFreeze) -> String {
    match freeze.until {
        Some(until) => format!("  freeze {} holds it until {}\n", freeze.name, times::exact(until)),
        None => format!("  freeze {} holds it, with no end in sight\n", freeze.name),
    }
}

/// What may go to the environment next, and what was there before.
async fn candidates(client: &Client, project: &ProjectName, to: &EnvironmentName) -> Result<Candidates> {
    client.get(&format!("/api/v1/projects/{project}/candidates/{to}")).await
}
