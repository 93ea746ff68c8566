//! Why something waits, as a typed reason for each thing that does.

use chrono::{DateTime, Utc};
use slipway_domain::{
    api::{Waiting, WaitingReason},
    id::TaskKey,
    name::StepName,
};

use crate::{
    deployment::{
        Deployment, Progress, Task, TaskState,
        rollout::{Held, approval},
    },
    gate::{Gate, GateState, Rule},
    ready::{self, Readiness},
    state::{Denied, Full, State, Waits},
    yielding::wants_lane,
};

/// Everything in a deployment that waits, and for what. Empty once it is over.
pub fn why(state: &State, deployment: &Deployment, now: DateTime<Utc>) -> Vec<Waiting> {
    if deployment.end.is_some() {
        return Vec::new();
    }
    if let Some(fact) = &deployment.corrupt {
        return vec![whole(WaitingReason::Corrupt { fact: fact.clone() })];
    }
    let Some(progress) = &deployment.progress else { return vec![whole(WaitingReason::Planner)] };
    if deployment.started_at.is_none() {
        return vec![whole(before_start(state, deployment, now))];
    }
    if let Some(since) = deployment.yielded {
        return yielded(state, deployment, progress, since, now);
    }
    let mut waiting: Vec<Waiting> = deployment
        .pause
        .iter()
        .map(|p| whole(WaitingReason::Paused { by: p.by.clone(), reason: p.reason.clone() }))
        .collect();
    for (i, run) in progress.steps.iter().enumerate() {
        // What a part waits for is told with its step.
        if run.is_settled() || progress.whole(i).is_some() {
            continue;
        }
        let name = progress.plan.steps[i].name();
        match ready::readiness(deployment, progress, i) {
            Readiness::Waiting => waiting.push(step(name, needs(progress, i))),
            Readiness::Skip(_) => {
                let before = waiting.len();
                waiting.extend(tasks(state, deployment, name, run.tasks.iter().filter(|t| t.takes_place()), now));
                waiting
                    .extend(series(state, deployment, progress, i, now).filter(|one| one.step.as_ref() != Some(name)));
                if waiting.len() == before {
                    waiting.push(step(name, WaitingReason::Planner));
                }
            }
            Readiness::Run => match &run.gate {
                Some(gate) => waiting.push(step(name, asked(&approval_rule(progress, i), gate))),
                None => {
                    let open = |gate: &&Gate| matches!(gate.state, GateState::Open { .. });
                    let look = run.rollout.look.as_ref().filter(open);
                    waiting.extend(look.map(|gate| step(name, asked(&approval_rule(progress, i), gate))));
                    waiting.extend(tasks(state, deployment, name, &run.tasks, now));
                    waiting.extend(series(state, deployment, progress, i, now));
                }
            },
        }
    }
    waiting
}

/// What each series of a step waits for: one that did not begin as a whole, in others each part that is not over.
fn series(
    state: &State,
    deployment: &Deployment,
    progress: &Progress,
    i: usize,
    now: DateTime<Utc>,
) -> impl Iterator<Item = Waiting> {
    let told = move |(part, task): (usize, &Task), name: &StepName| {
        let reason = task_reason(state, deployment, progress.plan.steps[part].name(), task, now)?;
        Some(Waiting { step: Some(name.clone()), target: Some(task.target.clone()), reason })
    };
    let run = &progress.steps[i];
    let next = move |place| progress.series(i, place).find(|(_, task)| !task.is_over());
    let pending = run.pending_places().filter_map(next);
    let begun = run.places_under_way().flat_map(move |place| progress.series(i, place));
    pending
        .filter_map(move |one| told(one, progress.plan.steps[i].name()))
        .chain(begun.filter_map(move |one| told(one, progress.plan.steps[one.0].name())))
}

/// What each of a step's tasks waits for.
fn tasks<'a>(
    state: &'a State,
    deployment: &'a Deployment,
    name: &'a StepName,
    tasks: impl IntoIterator<Item = &'a Task>,
    now: DateTime<Utc>,
) -> impl Iterator<Item = Waiting> {
    tasks.into_iter().filter_map(move |task| {
        let reason = task_reason(state, deployment, name, task, now)?;
        Some(Waiting { step: Some(name.clone()), target: Some(task.target.clone()), reason })
    })
}

