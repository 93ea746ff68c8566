//! The board: what runs where, what is under way, and what waits for people.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use serde_json::Value;
use slipway_domain::{
    api::{Board, BoardCell, BoardRow, ContainerView, TargetView, Unfinished},
    id::{DeploymentId, TaskKey},
    manifest::Target,
    name::{EnvironmentName, ProjectName, StepName},
    order::Outputs,
};
use slipway_engine::{Deployment, State, deployment::TaskState, view};
use slipway_store::{BoardRow as Lane, TaskRow};

use crate::{app::App, problem::Problem, world::World};

/// The cells of a project.
type Cells = BTreeMap<EnvironmentName, BoardCell>;

/// Every project by every environment.
pub async fn board(app: &App) -> Result<Board, Problem> {
    let world = app.world().await?;
    let lanes = app.store.board().await?;
    let mut gates: HashMap<DeploymentId, Vec<StepName>> = HashMap::new();
    for (id, step) in app.store.waiting_gates().await? {
        gates.entry(id).or_default().push(step);
    }
    let current: Vec<DeploymentId> = lanes.iter().filter_map(|lane| lane.current.as_ref()).map(|s| s.id).collect();
    let mut containers: HashMap<DeploymentId, Vec<ContainerView>> = HashMap::new();
    for task in app.store.tasks_of(&current).await? {
        containers.entry(task.deployment).or_default().extend(container(&task));
    }
    let unfinished = app.folded.read(|state| unfinished(state, gates));
    let mut cells = cells(lanes, unfinished, containers);
    let mut projects = Vec::new();
    for project in world.projects.keys() {
        let newest_release = app.store.releases_of(project, 1).await?.pop().map(|row| row.snapshot.version);
        let mut cells = cells.remove(project).unwrap_or_default();
        for (environment, cell) in &mut cells {
            cell.drift = app.drift.of(project, environment);
        }
        projects.push(BoardRow { project: project.clone(), newest_release, cells });
    }
    Ok(Board { environments: environments(&world), projects })
}

/// Every deployment that is not over, the oldest first. `gates` are the approvals that wait.
fn unfinished(state: &State, mut gates: HashMap<DeploymentId, Vec<StepName>>) -> Vec<Unfinished> {
    let mut unfinished: Vec<_> = state
        .deployments()
        .filter(|deployment| deployment.end.is_none())
        .map(|deployment| Unfinished {
            summary: view::summary(deployment),
            waiting_for: gates.remove(&deployment.id()).unwrap_or_default(),
            asks_about: asks_about(deployment),
        })
        .collect();
    unfinished.sort_by_key(|deployment| deployment.summary.seq);
    unfinished
}

fn asks_about(deployment: &Deployment) -> Vec<TaskKey> {
    let Some(progress) = &deployment.progress else { return Vec::new() };
    let steps = progress.plan.steps.iter().zip(&progress.steps);
    let tasks = steps.flat_map(|(planned, run)| run.tasks.iter().map(move |task| (planned.name(), task)));
    tasks
        .filter(|(_, task)| matches!(task.state, TaskState::Asking(_)))
        .map(|(step, task)| TaskKey::new(step.clone(), task.target.clone()))
        .collect()
}

