//! How steps go over their targets: what must hold of windows, canaries and series after every entry, told from where
//! tasks are, not from what the engine counts.

use slipway_domain::{
    event::Verdict,
    id::TaskKey,
    manifest::{Action, OnFailure, ResultCondition},
};
use slipway_engine::{
    deployment::{Progress, Task, TaskState},
    gate::{Gate, GateState},
    ready,
};

/// The step that the one at a place of the plan is a part of.
pub fn whole(progress: &Progress, i: usize) -> Option<usize> {
    progress.position(progress.plan.steps[i].part_of.as_ref()?)
}

/// What is done on each of a step's targets, in order: one task, or a series with the places of its parts.
fn on_targets(progress: &Progress, i: usize) -> Vec<Vec<(usize, &Task)>> {
    let parts: Vec<usize> = (0..progress.steps.len()).filter(|part| whole(progress, *part) == Some(i)).collect();
    let own = if parts.is_empty() { vec![i] } else { parts };
    let count = own.iter().map(|part| progress.steps[*part].tasks.len()).max().unwrap_or(0);
    (0..count).map(|n| own.iter().map(|part| (*part, &progress.steps[*part].tasks[n])).collect()).collect()
}

fn began(task: &Task) -> bool {
    !matches!(task.state, TaskState::Pending | TaskState::Skipped(_)) || task.attempt > 0
}

fn is_over(tasks: &[(usize, &Task)]) -> bool {
    tasks.iter().all(|(_, task)| task.is_over())
}

/// How many targets failed.
pub fn bad_targets(progress: &Progress, i: usize) -> usize {
    on_targets(progress, i).iter().filter(|tasks| tasks.iter().any(|(_, task)| task.is_bad())).count()
}

/// Whether something else of a series had been let start.
pub fn began_before(progress: &Progress, whole: usize, key: &(slipway_domain::id::DeploymentId, TaskKey)) -> bool {
    let (_, TaskKey { step, target }) = key;
    let series = on_targets(progress, whole).into_iter().find(|tasks| tasks[0].1.target == *target).unwrap();
    series.into_iter().any(|(part, task)| {
        let own = progress.plan.steps[part].name() == step;
        if own { task.head > 0 } else { began(task) }
    })
}

/// A part was let start: its turn had come, and what came before on the target is what it says.
pub fn granted_in_series(progress: &Progress, whole: usize, i: usize, key: &TaskKey) {
    let series = on_targets(progress, whole).into_iter().find(|tasks| tasks[0].1.target == key.target).unwrap();
    let (earlier, _): (Vec<_>, Vec<_>) = series.into_iter().partition(|(part, _)| *part < i);
    assert!(is_over(&earlier), "{key} began before those before it had ended");
    let failed = earlier.iter().any(|(_, task)| task.is_bad());
    match progress.plan.steps[i].step.when.result {
        ResultCondition::Success => assert!(!failed, "{key} began though its series had failed"),
        ResultCondition::Failure => assert!(failed, "{key} began though nothing had failed before it"),
        ResultCondition::Always => {}
    }
}

/// What holds of a step after every entry.
pub fn check(progress: &Progress, i: usize) {
    let targets = on_targets(progress, i);
    if whole(progress, i).is_some() {
        return;
    }
    targets.iter().for_each(|tasks| in_order(tasks));
    let Some(rolling) = &progress.plan.steps[i].step.rolling else { return };
    let goes = |tasks: &&Vec<(usize, &Task)>| {
        let restoring = tasks.iter().any(|(_, task)| task.restoring.is_some());
        !is_over(tasks) && !restoring && tasks.iter().any(|(_, task)| began(task))
    };
    let going = targets.iter().filter(goes).count();
    assert!(going <= rolling.window as usize, "the window was exceeded");
    let run = &progress.steps[i];
    let first = rolling.canaries(targets.len());
    let (canary, others) = targets.split_at(first);
    if first > 0 && others.iter().flatten().any(|(_, task)| began(task)) {
        let bad = |task: &Task| task.restoring.is_none() && (task.is_bad() || !task.is_over());
        assert!(canary.iter().flatten().all(|(_, task)| !bad(task)), "others began before the canary had ended well");
        let look = run.rollout.look.as_ref().map(|gate| &gate.state);
        let approved = |state: &GateState| matches!(state, GateState::Decided { verdict: Verdict::Approve, .. });
        assert!(look.is_none_or(approved), "others began without approval");
    }
    if !run.is_settled() {
        return;
    }
    let unfinished = ready::has_failed(progress, i) || run.rollout.given_up;
    if rolling.on_failure == OnFailure::Restore && unfinished {
        assert_eq!(kept(progress, &targets), 0, "the step did not succeed, and some targets have what it made");
    }
    let unwanted = |gate: &Gate| {
        matches!(gate.state, GateState::Open { .. } | GateState::Decided { verdict: Verdict::Reject, .. })
    };
    if run.rollout.look.as_ref().is_some_and(unwanted) {
        assert_eq!(kept(progress, canary), 0, "a canary stayed that nobody approved");
    }
}

/// On a target one thing is done at a time, forwards, and it is taken back backwards once all was over.
fn in_order(tasks: &[(usize, &Task)]) {
    let going: Vec<&Task> = tasks.iter().map(|(_, task)| *task).filter(|task| task.takes_slot()).collect();
    assert!(going.len() <= 1, "two parts of a series at a time on {}", tasks[0].1.target);
    for (n, (_, task)) in tasks.iter().enumerate() {
        let (earlier, later) = (&tasks[..n], &tasks[n + 1..]);
        if task.restoring.is_none() && task.takes_place() {
            assert!(is_over(earlier), "a part began before those before it on {}", task.target);
        }
        if task.restoring.is_some() && task.takes_slot() {
            assert!(is_over(later), "a part was taken back before those after it on {}", task.target);
        }
    }
}

/// Containers that could have been taken back and were not.
fn kept(progress: &Progress, targets: &[Vec<(usize, &Task)>]) -> usize {
    let is_run = |part: usize| matches!(progress.plan.steps[part].step.action, Action::DockerRun(_));
    targets.iter().flatten().filter(|(part, task)| is_run(*part) && task.can_be_restored()).count()
}
