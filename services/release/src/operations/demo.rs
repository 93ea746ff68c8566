//! What people tell `demo` steps, which hold until then.

use slipway_domain::{
    api::{Accepted, Go},
    event::{Actor, PlanEvent},
    id::{DeploymentId, TaskKey},
    manifest::Action,
    name::{StepName, TargetName},
};
use slipway_engine::{Deployment, deployment::Task};

use super::deployments;
use crate::{app::App, problem::Problem};

/// Tells a `demo` step to go on, or to fail. Telling it again what it was told changes nothing.
pub async fn go(app: &App, id: DeploymentId, step: StepName, body: Go, actor: Actor) -> Result<Accepted, Problem> {
    let task = app.folded.read(|state| match state.get(id) {
        Some(deployment) => held_demo(deployment, &step, body.target.as_ref()).map(Some),
        None => Ok(None),
    })?;
    let Some(task) = task else { return Err(deployments::over_or_unknown(app, id).await) };
    let told = |deployment: &Deployment| deployment.progress.as_ref()?.task(&task)?.told.map(|told| told.fail);
    let event = PlanEvent::Told { task: task.clone(), fail: body.fail };
    deployments::say(app, id, actor, event, |deployment| told(deployment) == Some(body.fail)).await
}

/// The task of a `demo` step that can be told something.
fn held_demo(deployment: &Deployment, step: &StepName, target: Option<&TargetName>) -> Result<TaskKey, Problem> {
    let place = deployment.progress.as_ref().and_then(|p| Some((p, p.position(step)?)));
    let demo =
        |kind: &str| Problem::refusal("not-a-demo", format!("{kind}; only steps of kind demo can be told to go on"));
    let Some((progress, i)) = place else { return Err(demo(&format!("the plan has no step `{step}`"))) };
    let planned = &progress.plan.steps[i].step;
    if !matches!(planned.action, Action::Demo(_)) {
        return Err(demo(&format!("step `{step}` is of kind {}", planned.action.kind())));
    }
    let fits = |task: &&Task| target.is_none_or(|target| task.target == *target) && task.takes_slot();
    let held: Vec<_> = progress.steps[i].tasks.iter().filter(fits).map(|task| task.target.clone()).collect();
    match held.as_slice() {
        [only] => Ok(TaskKey::new(step.clone(), only.clone())),
        [] => Err(Problem::refusal(
            "not-held",
            format!("step `{step}` does not hold now; `slipway deployment show {}` tells where it is", deployment.id()),
        )),
        many => {
            let names: Vec<_> = many.iter().map(|target| target.as_str()).collect();
            Err(Problem::refusal(
                "which-target",
                format!("step `{step}` holds on {}; say on which it shall go on", names.join(", ")),
            ))
        }
    }
}