fn cells(
    lanes: Vec<Lane>,
    unfinished: Vec<Unfinished>,
    mut containers: HashMap<DeploymentId, Vec<ContainerView>>,
) -> BTreeMap<ProjectName, Cells> {
    let mut cells: BTreeMap<ProjectName, Cells> = BTreeMap::new();
    for Lane { latest, current } in lanes {
        let containers = current.as_ref().and_then(|c| containers.remove(&c.id)).unwrap_or_default();
        let cell = cells.entry(latest.project.clone()).or_default().entry(latest.environment.clone());
        let latest = Some(latest).filter(|latest| current.as_ref().is_none_or(|current| current.id != latest.id));
        cell.insert_entry(BoardCell { current, latest, containers, ..BoardCell::default() });
    }
    for deployment in unfinished {
        let (project, environment) = (deployment.summary.project.clone(), deployment.summary.environment.clone());
        let cell = cells.entry(project).or_default().entry(environment).or_default();
        if cell.latest.as_ref().is_some_and(|latest| latest.id == deployment.summary.id) {
            cell.waiting_for = deployment.waiting_for.clone();
        }
        cell.unfinished.push(deployment);
    }
    cells
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

/// The container that a task left running, as its outputs tell. That of a `docker-job` has ended; it tells no name.
fn container(task: &TaskRow) -> Option<ContainerView> {
    let outputs = &task.view.outputs;
    let text = |key: &str| outputs.get(key).and_then(Value::as_str).map(str::to_owned);
    text("container_id")?;
    Some(ContainerView {
        step: task.step.clone(),
        target: task.view.target.clone(),
        name: text("name")?,
        ports: ports(outputs),
        digest: text("image_digest").unwrap_or_default(),
    })
}

fn ports(outputs: &Outputs) -> BTreeMap<String, u16> {
    let Some(Value::Object(ports)) = outputs.get("ports") else { return BTreeMap::new() };
    ports.iter().filter_map(|(container, host)| Some((container.clone(), host.as_u64()?.try_into().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_domain::api::DeploymentSummary;

    use super::*;
    use crate::story::Story;

    fn summary(seq: u64, version: &str, status: &str, outcome: Option<&str>) -> DeploymentSummary {
        serde_json::from_value(json!({
            "id": DeploymentId::derive(&[version]), "seq": seq, "project": "shop", "environment": "staging",
            "version": version, "status": status, "outcome": outcome,
            "requested_by": {"kind": "trigger", "name": "lifecycle"}, "requested_at": "2026-11-21T10:00:00Z"
        }))
        .unwrap()
    }

    #[test]
    fn what_runs_and_waits_is_told_although_newer_ones_are_queued_behind_it() {
        let current = summary(1, "1.0", "finished", Some("succeeded"));
        let (waiting, queued) = (summary(2, "1.1", "waiting-for-person", None), summary(3, "1.2", "queued", None));
        let gate = Story::ask();
        let lanes = vec![Lane { latest: queued.clone(), current: Some(current.clone()) }];
        let unfinished = [(&waiting, vec![gate.clone()]), (&queued, vec![])].map(|(summary, waiting_for)| Unfinished {
            summary: summary.clone(),
            waiting_for,
            asks_about: Vec::new(),
        });
        let cells = cells(lanes, unfinished.to_vec(), HashMap::new());
        let cell = cells.values().flat_map(BTreeMap::values).next().unwrap();
        assert_eq!((cell.current.as_ref(), cell.latest.as_ref()), (Some(&current), Some(&queued)));
        assert_eq!((&cell.unfinished[..], &cell.waiting_for[..]), (&unfinished[..], &[][..]));
    }

    #[test]
    fn a_deployment_that_is_not_over_is_told_with_its_gates() {
        let story = Story::begin();
        let gates = || HashMap::from([(story.request.id, vec![Story::ask()])]);
        let told = unfinished(&story.state, gates());
        assert_eq!(
            (told.len(), told[0].summary.id, &told[0].waiting_for[..]),
            (1, story.request.id, &[Story::ask()][..])
        );
        assert!(told[0].waits() && told[0].asks_about.is_empty());
    }

    #[test]
    fn containers_that_have_ended_are_left_out() {
        let row = |outputs: Value| TaskRow {
            deployment: DeploymentId::derive(&["x"]),
            step: Story::ask(),
            view: serde_json::from_value(json!({
                "target": "web-01", "status": "succeeded", "attempt": 1, "outputs": outputs
            }))
            .unwrap(),
        };
        let running = json!({"container_id": "1a", "name": "web-1", "ports": {"80": 8081}, "image_digest": "sha256:x"});
        let shown = container(&row(running)).unwrap();
        assert_eq!((shown.name.as_str(), shown.ports.get("80")), ("web-1", Some(&8081)));
        // As a docker-job leaves it.
        assert_eq!(container(&row(json!({"container_id": "1a", "exit_code": 0}))), None);
        assert_eq!(container(&row(json!({}))), None);
    }
}
