//! From a granted task to its order: every template rendered, every choice made.

mod http;
mod script;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use slipway_domain::{
    event::{Failure, FailureKind},
    id::{DeploymentId, TaskKey},
    manifest::{Action, Render, Sql, Step},
    name::{PackageName, TargetName},
    order::{AnnounceGate, Doorbell, Order, PostSlack, PullImage, PullImages, RunContainer, RunSql, SqlSource, Work},
    release::{Package, Request},
    secret,
};

use crate::{
    condition, containers,
    decide::timeout,
    deployment::{Deployment, Progress, StepRun, Task, TaskState, rollout::approval},
    ready,
    state::State,
    variables::{Place, Renderer},
};

/// The tasks of a deployment that were granted and admitted and that nobody claimed.
pub fn due(state: &State, id: DeploymentId) -> Vec<TaskKey> {
    let Some((deployment, progress)) = state.get(id).and_then(|d| Some((d, d.progress.as_ref()?))) else {
        return Vec::new();
    };
    if !deployment.is_running() {
        return Vec::new();
    }
    let granted = |task: &&Task| matches!(task.state, TaskState::Granted { .. });
    let mut keys = Vec::new();
    for (i, run) in progress.steps.iter().enumerate() {
        if run.counts.begun == 0 && run.announcement.is_none() {
            continue;
        }
        let name = progress.plan.steps[i].name();
        keys.extend(
            run.under_way()
                .chain(&run.announcement)
                .filter(granted)
                .map(|t| TaskKey::new(name.clone(), t.target.clone())),
        );
    }
    keys
}

/// Whether one task is among them.
pub fn is_due(state: &State, id: DeploymentId, key: &TaskKey) -> bool {
    let running = state.get(id).filter(|deployment| deployment.is_running());
    let task = running.and_then(|deployment| deployment.progress.as_ref()?.task(key));
    task.is_some_and(|task| matches!(task.state, TaskState::Granted { .. }))
}

/// The doorbell of a granted task. Errs when its order can not be made; the task has then failed.
/// `None` if it is not granted.
pub fn doorbell(state: &State, id: DeploymentId, key: &TaskKey) -> Option<Result<Doorbell, Failure>> {
    let deployment = state.get(id)?;
    let progress = deployment.progress.as_ref()?;
    let i = progress.position(&key.step)?;
    let task = progress.task(key)?;
    let TaskState::Granted { adopt, stop, .. } = task.state else { return None };
    let order = order(deployment, progress, i, task);
    Some(order.map(|order| Doorbell {
        deployment: id,
        task: key.clone(),
        expected_seq: task.head,
        attempt: task.attempt + 1,
        adopt,
        stop,
        restore: task.restoring.is_some(),
        order,
        trace: deployment.trace.clone(),
    }))
}

/// What renders the texts of a step on a target, as things stand.
pub(crate) fn renderer<'a>(
    deployment: &'a Deployment,
    progress: &'a Progress,
    i: usize,
    target: &'a TargetName,
) -> Renderer<'a> {
    let request = &deployment.request;
    let roles = deployment.target(target).map_or(&[] as &[_], |target| target.roles.as_slice());
    let place = Place::of(request, &progress.plan.steps[i].step, target, roles);
    let (outcome, _) = ready::outcome(deployment, progress);
    Renderer::new(request, place, outcome.as_str(), outputs(progress, i, target))
}

fn order(deployment: &Deployment, progress: &Progress, i: usize, task: &Task) -> Result<Order, Failure> {
    let request = &deployment.request;
    let step = &progress.plan.steps[i].step;
    let target = deployment.target(&task.target);
    let renderer = renderer(deployment, progress, i, &task.target);
    let place = progress.steps[i].position(&task.target);
    let whole = progress.whole(i).map(|whole| &progress.plan.steps[whole].step);
    let asked = whole.into_iter().chain([step]);
    let conditions = asked.map(|step| condition::verdict(step, &renderer)).collect::<Result<Vec<_>, _>>();
    let work = conditions.and_then(|_| match place {
        None if progress.steps[i].announcement.is_some() => announcement(deployment, progress, i, &renderer),
        place => {
            let keep = place.is_some_and(|place| progress.may_take_back(i, place));
            work(request, step, keep, &renderer, &|text| renderer.render(text))
        }
    });
    let work = work.map_err(|problem| Failure {
        kind: FailureKind::Order,
        message: format!("step {} on {} can not be ordered: {problem}", step.name, task.target),
        tail: Vec::new(),
    })?;
    let text = serde_json::to_string(&work).unwrap_or_default();
    let mut secrets = secret::referenced(&text);
    secrets.extend(pulled(request, &step.action).into_iter().filter_map(credentials));
    secrets.sort();
    secrets.dedup();
    Ok(Order {
        project: request.project().clone(),
        environment: request.environment.clone(),
        release: request.release.version.clone(),
        docker: target.map(|t| t.docker.clone()),
        tls: target.and_then(|t| t.tls.clone()),
        timeout: timeout(step),
        secrets,
        work,
    })
}

