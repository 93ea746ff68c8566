//! What executors see on targets, and in what that differs from what was deployed there.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use serde_json::Value;
use slipway_domain::{
    api::{Drift, DriftReport, TargetCheck, Unseen},
    id::DeploymentId,
    inspection::{self, Disk, Endpoint, EngineFacts, Errand, ErrandAnswer, Inspection, Place},
    manifest::{Target, with_children},
    name::{EnvironmentName, ProjectName, TargetName},
    release::Request,
};
use slipway_engine::{
    deployment::TaskState,
    drift::{self, Expected},
};
use slipway_store::Standing;

use crate::{app::App, problem::Problem, world::World};

/// How long a look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// How long people wait for looks at many targets,
pub const AT_MOST: Duration = Duration::from_secs(15);
/// and who votes.
const BEFORE_A_VOTE: Duration = Duration::from_secs(6);
/// Targets that are looked at at the same time.
const AT_ONCE: usize = 32;
/// Looks until nothing is deployed meanwhile.
const LOOKS: usize = 3;
/// A clock that is further off makes times in logs misleading.
const CLOCK_OFF_MS: i64 = 5_000;
/// Less room soon makes pulls fail: in percent, and in bytes.
const ROOM_PERCENT: u64 = 10;
const ROOM: u64 = 10 << 30;
/// The API that every engine from 20.10 on speaks.
const OLDEST_API: (u32, u32) = (1, 41);

/// Which targets to look at, and for what.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Containers of this project.
    pub project: Option<ProjectName>,
    /// In this environment.
    pub environment: Option<EnvironmentName>,
    /// This target.
    pub target: Option<TargetName>,
}

/// Looks at one target.
pub async fn check(app: &App, name: &TargetName) -> Result<TargetCheck, Problem> {
    let world = app.world().await?;
    let target = world.targets.get(name).ok_or_else(|| {
        Problem::not_found("unknown-manifest", format!("there is no target {name}; `slipway target list` names them"))
    })?;
    let (seen, drift) = look(app, name, &endpoint(target)).await?;
    let mut check =
        TargetCheck { target: name.clone(), docker: target.docker.clone(), seen: None, problems: Vec::new(), drift };
    match seen {
        Ok(seen) => {
            check.problems = problems(&seen.engine);
            check.seen = Some(seen);
        }
        Err(reason) => check.problems.push(reason),
    }
    Ok(check)
}

/// In what targets differ from what was deployed to them.
pub async fn drift(app: &App, filter: &Filter, within: Option<Duration>) -> Result<DriftReport, Problem> {
    let world = app.world().await?;
    if let Some(name) = filter.target.as_ref().filter(|name| !world.targets.contains_key(*name)) {
        return Err(Problem::not_found("unknown-manifest", format!("there is no target {name}")));
    }
    let wanted = |target: &&Target| {
        filter.target.as_ref().is_none_or(|name| target.name == *name)
            && filter.environment.as_ref().is_none_or(|environment| target.environments.contains(environment))
    };
    let targets: Vec<_> =
        world.targets.values().filter(wanted).map(|target| (target.name.clone(), endpoint(target))).collect();
    of_targets(app, &targets, within, |drift| {
        filter.project.as_ref().is_none_or(|project| drift.project == *project)
            && filter.environment.as_ref().is_none_or(|environment| drift.environment == *environment)
    })
    .await
}

/// What is not as it was deployed, of what a deployment that is not over is about.
pub async fn of_deployment(app: &App, id: DeploymentId) -> Result<Vec<Drift>, Problem> {
    let asked = app.folded.read(|state| state.get(id).map(|deployment| deployment.request.clone()));
    let Some(request) = asked else { return Ok(Vec::new()) };
    Ok(of_request(app, &request, Some(BEFORE_A_VOTE)).await?.drift)
}

/// What is not as it was deployed, of what a request is about: its project, on its targets.
pub async fn of_request(app: &App, request: &Request, within: Option<Duration>) -> Result<DriftReport, Problem> {
    let targets: Vec<_> = request
        .targets
        .iter()
        .map(|target| (target.name.clone(), Endpoint { docker: target.docker.clone(), tls: target.tls.clone() }))
        .collect();
    of_targets(app, &targets, within, |drift| {
        drift.project == *request.project() && drift.environment == request.environment
    })
    .await
}

