//! `slipway deploy` and `slipway promote`: ask for a deployment, and watch it if wished.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use clap::Args;
use reqwest::Method;
use slipway_domain::{
    api::{Accepted, CreateDeployment, DeploymentSummary, ReleaseView},
    event::Outcome,
    manifest::{Lifecycle, Project},
    name::{EnvironmentName, ProjectName, StepName},
};
use slipway_engine::lifecycle::may_deploy;

use super::{Shared, release};
use crate::{
    client::Client,
    failure::{Failure, Result},
    output, watch,
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
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    follow: Follow,
}

/// What may be said about one deployment.
#[derive(Debug, Args)]
struct Options {
    /// Step to leave out. May be repeated
    #[arg(long, value_name = "STEP")]
    skip: Vec<StepName>,
    /// Start no earlier, such as 2026-12-01T22:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<DateTime<Utc>>,
    /// Ask a person about failed tasks, also where project and environment do not
    #[arg(long)]
    guided_failure: bool,
}

impl Options {
    fn body(self, project: ProjectName, version: String, environment: EnvironmentName) -> CreateDeployment {
        let Self { skip, at, guided_failure } = self;
        CreateDeployment { project, version, environment, skip, at, guided_failure }
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

impl Deploy {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let body = self.options.body(self.project, self.version, self.to);
        request(shared, &shared.client()?, &body, &self.follow).await
    }
}

impl Promote {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let client = shared.client()?;
        let version = match self.version {
            Some(version) => version,
            None => {
                let version = newest(&client, &self.project, &self.to).await?;
                output::complain(&format!("promoting {} {version} to {}\n", self.project, self.to));
                version
            }
        };
        let body = self.options.body(self.project, version, self.to);
        request(shared, &client, &body, &self.follow).await
    }
}

async fn request(shared: &Shared, client: &Client, body: &CreateDeployment, follow: &Follow) -> Result<()> {
    // A key of our own makes it harmless to ask again when the answer got lost.
    let key = follow.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let request = client.request(Method::POST, "/api/v1/deployments").header("Idempotency-Key", &key).json(body);
    let again = request.try_clone();
    let accepted: Accepted = match (client.json(request).await, again) {
        (Err(failure), Some(again)) if failure.is_passing() => client.json(again).await.map_err(|_| failure)?,
        (result, _) => result?,
    };
    if !follow.watch {
        return shared.output.show(&accepted, |_| {
            format!(
                "{}\n  {} {} to {}; follow it with `slipway deployment watch {}`\n",
                accepted.id,
                body.project,
                body.version,
                body.environment,
                watch::short(accepted.id)
            )
        });
    }
    watch::follow(client, &shared.output, &accepted.id.to_string(), Some(accepted.seq), follow.wait_timeout).await
}

/// The newest release that the lifecycle lets into the environment and that is not there already.
async fn newest(client: &Client, project: &ProjectName, to: &EnvironmentName) -> Result<String> {
    let definition: Project = manifest(client, &format!("/api/v1/projects/{project}")).await?;
    let lifecycle: Lifecycle = manifest(client, &format!("/api/v1/lifecycles/{}", definition.lifecycle)).await?;
    let releases: Vec<ReleaseView> = client.get(&release::path(project)).await?;
    let deployments: Vec<DeploymentSummary> =
        client.get(&format!("/api/v1/deployments?project={project}&limit=1000")).await?;
    choose(&lifecycle, &releases, &deployments, to)
        .map_err(|reason| Failure::Refused(format!("no release of {project} can be promoted to {to}: {reason}")))
}

/// A manifest as the server has it, as the struct of its kind.
async fn manifest<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<T> {
    let mut value: serde_json::Value = client.get(path).await?;
    if let Some(object) = value.as_object_mut() {
        object.remove("kind");
    }
    serde_json::from_value(value).map_err(|e| {
        Failure::failed(format!("{path} answered a manifest that this version of slipway does not understand: {e}"))
    })
}

/// Releases are given newest first, as the server lists them.
fn choose(
    lifecycle: &Lifecycle,
    releases: &[ReleaseView],
    deployments: &[DeploymentSummary],
    to: &EnvironmentName,
) -> std::result::Result<String, String> {
    let mut reason = "there is no release".to_owned();
    for (index, release) in releases.iter().enumerate() {
        let of_release = || deployments.iter().filter(|d| d.version == release.version);
        let succeeded: BTreeSet<EnvironmentName> =
            of_release().filter(|d| d.outcome == Some(Outcome::Succeeded)).map(|d| d.environment.clone()).collect();
        match may_deploy(lifecycle, to, &succeeded) {
            Ok(()) if succeeded.contains(to) => {
                return Err(format!("{} is the newest that may go there, and it has been there", release.version));
            }
            Ok(()) => return Ok(release.version.clone()),
            Err(why) if index == 0 => reason = format!("{}: {why}", release.version),
            Err(_) => {}
        }
    }
    Err(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(version: &str) -> ReleaseView {
        serde_json::from_value(serde_json::json!({
            "project": "shop", "version": version, "channel": "stable", "packages": {},
            "created_at": "2026-11-21T11:50:00Z", "created_by": {"kind": "trigger", "name": "push"}
        }))
        .unwrap()
    }

    fn success(version: &str, environment: &str) -> DeploymentSummary {
        serde_json::from_value(serde_json::json!({
            "id": "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", "seq": 1, "project": "shop", "environment": environment,
            "version": version, "status": "finished", "outcome": "succeeded",
            "requested_by": {"kind": "trigger", "name": "push"}, "requested_at": "2026-11-21T11:50:00Z"
        }))
        .unwrap()
    }

    #[test]
    fn the_newest_release_that_the_lifecycle_lets_in_is_promoted() {
        let lifecycle: Lifecycle = serde_json::from_value(serde_json::json!({"name": "l", "phases": [
            {"name": "Test", "environments": ["staging"]}, {"name": "Live", "environments": ["production"]}
        ]}))
        .unwrap();
        let to = EnvironmentName::new("production").unwrap();
        let releases = [release("1.2.0"), release("1.1.0"), release("1.0.0")];
        let mut deployments = vec![success("1.0.0", "staging"), success("1.0.0", "production")];
        let told = choose(&lifecycle, &releases, &deployments, &to).unwrap_err();
        assert!(told.contains("1.0.0 is the newest that may go there, and it has been there"), "{told}");
        deployments.push(success("1.1.0", "staging"));
        assert_eq!(choose(&lifecycle, &releases, &deployments, &to), Ok("1.1.0".to_owned()));
        let told = choose(&lifecycle, &releases[..1], &deployments, &to).unwrap_err();
        assert!(told.starts_with("1.2.0: ") && told.contains("staging"), "{told}");
        assert_eq!(choose(&lifecycle, &[], &deployments, &to), Err("there is no release".to_owned()));
    }
}