/// The packages whose images an action pulls.
fn pulled<'a>(request: &'a Request, action: &Action) -> Vec<&'a Package> {
    match action {
        Action::DockerPull(pull) if pull.packages.is_empty() => request.release.packages.values().collect(),
        action => packages(action).into_iter().filter_map(|name| request.release.packages.get(name)).collect(),
    }
}

fn credentials(package: &Package) -> Option<secret::SecretRef> {
    package.credentials.as_ref().map(|c| c.password.clone())
}

/// What a step does, with its texts as `render` makes them.
pub(crate) fn work(
    request: &Request,
    step: &Step,
    keep_predecessor: bool,
    renderer: &Renderer<'_>,
    render: Render<'_>,
) -> Result<Work, String> {
    let packages = &request.release.packages;
    let package = |name: &PackageName| packages.get(name).ok_or_else(|| format!("the release has no package `{name}`"));
    Ok(match &step.action {
        Action::DockerRun(run) => {
            let package = package(&run.container.package)?;
            let work = containers::run(step, run, package, renderer, render)?;
            Work::DockerRun(RunContainer { keep_predecessor, ..work })
        }
        Action::DockerJob(job) => Work::DockerJob(containers::job(job, package(&job.package)?, renderer, render)?),
        Action::DockerPull(pull) => {
            let names =
                if pull.packages.is_empty() { packages.keys().collect() } else { Vec::from_iter(&pull.packages) };
            let image = |name: &PackageName| {
                let package = package(name)?;
                let image = PullImage { image: package.image.clone(), credentials: package.credentials.clone() };
                Ok((name.clone(), image))
            };
            Work::DockerPull(PullImages { images: names.into_iter().map(image).collect::<Result<_, String>>()? })
        }
        Action::DockerNetwork(network) => {
            Work::DockerNetwork(network.order(render).map_err(|problems| problems.join("; "))?)
        }
        Action::Sql(sql) => Work::Sql(RunSql { database: render(&sql.database)?, files: sql_source(sql, package)? }),
        Action::Script(script) => Work::Script(script::rendered(script, package, render)?),
        Action::Http(call) => Work::Http(http::rendered(call, render)?),
        Action::Slack(slack) => Work::Slack(PostSlack { channel: render(&slack.channel)?, text: render(&slack.text)? }),
        Action::Wait(span) => Work::Wait { span: *span },
        Action::Demo(demo) => Work::Demo { message: demo.message.as_deref().map(render).transpose()? },
        Action::Approval(_) | Action::Steps(_) => {
            return Err(format!("{} has no task but its announcement", step.action.kind()));
        }
    })
}

/// The announcement of a gate.
fn announcement(
    deployment: &Deployment,
    progress: &Progress,
    i: usize,
    renderer: &Renderer<'_>,
) -> Result<Work, String> {
    let (step, run) = (&progress.plan.steps[i].step, &progress.steps[i]);
    let approval = approval(step, run.targets).ok_or("the step asks nobody")?;
    let gate = run.any_gate().and_then(|g| g.opened()).ok_or("the gate is not open")?;
    let instructions = approval.instructions.as_deref().map(|t| renderer.render(t)).transpose()?;
    let request = &deployment.request;
    let what = format!("{} {} to {}", request.project(), request.release.version, request.environment);
    Ok(Work::Announce(AnnounceGate {
        channel: renderer.render(approval.slack.as_deref().unwrap_or_default())?,
        opened: gate,
        plan_digest: progress.digest.clone(),
        text: match instructions {
            Some(instructions) => format!("{what} waits at {}: {instructions}", step.name),
            None => format!("{what} waits at {}", step.name),
        },
    }))
}