/// Where the engine of a target is.
pub fn endpoint(target: &Target) -> Endpoint {
    Endpoint { docker: target.docker.clone(), tls: target.tls.clone() }
}

/// The drift on targets that somebody wants to know of. What was not looked at within that time counts as not seen.
async fn of_targets(
    app: &App,
    targets: &[(TargetName, Endpoint)],
    within: Option<Duration>,
    wanted: impl Fn(&Drift) -> bool,
) -> Result<DriftReport, Problem> {
    let looks: Vec<BoxFuture<'_, _>> = targets.iter().map(|(target, at)| look(app, target, at).boxed()).collect();
    let mut looks = stream::iter(looks).buffered(AT_ONCE);
    let deadline = within.map(|within| tokio::time::Instant::now() + within);
    let mut report = DriftReport::default();
    for (target, _) in targets {
        let looked = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, looks.next()).await.ok().flatten(),
            None => looks.next().await,
        };
        let Some(looked) = looked else {
            report.unseen.push(Unseen { target: target.clone(), reason: "there was no time to look at it".to_owned() });
            continue;
        };
        let (seen, drift) = looked?;
        match seen {
            Ok(seen) => {
                report.looked_at += 1;
                report.platforms.insert(target.clone(), seen.engine.platform);
            }
            Err(reason) => report.unseen.push(Unseen { target: target.clone(), reason }),
        }
        report.drift.extend(drift.into_iter().filter(&wanted));
    }
    Ok(report)
}

/// Asks whoever serves the target; or why nobody could look. What is deployed while somebody looks is looked at again.
async fn look(
    app: &App,
    target: &TargetName,
    at: &Endpoint,
) -> Result<(Result<Inspection, String>, Vec<Drift>), Problem> {
    let mut standing = app.store.standing(target).await?;
    let mut busy = busy(app, target);
    for _ in 1..LOOKS {
        let seen = match ask(app, target, at).await {
            Ok(seen) => seen,
            Err(reason) => return Ok((Err(reason), Vec::new())),
        };
        let (standing_now, busy_now) = (app.store.standing(target).await?, self::busy(app, target));
        let quiet = standing_now == standing && busy_now == busy;
        (standing, busy) = (standing_now, busy_now);
        if quiet {
            let world = app.world().await?;
            let expected: Vec<_> =
                standing.iter().filter(|one| is_deployed(&world, one)).filter_map(expected).collect();
            let drift = drift::compare(target, &expected, &seen.containers, |place| busy.contains(place));
            return Ok((Ok(seen), drift));
        }
    }
    Ok((Err("it is being deployed to all the time; look again later".to_owned()), Vec::new()))
}

/// Who serves the target says what is there; or why nobody does. That NATS does not let this service ask is a reason
/// like any other: nothing depends on a look.
pub async fn ask(app: &App, target: &TargetName, at: &Endpoint) -> Result<Inspection, String> {
    let errand = Errand::Inspect { at: at.clone() };
    match app.bus.ask_errand(target, &errand, LOOK_WITHIN).await.map_err(|error| error.to_string())? {
        Some(ErrandAnswer::Seen(seen)) => Ok(*seen),
        Some(ErrandAnswer::Failed { executor, reason }) => Err(format!("{executor}: {reason}")),
        Some(ErrandAnswer::Removed { .. }) => Err("the executor answers another question; is it older?".to_owned()),
        None => Err(match app.presences.serving(target, Instant::now()).as_slice() {
            [] => format!("nobody serves it; start slipway-executor with --targets {target}"),
            [first, ..] => format!(
                "{first} serves it and did not answer within {} s; its Docker engine may hang, or the executor is older than this service",
                LOOK_WITHIN.as_secs()
            ),
        }),
    }
}

/// The ids of the containers that deployments left on a target to stay, be it only to be started by somebody.
pub async fn standing_containers(app: &App, target: &TargetName) -> Result<HashSet<String>, Problem> {
    Ok(app.store.standing(target).await?.iter().filter_map(left).map(|(id, _)| id).collect())
}

