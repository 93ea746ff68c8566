//! When a step may run. Looked at by `decide` before a grant and by `apply` at the grant's own
//! place in the log, so both always agree.

use slipway_domain::{
    event::{Actor, Outcome},
    manifest::{ResultCondition, Step},
    name::{StepName, TargetName},
};

use crate::{
    deployment::{CancelRequest, Deployment, Progress, Task, TaskState},
    gate::GateState,
};

/// Whether a step may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// What it waits for has not ended.
    Waiting,
    /// It never will; why.
    Skip(String),
    /// Now.
    Run,
}

/// How many failed targets a step tolerates.
pub fn tolerated(step: &Step) -> usize {
    step.rolling.as_ref().map_or(0, |r| r.max_failures as usize)
}

/// Whether the step at a place of the plan counts as failed.
pub fn has_failed(progress: &Progress, i: usize) -> bool {
    progress.steps[i].has_failed(tolerated(&progress.plan.steps[i].step))
}

/// Whether the step at a place of the plan may run. Of a part of a step: whether that may, see [`readiness_on`].
pub fn readiness(deployment: &Deployment, progress: &Progress, i: usize) -> Readiness {
    let i = progress.whole(i).unwrap_or(i);
    let step = &progress.plan.steps[i].step;
    let result = step.when.result;
    if let (Some(cancel), false) = (&deployment.cancel, result == ResultCondition::Always) {
        return Readiness::Skip(format!("the deployment was cancelled by {}", cancel.by));
    }
    let settled = |n: usize| progress.steps[n].is_settled();
    // A cancel skips steps whose own needs still run, so then it takes a look at all of them.
    if !progress.needs(i).all(settled)
        || (deployment.cancel.is_some() && !progress.before[i].iter().copied().all(settled))
    {
        return Readiness::Waiting;
    }
    // What became of a part is told by its step.
    let counts = |n: &usize| progress.whole(*n).is_none();
    // Without needs, a step that looks back waits until there is something to look back at.
    let looks_at: Vec<usize> = if !step.needs.is_empty() {
        progress.before[i].iter().copied().filter(counts).collect()
    } else if result == ResultCondition::Success {
        return Readiness::Run;
    } else {
        let deciding: Vec<usize> = (0..progress.steps.len()).filter(|s| is_looked_back_at(progress, *s)).collect();
        if !deciding.iter().all(|s| progress.steps[*s].is_settled()) {
            return Readiness::Waiting;
        }
        deciding
    };
    let failed = looks_at.into_iter().find(|s| has_failed(progress, *s));
    match (result, failed) {
        (ResultCondition::Always, _) | (ResultCondition::Success, None) | (ResultCondition::Failure, Some(_)) => {
            Readiness::Run
        }
        (ResultCondition::Success, Some(s)) => {
            Readiness::Skip(format!("step {} did not succeed", progress.plan.steps[s].name()))
        }
        (ResultCondition::Failure, None) => Readiness::Skip("nothing failed".to_owned()),
    }
}

/// Whether the step at a place of the plan may run on the target at a place among its targets. A part of a step runs after
/// those before it in the series, and its `when` looks at them; when the series has begun it goes on to its end, and only
/// a cancel leaves out all of it but `always` parts.
pub fn readiness_on(deployment: &Deployment, progress: &Progress, i: usize, place: usize) -> Readiness {
    let step = readiness(deployment, progress, i);
    let Some(whole) = progress.whole(i) else { return step };
    let result = progress.plan.steps[i].step.when.result;
    match step {
        Readiness::Run => {}
        Readiness::Skip(_) if result == ResultCondition::Always && progress.has_begun(whole, place) => {}
        other => return other,
    }
    let earlier = || progress.series(whole, place).take_while(|(part, _)| *part < i);
    if !earlier().all(|(_, task)| task.is_over()) {
        return Readiness::Waiting;
    }
    match (result, earlier().find(|(_, task)| task.is_bad())) {
        (ResultCondition::Success, Some((part, _))) => {
            Readiness::Skip(format!("{} did not succeed there", progress.plan.steps[part].name()))
        }
        (ResultCondition::Failure, None) => Readiness::Skip("nothing failed there".to_owned()),
        _ => Readiness::Run,
    }
}

/// Whether a step, or a part of one that has begun on a target, goes on after a cancel.
pub fn survives_cancel(progress: &Progress, i: usize) -> bool {
    let always = |i: usize| progress.plan.steps[i].step.when.result == ResultCondition::Always;
    always(i) || progress.whole(i).is_some_and(always)
}

