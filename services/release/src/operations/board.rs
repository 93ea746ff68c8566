//! The board: what runs where, what is under way, and what waits for people.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use serde_json::Value;
use slipway_domain::{
    api::{Board, BoardCell, BoardRow, ContainerView, TargetView},
    id::DeploymentId,
    manifest::Target,
    name::{EnvironmentName, ProjectName, StepName},
    order::Outputs,
};
use slipway_store::TaskRow;

use crate::{app::App, problem::Problem, world::World};

/// Every project by every environment.
pub async fn board(app: &App) -> Result<Board, Problem> {
    let world = app.world().await?;
    let lanes = app.store.board().await?;
    let mut waiting: HashMap<DeploymentId, Vec<StepName>> = HashMap::new();
    for (id, step) in app.store.waiting_gates().await? {
        waiting.entry(id).or_default().push(step);
    }
    let current: Vec<DeploymentId> = lanes.iter().filter_map(|lane| lane.current.as_ref()).map(|s| s.id).collect();
    let mut containers: HashMap<DeploymentId, Vec<ContainerView>> = HashMap::new();
    for task in app.store.tasks_of(&current).await? {
        containers.entry(task.deployment).or_default().extend(container(&task));
    }
    let mut cells: BTreeMap<ProjectName, BTreeMap<EnvironmentName, BoardCell>> = BTreeMap::new();
    for lane in lanes {
        let (project, environment) = (lane.latest.project.clone(), lane.latest.environment.clone());
        let current = lane.current;
        let waiting_for = waiting.remove(&lane.latest.id).unwrap_or_default();
        let latest = Some(lane.latest).filter(|latest| current.as_ref().is_none_or(|current| current.id != latest.id));
        let containers = current.as_ref().and_then(|c| containers.remove(&c.id)).unwrap_or_default();
        cells.entry(project).or_default().insert(environment, BoardCell { current, latest, waiting_for, containers });
    }
    let mut projects = Vec::new();
    for project in world.projects.keys() {
        let newest_release = app.store.releases_of(project, 1).await?.pop().map(|row| row.snapshot.version);
        let cells = cells.remove(project).unwrap_or_default();
        projects.push(BoardRow { project: project.clone(), newest_release, cells });
    }
    Ok(Board { environments: environments(&world), projects })
}

/// Every target, with who serves it at `now`.
pub async fn targets(app: &App, now: Instant) -> Result<Vec<TargetView>, Problem> {
    let world = app.world().await?;
    let view = |target: &Target| TargetView {
        name: target.name.clone(),
        environments: target.environments.clone(),
        roles: target.roles.iter().map(ToString::to_string).collect(),
        docker: target.docker.clone(),
        executors: app.presences.serving(&target.name, now),
    };
    Ok(world.targets.values().map(view).collect())
}

/// The environments in the order in which releases reach them; those of no lifecycle last.
fn environments(world: &World) -> Vec<EnvironmentName> {
    let in_order = world.lifecycles.values().flat_map(|l| &l.phases).flat_map(|p| &p.environments).map(|e| e.name());
    let mut environments: Vec<EnvironmentName> = Vec::new();
    for name in in_order.chain(world.environments.keys()) {
        if world.environments.contains_key(name) && !environments.contains(name) {
            environments.push(name.clone());
        }
    }
    environments
}

/// The container that a task left running, as its outputs tell.
fn container(task: &TaskRow) -> Option<ContainerView> {
    let outputs = &task.view.outputs;
    let text = |key: &str| outputs.get(key).and_then(Value::as_str).map(str::to_owned);
    text("container_id")?;
    Some(ContainerView {
        step: task.step.clone(),
        target: task.view.target.clone(),
        name: text("name").unwrap_or_default(),
        ports: ports(outputs),
        digest: text("image_digest").unwrap_or_default(),
    })
}

fn ports(outputs: &Outputs) -> BTreeMap<String, u16> {
    let Some(Value::Object(ports)) = outputs.get("ports") else { return BTreeMap::new() };
    ports.iter().filter_map(|(container, host)| Some((container.clone(), host.as_u64()?.try_into().ok()?))).collect()
}