/// The places on the target where a task is at work.
fn busy(app: &App, target: &TargetName) -> HashSet<Place> {
    app.folded.read(|state| {
        let mut busy = HashSet::new();
        for deployment in state.deployments().filter(|deployment| deployment.end.is_none()) {
            let Some(progress) = &deployment.progress else { continue };
            for (planned, run) in progress.plan.steps.iter().zip(&progress.steps) {
                let at_work = run.task(target).is_some_and(|task| {
                    matches!(task.state, TaskState::Granted { .. } | TaskState::Running { .. } | TaskState::ToRestore)
                });
                if at_work {
                    let environment = deployment.request.environment.clone();
                    let step = planned.name().clone();
                    busy.insert((deployment.project().clone(), environment, step, target.clone()));
                }
            }
        }
        busy
    })
}

/// Whether the project still has the step, so that its container is somebody's business.
fn is_deployed(world: &World, standing: &Standing) -> bool {
    let project = world.projects.get(&standing.project);
    project.is_some_and(|project| with_children(&project.steps).any(|step| step.name == standing.step))
}

/// Id and name of the container that a task left to stay, as its outputs tell. A job tells no name.
fn left(standing: &Standing) -> Option<(String, String)> {
    let text = |key: &str| standing.view.outputs.get(key).and_then(Value::as_str).map(str::to_owned);
    Some((text("container_id")?, text("name")?))
}

/// The container that a task left running; none if it left none, or one that somebody else starts.
fn expected(standing: &Standing) -> Option<Expected> {
    let (id, name) = left(standing)?;
    let inspect = standing.view.outputs.get("inspect");
    if inspect.and_then(|inspect| inspect.pointer("/State/Status")?.as_str()) == Some("created") {
        return None;
    }
    Some(Expected {
        project: standing.project.clone(),
        environment: standing.environment.clone(),
        step: standing.step.clone(),
        deployment: standing.deployment,
        version: standing.version.clone(),
        id,
        name,
        settings: inspect.map(inspection::settings).unwrap_or_default(),
    })
}

/// What keeps deployments from working with this engine, and what may soon.
fn problems(engine: &EngineFacts) -> Vec<String> {
    let mut problems = Vec::new();
    let api = engine.api.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    if api.is_some_and(|api: (u32, u32)| api < OLDEST_API) {
        let (version, api) = (&engine.version, &engine.api);
        problems.push(format!("Docker {version} (API {api}) is too old; Slipway needs 20.10 (API 1.41) or newer"));
    }
    if let Some(ahead) = engine.clock_ahead_ms.filter(|ahead| ahead.abs() > CLOCK_OFF_MS) {
        let (seconds, which) = (ahead.abs() / 1_000, if ahead > 0 { "ahead" } else { "behind" });
        problems.push(format!("its clock is {seconds} s {which} of the executor's; synchronise both"));
    }
    let short =
        |disk: &Disk| disk.free < ROOM && disk.free.saturating_mul(100) < disk.total.saturating_mul(ROOM_PERCENT);
    if let Some(disk) = engine.disk.filter(short) {
        const MB: u64 = 1 << 20;
        let (free, total) = (disk.free / MB, disk.total / MB);
        problems.push(format!("the disk of its images has {free} of {total} MB left; pulls will fail when it is full"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_keep_deployments_from_working_is_told() {
        let good = EngineFacts {
            version: "20.10.24".into(),
            api: "1.41".into(),
            clock_ahead_ms: Some(-CLOCK_OFF_MS),
            disk: Some(Disk { free: 10 << 30, total: 100 << 30 }),
            ..EngineFacts::default()
        };
        assert_eq!(problems(&good), [""; 0]);
        let check = |engine: EngineFacts, words: &str| {
            let told = problems(&engine);
            assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
        };
        check(EngineFacts { api: "1.9".into(), ..good.clone() }, "too old");
        check(EngineFacts { clock_ahead_ms: Some(7_200_000), ..good.clone() }, "7200 s ahead");
        check(EngineFacts { clock_ahead_ms: Some(-5_001), ..good.clone() }, "5 s behind");
        check(EngineFacts { disk: Some(Disk { free: ROOM - 1, total: 10 * ROOM }), ..good }, "10239 of 102400 MB");
    }
}
