//! When a deployment gives its lane back, and when it wants it again.
//!
//! Only people can go on at a gate that does not block. So as long as nothing else of the deployment
//! goes on or could, others may have the lane.

use slipway_domain::manifest::Action;

use crate::{
    deployment::{Deployment, Progress, TaskState},
    gate::GateState,
    ready::{self, Readiness},
};

/// Whether it may give its lane back: people are asked, and nothing else happens in it before they say something.
pub fn may_yield(deployment: &Deployment) -> bool {
    let Some(progress) = deployment.progress.as_ref().filter(|_| deployment.is_running()) else { return false };
    let steps = || (0..progress.steps.len()).filter(|i| !progress.steps[*i].is_settled());
    deployment.pause.is_none()
        && deployment.cancel.is_none()
        && steps().any(|i| asks_aside(progress, i))
        && steps().all(|i| asks_aside(progress, i) || rests(deployment, progress, i))
        && progress.steps.iter().all(|run| run.is_quiet())
}

/// Whether one that gave its lane back has something to do that needs it.
pub fn wants_lane(deployment: &Deployment) -> bool {
    let Some(progress) = &deployment.progress else { return false };
    let steps = (0..progress.steps.len()).filter(|i| !progress.steps[*i].is_settled());
    steps.filter(|i| !asks_aside(progress, *i)).any(|i| ready::readiness(deployment, progress, i) == Readiness::Run)
}

/// Whether the step is a gate that is open and does not block, and people know of it.
fn asks_aside(progress: &Progress, i: usize) -> bool {
    let (run, Action::Approval(approval)) = (&progress.steps[i], &progress.plan.steps[i].step.action) else {
        return false;
    };
    let open = run.gate.as_ref().is_some_and(|gate| matches!(gate.state, GateState::Open { .. }));
    open && !approval.blocks && run.announcement.as_ref().is_none_or(|task| task.state != TaskState::Pending)
}

/// Whether the step waits for others.
fn rests(deployment: &Deployment, progress: &Progress, i: usize) -> bool {
    progress.steps[i].counts.begun == 0 && ready::readiness(deployment, progress, i) == Readiness::Waiting
}
