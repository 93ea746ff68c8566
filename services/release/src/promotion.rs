//! Automatic phases of lifecycles: a release that enters one is deployed without a person.
//!
//! Everything is derived from the releases and what became of their deployments, so nothing is
//! remembered here. A request has an id made of release and environment: however often it is made,
//! and by however many processes, there is one deployment.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use slipway_domain::{
    api::CreateDeployment,
    event::Actor,
    id::DeploymentId,
    manifest::{Lifecycle, Project},
    name::{EnvironmentName, ProjectName},
    version::Tag,
};
use slipway_engine::lifecycle::{self, Standing};
use slipway_store::Reached;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Shared},
    operations::{
        deployments::{Idempotency, request},
        progression,
    },
    problem::Problem,
    world::World,
};

/// The name of the trigger, in events and ids.
const TRIGGER: &str = "lifecycle";
/// Releases without any deployment that are looked at; older ones are waited for by nobody.
const NEWEST: u64 = 50;
/// Changes that come within this time are looked at together.
const TOGETHER: Duration = Duration::from_millis(200);
/// Time after which everything is looked at again; a manifest may have changed.
const AGAIN: Duration = Duration::from_secs(60);
/// Wait after a failure; twice as long after each further one, up to [`AGAIN`].
const PAUSE: Duration = Duration::from_secs(2);

/// A release to an environment of a project.
type Due = (String, EnvironmentName);

/// Makes the deployments that are due, at the start and whenever a deployment is over, until the shutdown.
pub async fn run(app: Shared, shutdown: CancellationToken) {
    shutdown.run_until_cancelled(forever(&app)).await;
}

