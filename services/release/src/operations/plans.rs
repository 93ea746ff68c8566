//! What a deployment would do. It is prepared and compiled as a real one is, and asked of nobody.

use std::collections::HashMap;

use slipway_domain::{
    api::{CreateDeployment, DriftReport, HoldingFreeze, Preview, TaskStatus},
    event::Actor,
    id::DeploymentId,
    manifest::Action,
    name::{StepName, TargetName},
    plan::{Plan, Runs},
    release::Request,
};
use slipway_engine::{compile, preview, stale};
use slipway_store::DeploymentFilter;
use uuid::Uuid;

use super::{deployments, freezes, inspections};
use crate::{app::App, problem::Problem};

/// Deployments to the environment, newest first, among which the last success of a task is looked for.
const LOOK_BACK: u64 = 50;

/// Where a step was done.
type Place = (StepName, TargetName);

/// What the deployment would do, compared with what the environment has.
pub async fn preview(app: &App, body: CreateDeployment, actor: Actor) -> Result<Preview, Problem> {
    let freeze = freezes::holding(app, &body, &actor).await?;
    let request = deployments::prepare(app, body, &actor, DeploymentId(Uuid::nil()), String::new()).await?;
    of(app, request, freeze).await
}

/// Refuses a request that is not any more what somebody has looked at.
pub(super) async fn must_be(app: &App, seen: &Preview, request: &Request) -> Result<(), Problem> {
    let now = of(app, request.clone(), None).await?;
    let changes = stale::changes(seen, &now);
    if changes.is_empty() {
        return Ok(());
    }
    Err(Problem::refusal(
        "plan-stale",
        format!(
            "the plan that was looked at is not the plan any more: {}; make a new one and look at it",
            changes.join("; ")
        ),
    ))
}

async fn of(app: &App, request: Request, freeze: Option<HoldingFreeze>) -> Result<Preview, Problem> {
    let plan =
        compile::compile(&request).map_err(|problems| Problem::unprocessable("not-plannable", problems.join("; ")))?;
    let (done, earlier) = done_before(app, &request, &plan).await?;
    let before = |step: &slipway_domain::manifest::Step, target: &TargetName| {
        done.get(&(step.name.clone(), target.clone())).map(|i| &earlier[*i])
    };
    let asked = preview::Asked::new(request);
    let steps =
        preview::steps(&asked, &plan, before).map_err(|problem| Problem::unprocessable("not-plannable", problem))?;
    let request = asked.request();
    let DriftReport { drift, unseen, platforms, .. } =
        inspections::of_request(app, request, Some(inspections::AT_MOST)).await?;
    Ok(Preview {
        drift,
        unseen,
        left_out_targets: request.left_out.clone(),
        unsuitable: preview::unsuitable(request, &plan, &platforms),
        digest: plan.digest(),
        freeze,
        behind: behind(app, request),
        left_out: preview::left_out(request, &plan),
        steps,
        project: request.project().clone(),
        version: request.release.version.clone(),
        channel: request.release.channel.clone(),
        current: request.previous.clone(),
        mode: request.mode,
        environment: request.environment.clone(),
    })
}

fn behind(app: &App, request: &Request) -> Vec<DeploymentId> {
    app.folded.read(|state| {
        let same = |d: &&slipway_engine::Deployment| {
            d.end.is_none() && d.project() == request.project() && d.request.environment == request.environment
        };
        let mut behind: Vec<_> = state.deployments().filter(same).map(|d| (d.seq, d.id())).collect();
        behind.sort_unstable();
        behind.into_iter().map(|(_, id)| id).collect()
    })
}

/// For each task the newest deployment in which it succeeded, as a place in the list of those.
async fn done_before(
    app: &App,
    request: &Request,
    plan: &Plan,
) -> Result<(HashMap<Place, usize>, Vec<(DeploymentId, preview::Asked)>), Problem> {
    let mut open: Vec<Place> = plan
        .steps
        .iter()
        // What is done for a step that consists of others, they do.
        .filter(|step| !matches!(step.step.action, Action::Steps(_)))
        .flat_map(|step| {
            let targets = match &step.runs {
                Runs::On(targets) => targets.as_slice(),
                Runs::Gate => &[],
            };
            targets.iter().map(|target| (step.name().clone(), target.clone()))
        })
        .collect();
    let filter = DeploymentFilter {
        project: Some(request.project().clone()),
        environment: Some(request.environment.clone()),
        limit: LOOK_BACK,
        ..DeploymentFilter::default()
    };
    let (mut done, mut earlier) = (HashMap::new(), Vec::new());
    for summary in app.store.deployments(&filter).await? {
        if open.is_empty() {
            break;
        }
        let tasks = app.store.tasks_of(&[summary.id]).await?;
        let succeeded = |place: &Place| {
            tasks.iter().any(|task| {
                task.step == place.0 && task.view.target == place.1 && task.view.status == TaskStatus::Succeeded
            })
        };
        let (found, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(succeeded);
        open = rest;
        if !found.is_empty()
            && let Some((_, request)) = deployments::requested(app, summary.id).await?
        {
            done.extend(found.into_iter().map(|place| (place, earlier.len())));
            earlier.push((summary.id, preview::Asked::new(request)));
        }
    }
    Ok((done, earlier))
}