fn sql_source<'a>(
    sql: &Sql,
    package: impl Fn(&PackageName) -> Result<&'a Package, String>,
) -> Result<SqlSource, String> {
    match (&sql.package, &sql.path, &sql.files) {
        (Some(name), Some(path), None) => {
            let package = package(name)?;
            Ok(SqlSource::Image {
                image: package.image.clone(),
                credentials: package.credentials.clone(),
                path: path.clone(),
            })
        }
        (None, None, Some(files)) => Ok(SqlSource::Inline(files.clone())),
        _ => Err("sql needs either `package` and `path`, or `files`".to_owned()),
    }
}

/// The value of the name `steps` on a target: what the steps before it gave.
fn outputs(progress: &Progress, i: usize, target: &TargetName) -> Value {
    let mut steps = Map::new();
    for before in &progress.before[i] {
        let run = &progress.steps[*before];
        let name = progress.plan.steps[*before].name().as_str().to_owned();
        let mut value = Map::new();
        let targets: BTreeMap<&str, Value> = run
            .tasks
            .iter()
            .filter_map(|t| Some((t.target.as_str(), serde_json::json!({ "outputs": outputs_of(t)? }))))
            .collect();
        value.insert("targets".into(), serde_json::json!(targets));
        if let Some(own) = own(run, target).and_then(outputs_of) {
            value.insert("outputs".into(), own);
        }
        steps.insert(name, Value::Object(value));
    }
    Value::Object(steps)
}

/// The task whose outputs `steps.NAME.outputs` means: the one on the same target, or the only one.
fn own<'a>(run: &'a StepRun, target: &TargetName) -> Option<&'a Task> {
    run.tasks.iter().find(|t| t.target == *target).or(match run.tasks.as_slice() {
        [only] => Some(only),
        _ => None,
    })
}

fn outputs_of(task: &Task) -> Option<Value> {
    match &task.state {
        TaskState::Succeeded(outputs) => Some(serde_json::json!(outputs)),
        _ => None,
    }
}

/// The texts of a step that are templates.
pub fn texts(step: &Step) -> Vec<&str> {
    let mut texts: Vec<&str> = Vec::from_iter(step.when.condition.as_deref());
    if let Some(then) = step.rolling.as_ref().and_then(|rolling| rolling.then.as_ref()) {
        texts.extend(then.approval.instructions.as_deref());
        texts.extend(then.approval.slack.as_deref());
    }
    match &step.action {
        Action::DockerRun(run) => texts.extend(containers::texts_of_run(run)),
        Action::DockerJob(job) => texts.extend(containers::texts(job)),
        Action::DockerNetwork(network) => texts.extend(network.texts()),
        Action::Sql(sql) => texts.push(&sql.database),
        Action::Script(script) => texts.extend(script::texts(script)),
        Action::Http(call) => texts.extend(http::texts(call)),
        Action::Approval(approval) => {
            texts.extend(approval.instructions.as_deref());
            texts.extend(approval.slack.as_deref());
        }
        Action::Slack(slack) => texts.extend([slack.channel.as_str(), slack.text.as_str()]),
        Action::Wait(_) | Action::DockerPull(_) | Action::Steps(_) => {}
        Action::Demo(demo) => texts.extend(demo.message.as_deref()),
    }
    texts
}

/// The packages that an action uses.
pub fn packages(action: &Action) -> Vec<&PackageName> {
    match action {
        Action::DockerRun(run) => vec![&run.container.package],
        Action::DockerJob(run) => vec![&run.package],
        Action::Script(script) => script.package.iter().collect(),
        Action::DockerPull(pull) => pull.packages.iter().collect(),
        Action::Sql(sql) => sql.package.iter().collect(),
        Action::Http(_)
        | Action::DockerNetwork(_)
        | Action::Approval(_)
        | Action::Slack(_)
        | Action::Wait(_)
        | Action::Demo(_)
        | Action::Steps(_) => Vec::new(),
    }
}