/// Whether a step that looks back at the whole deployment waits for this one: not if it comes after such a step itself,
/// as each would wait for the other.
fn is_looked_back_at(progress: &Progress, i: usize) -> bool {
    let looks_back = |n: &usize| {
        let step = &progress.plan.steps[*n].step;
        step.needs.is_empty() && step.when.result != ResultCondition::Success
    };
    decides(progress, i) && !progress.before[i].iter().any(looks_back)
}

/// Whether a step takes part in the outcome; `failure` and `always` steps run after it is fixed.
fn decides(progress: &Progress, i: usize) -> bool {
    progress.whole(i).is_none() && progress.plan.steps[i].step.when.result == ResultCondition::Success
}

/// Whether a step's window and failures leave room for one more target, with so many more
/// targets already counted in.
pub fn has_room(progress: &Progress, i: usize, taken: usize) -> bool {
    let run = &progress.steps[i];
    match &progress.plan.steps[i].step.rolling {
        None => true,
        Some(rolling) => {
            run.counts.bad <= rolling.max_failures as usize && run.counts.begun + taken < rolling.window.max(1) as usize
        }
    }
}

/// Whether the gate's announcement may be made: the gate is open and it was not made yet. Nobody is asked about what a
/// cancel has given up.
pub fn may_announce(progress: &Progress, i: usize) -> bool {
    let run = &progress.steps[i];
    let asks = run.skipped.is_none() && !run.rollout.given_up;
    let open = asks && run.any_gate().is_some_and(|g| matches!(g.state, GateState::Open { .. }));
    open && run.announcement.as_ref().is_some_and(|t| t.state == TaskState::Pending)
}

/// How the deployment ends as far as it is known, and why if not well.
pub fn outcome(deployment: &Deployment, progress: &Progress) -> (Outcome, Option<String>) {
    match &deployment.cancel {
        Some(CancelRequest { by: Actor::Planner { .. }, reason }) => return (Outcome::Failed, Some(reason.clone())),
        Some(CancelRequest { by, reason }) => {
            return (Outcome::Cancelled, Some(format!("cancelled by {by}: {reason}")));
        }
        None => {}
    }
    match (0..progress.steps.len()).find(|i| decides(progress, *i) && has_failed(progress, *i)) {
        None => (Outcome::Succeeded, None),
        Some(i) => (Outcome::Failed, Some(why_failed(progress, i))),
    }
}

fn why_failed(progress: &Progress, i: usize) -> String {
    let name = progress.plan.steps[i].name();
    let run = &progress.steps[i];
    if let Some(GateState::Decided { reason, .. }) = run.gate.as_ref().map(|g| &g.state) {
        return format!("step {name} was not approved: {reason}");
    }
    if let Some(reason) = run.rollout.rejection() {
        return format!("step {name} went no further than its canary: {reason}");
    }
    let tasks = || std::iter::once(i).chain(progress.parts(i)).flat_map(|own| tasks_of(progress, own));
    // What was taken back is so because of another one.
    let first = || tasks().filter(|(_, task)| task.restoring.is_none());
    if run.rollout.overdue && !first().any(|(_, task)| task.is_bad()) {
        let left_out = |(_, task): (_, &Task)| match &task.state {
            TaskState::Skipped(reason) => Some(format!("step {name} left out {}: {reason}", task.target)),
            _ => None,
        };
        return tasks().find_map(left_out).unwrap_or_else(|| format!("step {name} was late"));
    }
    let bad = first().chain(tasks()).find_map(|(step, task)| match &task.state {
        TaskState::Failed(failure) => Some((step, task, failure.message.clone())),
        TaskState::Unknown(reason) => Some((step, task, format!("nobody can tell what happened: {reason}"))),
        TaskState::Cancelled => Some((step, task, "it was stopped".to_owned())),
        _ => None,
    });
    match bad {
        Some((step, task, message)) if step != name => {
            format!("step {name} failed on {} at {step}: {message}", task.target)
        }
        Some((_, task, message)) => format!("step {name} failed on {}: {message}", task.target),
        None => format!("step {name} failed"),
    }
}

/// The tasks of the step at a place of the plan, each with its name.
fn tasks_of(progress: &Progress, i: usize) -> impl Iterator<Item = (&StepName, &Task)> {
    progress.steps[i].tasks.iter().map(move |task| (progress.plan.steps[i].name(), task))
}

/// Whether everything is over.
pub fn is_done(progress: &Progress) -> bool {
    progress.steps.iter().all(|s| s.is_settled() && s.is_quiet())
}

/// How many tasks may run on a target at a time; `None` for pseudo-targets, whose executors limit themselves.
pub fn slots(deployment: &Deployment, target: &TargetName) -> Option<u32> {
    deployment.target(target).map(|t| t.parallelism.max(1))
}