/// It gave its lane back: people are asked, or it waits for its turn.
fn yielded(
    state: &State,
    deployment: &Deployment,
    progress: &Progress,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Vec<Waiting> {
    let mut waiting = vec![whole(WaitingReason::Yielded { since })];
    if wants_lane(deployment) {
        waiting.push(whole(before_start(state, deployment, now)));
    }
    for (i, run) in progress.steps.iter().enumerate().filter(|(_, run)| !run.is_settled()) {
        if let Some(gate @ Gate { state: GateState::Open { .. }, .. }) = &run.gate {
            waiting.push(step(progress.plan.steps[i].name(), asked(&approval_rule(progress, i), gate)));
        }
    }
    waiting
}

fn whole(reason: WaitingReason) -> Waiting {
    Waiting { step: None, target: None, reason }
}

fn step(name: &StepName, reason: WaitingReason) -> Waiting {
    Waiting { step: Some(name.clone()), target: None, reason }
}

fn before_start(state: &State, deployment: &Deployment, now: DateTime<Utc>) -> WaitingReason {
    if let Some(pause) = &deployment.pause {
        return WaitingReason::Paused { by: pause.by.clone(), reason: pause.reason.clone() };
    }
    match state.may_start(deployment, now) {
        Ok(()) | Err(Waits::Planner | Waits::Paused | Waits::Stale | Waits::Gate) => WaitingReason::Planner,
        Err(Waits::Scheduled { at }) => WaitingReason::Scheduled { at },
        Err(Waits::Lane { held_by }) => WaitingReason::Lane { held_by },
        Err(Waits::Frozen(hold)) => WaitingReason::Freeze { freeze: hold.freeze, until: hold.until },
        Err(Waits::Full(Full::Environment(limit))) => WaitingReason::EnvironmentLimit { limit },
        Err(Waits::Full(Full::Total(limit))) => WaitingReason::TotalLimit { limit },
        Err(Waits::Turn) => WaitingReason::Turn,
    }
}

fn needs(progress: &Progress, i: usize) -> WaitingReason {
    let open: Vec<StepName> = progress
        .needs(i)
        .filter(|n| !progress.steps[*n].is_settled())
        .map(|n| progress.plan.steps[n].name().clone())
        .collect();
    WaitingReason::Needs { steps: open }
}

fn approval_rule(progress: &Progress, i: usize) -> Rule<'_> {
    match approval(&progress.plan.steps[i].step, progress.steps[i].targets) {
        Some(approval) => Rule::approval(approval),
        // Only approvals have gates of their own.
        None => Rule {
            teams: &[],
            timeout: crate::decide::timeout(&progress.plan.steps[i].step),
            question: crate::gate::Question::Guidance,
            exclude_requester: false,
        },
    }
}

fn asked(rule: &Rule<'_>, gate: &Gate) -> WaitingReason {
    match &gate.state {
        GateState::Open { opened, expires, .. } => {
            WaitingReason::People { teams: rule.teams.to_vec(), opened: *opened, expires: *expires }
        }
        _ => WaitingReason::Planner,
    }
}

fn task_reason(
    state: &State,
    deployment: &Deployment,
    name: &StepName,
    task: &Task,
    now: DateTime<Utc>,
) -> Option<WaitingReason> {
    Some(match &task.state {
        TaskState::RetryAt(at, failure) if *at > now => {
            WaitingReason::Retry { at: *at, failure: failure.message.clone() }
        }
        TaskState::FailedAttempt(failure) => WaitingReason::Retry { at: now, failure: failure.message.clone() },
        TaskState::Asking(_) => {
            let guided = deployment.request.guided_failure.clone().unwrap_or_default();
            asked(&Rule::guidance(&guided), &task.guidance)
        }
        TaskState::Granted { since, .. } => WaitingReason::Executor { since: *since },
        TaskState::Running { claim, .. } => {
            WaitingReason::Running { holder: claim.holder.clone(), attempt: task.attempt, since: claim.at }
        }
        TaskState::Pending | TaskState::ToRestore | TaskState::RetryAt(..) => {
            let key = TaskKey::new(name.clone(), task.target.clone());
            match state.may_grant(deployment, &key, now, 0, 0) {
                Ok(()) => WaitingReason::Planner,
                Err(Denied::Paused) => return None,
                Err(Denied::Window) => WaitingReason::Window,
                Err(Denied::Series(part)) => {
                    let progress = deployment.progress.as_ref()?;
                    WaitingReason::Series { step: progress.plan.steps[part].name().clone() }
                }
                Err(Denied::Rollout(Held::Canary)) => WaitingReason::Canary,
                Err(Denied::Rollout(Held::Pause(until))) => WaitingReason::Pause { until },
                // The gate itself is told once, not for each target.
                Err(Denied::Rollout(Held::Look)) => return None,
                Err(Denied::Busy { limit }) => WaitingReason::TargetBusy { limit },
                Err(_) => WaitingReason::Planner,
            }
        }
        _ => return None,
    })
}