async fn forever(app: &App) {
    let mut folded = app.folded.watch();
    let mut refused = HashSet::new();
    let mut pause = PAUSE;
    loop {
        let (seen, soaks) = match look(app, &mut refused).await {
            Ok(looked) => looked,
            Err(problem) => {
                tracing::warn!(%problem, "automatic deployments wait");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(AGAIN);
                continue;
            }
        };
        pause = PAUSE;
        let more = async {
            while folded.changed().await.is_ok() {
                tokio::time::sleep(TOGETHER).await;
                if app.store.finished_deployments().await.is_ok_and(|now| now != seen) {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        // Either way everything is looked at again, so which of the two it was does not matter.
        let soaked = soaks.map(|until| (until - Utc::now()).to_std().unwrap_or_default());
        let _ = tokio::time::timeout(soaked.unwrap_or(AGAIN).min(AGAIN), more).await;
    }
}

/// Looks at every project; how many deployments were over at the time, and when the next phase has soaked.
async fn look(app: &App, refused: &mut HashSet<(ProjectName, Due)>) -> Result<(u64, Option<DateTime<Utc>>), Problem> {
    let seen = app.store.finished_deployments().await?;
    let mut soaks = None;
    let world = app.world().await?;
    for project in world.projects.values() {
        let (due, until) = due_of(app, project, &world).await?;
        soaks = soaks.into_iter().chain(until).min();
        for due in due {
            let known = (project.name.clone(), due);
            match ask(app, &known.0, &known.1).await {
                Ok(()) => {}
                Err(problem) if problem.status() >= 500 => return Err(problem),
                Err(problem) if refused.insert(known.clone()) => told(&known.0, &known.1, &problem),
                Err(_) => {}
            }
        }
    }
    Ok((seen, soaks))
}

/// Makes the deployments of one project that are due now, within the caller's trace. What fails is
/// logged and left to [`run`].
pub async fn of_project(app: &App, project: &ProjectName) {
    if let Err(problem) = try_project(app, project).await {
        tracing::warn!(%project, %problem, "automatic deployments wait");
    }
}

async fn try_project(app: &App, name: &ProjectName) -> Result<(), Problem> {
    let world = app.world().await?;
    let Some(project) = world.projects.get(name) else { return Ok(()) };
    for due in due_of(app, project, &world).await?.0 {
        match ask(app, name, &due).await {
            Err(problem) if problem.status() < 500 => told(name, &due, &problem),
            answer => answer?,
        }
    }
    Ok(())
}

async fn ask(app: &App, project: &ProjectName, (version, environment): &Due) -> Result<(), Problem> {
    let id = DeploymentId::derive(&[TRIGGER, project.as_str(), version, environment.as_str()]);
    let body = CreateDeployment::new(project.clone(), version.clone(), environment.clone());
    let actor = Actor::Trigger { name: TRIGGER.to_owned() };
    request(app, body, actor, Idempotency::Derived(id)).await.map(drop)
}

fn told(project: &ProjectName, (version, environment): &Due, problem: &Problem) {
    tracing::warn!(%project, version, %environment, %problem, "an automatic deployment is refused");
}

async fn due_of(app: &App, project: &Project, world: &World) -> Result<(Vec<Due>, Option<DateTime<Utc>>), Problem> {
    let mut lifecycles = HashMap::new();
    let channels = project.channels.iter().map(|channel| Some(channel.name.clone()));
    for channel in channels.chain([None]) {
        if let Ok(lifecycle) = progression::lifecycle_of(world, &project.name, channel.as_ref()) {
            lifecycles.insert(channel, lifecycle);
        }
    }
    let phases = lifecycles.values().flat_map(|lifecycle| &lifecycle.phases);
    if !phases.flat_map(|phase| &phase.environments).any(|e| e.automatic()) {
        return Ok((Vec::new(), None));
    }
    let reached = app.store.reached(&project.name).await?;
    let blocks = app.store.blocks_of(&project.name).await?;
    let mut made: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
    for row in app.store.releases_of(&project.name, NEWEST).await? {
        made.insert(row.snapshot.version, row.snapshot.created_at);
    }
    let asked: HashSet<_> = reached.iter().map(|r| r.version.as_str()).collect();
    let mut releases = Vec::new();
    for (version, channel) in app.store.channels_of(&project.name).await? {
        // A release beyond the newest is older than they are; when exactly it was made changes nothing.
        let made = match made.get(&version) {
            Some(at) => *at,
            None if asked.contains(version.as_str()) => DateTime::<Utc>::MIN_UTC,
            None => continue,
        };
        let Some(lifecycle) = lifecycles.get(&channel).or_else(|| lifecycles.get(&None)) else { continue };
        let standing = progression::standing(&reached, &version, &blocks);
        releases.push(Candidate { version, made, lifecycle, standing });
    }
    let soaks = releases.iter().filter_map(|r| lifecycle::soaks_until(r.lifecycle, &r.standing)).min();
    Ok((due(&releases, &reached), soaks))
}

/// A release that may be deployed by itself.
struct Candidate<'a> {
    version: String,
    made: DateTime<Utc>,
    lifecycle: &'a Lifecycle,
    standing: Standing,
}

/// What shall be deployed where, newest release first. A release leaves an environment alone that a
/// newer one was to be deployed to: nobody asked to go back.
fn due(releases: &[Candidate<'_>], reached: &[Reached]) -> Vec<Due> {
    let mut newest_first: Vec<_> = releases.iter().map(|r| ((Tag::parse(&r.version).ok(), r.made), r)).collect();
    newest_first.sort_by(|a, b| b.0.cmp(&a.0));
    let mut taken: BTreeSet<EnvironmentName> = BTreeSet::new();
    let mut due = Vec::new();
    for (_, release) in newest_first {
        let of_release = reached.iter().filter(|r| r.version == release.version);
        let requested: BTreeSet<_> = of_release.map(|r| r.environment.clone()).collect();
        let automatic = lifecycle::automatic(release.lifecycle, &release.standing, &requested);
        taken.extend(requested);
        for environment in automatic {
            if taken.insert(environment.clone()) {
                due.push((release.version.clone(), environment));
            }
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `test` automatic, then `live` by hand, then `mirror` automatic.
    fn lifecycle() -> Lifecycle {
        serde_json::from_value(serde_json::json!({
            "name": "standard",
            "phases": [
                {"name": "Test", "environments": [{"name": "test", "automatic": true}]},
                {"name": "Live", "environments": ["live"]},
                {"name": "Mirror", "environments": [{"name": "mirror", "automatic": true}]}
            ]
        }))
        .unwrap()
    }

    /// Releases in the order of their making; `1.0@test+` is a success of 1.0 in test, `1.0@test` anything else.
    fn check(releases: &str, reached: &str, expected: &str) {
        let at = |n: i64| DateTime::from_timestamp(n, 0).unwrap();
        let reached: Vec<_> = reached
            .split_whitespace()
            .map(|text| {
                let (version, environment) = text.trim_end_matches('+').split_once('@').unwrap();
                let environment = EnvironmentName::new(environment).unwrap();
                Reached { version: version.to_owned(), environment, succeeded: text.ends_with('+').then_some(at(0)) }
            })
            .collect();
        let lifecycle = lifecycle();
        let blocks = BTreeMap::new();
        let releases: Vec<_> = (0..)
            .zip(releases.split_whitespace())
            .map(|(n, version)| Candidate {
                version: version.to_owned(),
                made: at(n),
                lifecycle: &lifecycle,
                standing: progression::standing(&reached, version, &blocks),
            })
            .collect();
        let due: Vec<_> = due(&releases, &reached).iter().map(|(v, e)| format!("{v}@{e}")).collect();
        assert_eq!(due.join(" "), expected, "after {reached:?}");
    }

    #[test]
    fn a_new_release_goes_to_the_automatic_environments_of_the_first_phase_once() {
        check("1.0", "", "1.0@test");
        check("1.0", "1.0@test", "");
        check("1.0", "1.0@test+", "");
    }

    #[test]
    fn a_later_automatic_phase_waits_for_those_before_it() {
        check("1.0", "1.0@test+ 1.0@live", "");
        check("1.0", "1.0@test+ 1.0@live+", "1.0@mirror");
        check("1.0", "1.0@test+ 1.0@live+ 1.0@mirror", "");
    }

    #[test]
    fn of_several_waiting_releases_the_newest_goes() {
        check("1.0 1.1 1.2", "", "1.2@test");
        check("1.9 1.10", "", "1.10@test");
        check("1.0 1.0.0", "", "1.0.0@test");
    }

    #[test]
    fn a_release_does_not_follow_a_newer_one() {
        check("1.1 1.0", "1.1@test+", "");
        check("1.1 1.0", "1.1@test", "");
        check("1.0 1.1", "1.0@test+", "1.1@test");
        check("1.0 1.1", "1.0@test+ 1.0@live+ 1.1@test+", "1.0@mirror");
        check("1.0 1.1", "1.0@test+ 1.0@live+ 1.1@test+ 1.1@live+ 1.1@mirror", "");
    }
}
