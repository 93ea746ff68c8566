//! How far a release got: which lifecycle it follows, where it succeeded, whether it is blocked, and
//! what may go to an environment next. Requests, triggers and people ask here alike.

use std::collections::BTreeMap;

use chrono::Utc;
use slipway_domain::{
    api::{Candidates, ReleaseBlock},
    event::Outcome,
    manifest::Lifecycle,
    name::{ChannelName, EnvironmentName, ProjectName},
    release::Mode,
    text::did_you_mean,
};
use slipway_engine::lifecycle::{self, Closed, Standing};
use slipway_store::{DeploymentFilter, Reached};

use crate::{app::App, operations::releases, problem::Problem, world::World};

/// Successful deployments to an environment that are looked at for what was there before.
const HISTORY: u64 = 200;
/// Releases that are looked at for one to promote.
const NEWEST: u64 = 200;

/// The lifecycle that releases of a channel follow, with its open phases filled in.
pub fn lifecycle_of(world: &World, project: &ProjectName, channel: Option<&ChannelName>) -> Result<Lifecycle, Problem> {
    let missing =
        || Problem::unprocessable("unknown-manifest", format!("the lifecycle of project {project} is not there"));
    let definition = world.projects.get(project).ok_or_else(missing)?;
    let own = definition.channels.iter().find(|c| Some(&c.name) == channel).and_then(|c| c.lifecycle.as_ref());
    let lifecycle = world.lifecycles.get(own.unwrap_or(&definition.lifecycle)).ok_or_else(missing)?;
    Ok(lifecycle::with_environments(lifecycle, &world.environments.keys().cloned().collect()))
}

/// How one release stands, now.
pub fn standing(reached: &[Reached], version: &str, blocks: &BTreeMap<String, ReleaseBlock>) -> Standing {
    let of_release = reached.iter().filter(|r| r.version == version);
    Standing {
        succeeded: of_release.filter_map(|r| Some((r.environment.clone(), r.succeeded?))).collect(),
        blocked: blocks.get(version).map(|block| block.reason.clone()),
        now: Utc::now(),
    }
}

/// Whether the environment exists and the release may go there now.
pub async fn may_go(
    app: &App,
    world: &World,
    project: &ProjectName,
    (version, channel): (&str, &ChannelName),
    environment: &EnvironmentName,
) -> Result<(), Problem> {
    must_exist(world, environment)?;
    let lifecycle = lifecycle_of(world, project, Some(channel))?;
    let release = standing(&app.store.reached(project).await?, version, &app.store.blocks_of(project).await?);
    lifecycle::may_deploy(&lifecycle, environment, &release).map_err(|closed| match closed {
        Closed::Phase(reason) => Problem::refusal("lifecycle", reason),
        Closed::Blocked(reason) => Problem::refusal("release-blocked", format!("{project} {version}: {reason}")),
    })
}

fn must_exist(world: &World, environment: &EnvironmentName) -> Result<(), Problem> {
    if world.environments.contains_key(environment) {
        return Ok(());
    }
    let known = world.environments.keys().map(|name| name.as_str());
    Err(Problem::not_found(
        "unknown-environment",
        format!("there is no environment `{environment}`{}", did_you_mean(environment.as_str(), known)),
    ))
}

/// The release of the newest successful deployment of a project to an environment.
pub async fn current(
    app: &App,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<Option<String>, Problem> {
    Ok(succeeded(app, project, environment, 1).await?.into_iter().next())
}

/// The versions that were deployed with success, newest deployment first.
async fn succeeded(
    app: &App,
    project: &ProjectName,
    environment: &EnvironmentName,
    limit: u64,
) -> Result<Vec<String>, Problem> {
    let filter = DeploymentFilter {
        project: Some(project.clone()),
        environment: Some(environment.clone()),
        outcome: Some(Outcome::Succeeded),
        version: None,
        limit,
    };
    Ok(app.store.deployments(&filter).await?.into_iter().map(|deployment| deployment.version).collect())
}

/// What may go to an environment next, and what was there before.
pub async fn candidates(
    app: &App,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<Candidates, Problem> {
    let releases = releases::list(app, project, NEWEST).await?;
    let world = app.world().await?;
    must_exist(&world, environment)?;
    let (current, rollback) = has_and_had(app, project, environment).await?;
    let reached = app.store.reached(project).await?;
    let blocks = app.store.blocks_of(project).await?;
    let mut why_not = None;
    for release in &releases {
        let version = &release.version;
        if Mode::of(current.as_deref(), version) != Mode::Deploy {
            why_not.get_or_insert_with(|| format!("{version} is not newer than what is there"));
            continue;
        }
        let lifecycle = lifecycle_of(&world, project, Some(&release.channel))?;
        match lifecycle::may_deploy(&lifecycle, environment, &standing(&reached, version, &blocks)) {
            Ok(()) => return Ok(Candidates { current, promote: Some(version.clone()), why_not: None, rollback }),
            Err(closed) => drop(why_not.get_or_insert_with(|| format!("{version}: {closed}"))),
        }
    }
    let why_not = Some(why_not.unwrap_or_else(|| "there is no release".to_owned()));
    Ok(Candidates { current, promote: None, why_not, rollback })
}

/// The release that an environment has, and the one that it had before that.
pub async fn has_and_had(
    app: &App,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<(Option<String>, Option<String>), Problem> {
    let history = succeeded(app, project, environment, HISTORY).await?;
    Ok((history.first().cloned(), before(&history).map(str::to_owned)))
}

/// What was there before the newest, which may have been deployed several times. Going back twice goes further
/// back, not forth again: what a rollback left is not what it went to.
fn before(history: &[String]) -> Option<&str> {
    let (current, earlier) = history.split_first()?;
    // The first time that the current release came, what came before it is older than it.
    let first = earlier.iter().rposition(|version| version == current).map_or(0, |position| position + 1);
    earlier[first..].first().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_is_what_the_newest_replaced_when_it_first_came() {
        // Newest first.
        for (history, expected) in [
            ("", None),
            ("1.0", None),
            ("1.1 1.0", Some("1.0")),
            ("1.1 1.1 1.0", Some("1.0")),
            ("1.1 1.2 1.1 1.0", Some("1.0")),
            ("1.0 1.1 1.0", None),
            ("1.2 1.0 1.1 1.0", Some("1.0")),
        ] {
            let history: Vec<String> = history.split_whitespace().map(str::to_owned).collect();
            assert_eq!(before(&history), expected, "{history:?}");
        }
    }
}
