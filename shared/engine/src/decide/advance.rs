//! What is written to the plan subject of a running deployment: skips, retries, grants, the end.

mod series;

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    duration::Span,
    event::PlanEvent,
    id::{TaskKey, derive},
    manifest::Step,
    name::TargetName,
    plan::Runs,
};

use super::{Promised, delta, time_is_up};
use crate::{
    condition,
    deployment::{Deployment, Progress, StepRun, Task, TaskState},
    gate::GateState,
    ready::{self, Readiness},
    state::{Denied, State},
};

/// The longest pause before another attempt.
const MAX_BACKOFF: TimeDelta = TimeDelta::minutes(5);

/// Skips, retries and grants; and when all is over, the end.
pub(super) fn advance(
    state: &State,
    deployment: &Deployment,
    progress: &Progress,
    now: DateTime<Utc>,
    promised: &Promised,
) -> Vec<PlanEvent> {
    if ready::is_done(progress) {
        let (outcome, reason) = ready::outcome(deployment, progress);
        return vec![PlanEvent::Finished { outcome, reason }];
    }
    if let (Some(end), None) = (time_is_up(deployment), &deployment.cancel)
        && now >= end
    {
        let timeout = deployment.request.timeout.unwrap_or(Span::secs(0));
        return vec![PlanEvent::CancelRequested { reason: format!("its time-out of {timeout} passed") }];
    }
    let mut turn = Turn::new(state, deployment, progress, now, promised);
    for (i, run) in progress.steps.iter().enumerate().filter(|(_, run)| !run.is_settled()) {
        turn.step(i, run);
    }
    turn.events
        .into_iter()
        .chain((!turn.grants.is_empty()).then_some(PlanEvent::Granted { tasks: turn.grants }))
        .collect()
}

/// What is written in one go.
struct Turn<'a> {
    state: &'a State,
    deployment: &'a Deployment,
    progress: &'a Progress,
    now: DateTime<Utc>,
    promised: &'a Promised,
    /// Slots that are given away, by this turn too.
    slots: HashMap<&'a TargetName, u32>,
    events: Vec<PlanEvent>,
    grants: Vec<TaskKey>,
}

impl<'a> Turn<'a> {
    fn new(
        state: &'a State,
        deployment: &'a Deployment,
        progress: &'a Progress,
        now: DateTime<Utc>,
        promised: &'a Promised,
    ) -> Self {
        let (slots, events, grants) = Default::default();
        Self { state, deployment, progress, now, promised, slots, events, grants }
    }

    fn step(&mut self, i: usize, run: &'a StepRun) {
        // What becomes of a part is decided with its step.
        if self.progress.whole(i).is_some() {
            return;
        }
        let (deployment, progress) = (self.deployment, self.progress);
        let step = &progress.plan.steps[i].step;
        if deployment.is_running() && ready::may_announce(progress, i) {
            self.grants.push(TaskKey::new(step.name.clone(), TargetName::notifier()));
        }
        self.taken_back(i, run);
        let consists_of_others = !progress.parts(i).is_empty();
        match ready::readiness(deployment, progress, i) {
            Readiness::Waiting => {}
            Readiness::Skip(reason) if consists_of_others => self.cut_short(i, run, &reason),
            Readiness::Skip(reason) => {
                if run.pending().chain(run.under_way()).any(skippable) || run.gate.is_some() {
                    self.skip(step, None, reason);
                }
            }
            Readiness::Run => {
                if consists_of_others {
                    self.go_on(i, run);
                }
                retries(deployment, step, run, |task| task.restoring.is_none(), &mut self.events);
                match self.goes_no_further(i, run) {
                    Some(reason) => self.skip(step, None, reason),
                    None if consists_of_others => self.begin(i, run),
                    None => self.targets(i, run),
                }
            }
        }
    }

    /// What a step did is to be taken back, or the attempt to do so failed.
    fn taken_back(&mut self, i: usize, run: &'a StepRun) {
        let (deployment, progress) = (self.deployment, self.progress);
        if run.owes_restore() {
            self.events.push(restore(deployment, progress, i));
        }
        for own in std::iter::once(i).chain(progress.parts(i)) {
            let (step, run) = (&progress.plan.steps[own].step, &progress.steps[own]);
            retries(deployment, step, run, |task| task.restoring.is_some(), &mut self.events);
            for task in run.under_way().filter(|task| task.restoring.is_some()) {
                if self.may_grant(step, task, 0).is_ok() {
                    self.grant(step, task);
                }
            }
        }
    }

    /// Why a step whose turn has come is left out, or what is left of it.
    fn goes_no_further(&self, i: usize, run: &StepRun) -> Option<String> {
        let step = &self.progress.plan.steps[i].step;
        let stopped = run.rollout.stopped(&run.counts, ready::tolerated(step), self.now);
        let rest = step.rolling.is_some() && run.pending_places().next().is_some();
        stopped.filter(|_| rest).or_else(|| {
            let may_ask = self.deployment.is_running() && self.deployment.pause.is_none();
            run.gate.as_ref().filter(|gate| may_ask && gate.state == GateState::Closed)?;
            condition::leaves_out(self.deployment, self.progress, i, &TargetName::notifier())
        })
    }

    /// Grants what there is room for, or leaves it out.
    fn targets(&mut self, i: usize, run: &'a StepRun) {
        let step = &self.progress.plan.steps[i].step;
        let again = |t: &&Task| t.restoring.is_none() && matches!(t.state, TaskState::RetryAt(..));
        let mut places = 0;
        for task in run.under_way().filter(again).chain(run.pending()) {
            let pending = task.state == TaskState::Pending;
            match self.may_grant(step, task, places) {
                Ok(()) => match self.left_out(i, task) {
                    Some(reason) => self.skip(step, Some(task.target.clone()), reason),
                    None => {
                        places += usize::from(pending);
                        self.grant(step, task);
                    }
                },
                // Nor may those that come after it.
                Err(Denied::Window | Denied::Rollout(_)) => break,
                Err(_) => {}
            }
        }
    }

    /// Why the step's condition leaves out a task that did not begin.
    fn left_out(&self, i: usize, task: &Task) -> Option<String> {
        let target = Some(&task.target).filter(|_| task.state == TaskState::Pending)?;
        condition::leaves_out(self.deployment, self.progress, i, target)
    }

    fn may_grant(&mut self, step: &Step, task: &'a Task, places: usize) -> Result<(), Denied> {
        let key = TaskKey::new(step.name.clone(), task.target.clone());
        let taken = *self.slots.entry(&task.target).or_insert_with_key(|t| self.promised.get(*t).copied().unwrap_or(0));
        self.state.may_grant(self.deployment, &key, self.now, places, taken)
    }

    fn grant(&mut self, step: &Step, task: &'a Task) {
        *self.slots.entry(&task.target).or_default() += 1;
        self.grants.push(TaskKey::new(step.name.clone(), task.target.clone()));
    }

    fn skip(&mut self, step: &Step, target: Option<TargetName>, reason: String) {
        self.events.push(PlanEvent::StepSkipped { step: step.name.clone(), target, reason });
    }
}

fn skippable(task: &Task) -> bool {
    use TaskState::{Asking, FailedAttempt, Pending, RetryAt};
    task.restoring.is_none() && matches!(task.state, Pending | FailedAttempt(_) | RetryAt(..) | Asking(_))
}

/// Where a step is to be taken back, and why.
fn restore(deployment: &Deployment, progress: &Progress, i: usize) -> PlanEvent {
    let run = &progress.steps[i];
    let targets = match &progress.plan.steps[i].runs {
        Runs::On(targets) => targets.as_slice(),
        Runs::Gate => &[],
    };
    let targets = targets.iter().filter(|target| !progress.can_be_taken_back(i, target).is_empty()).cloned().collect();
    let own = std::iter::once(i).chain(progress.parts(i));
    let mut tasks = own.flat_map(|own| &progress.steps[own].tasks);
    let failed = |task: &&Task| task.is_bad() && task.restoring.is_none() && task.state != TaskState::Cancelled;
    let reason = match (run.rollout.rejection(), tasks.find(failed), &deployment.cancel) {
        (Some(reason), ..) => reason.to_owned(),
        (None, Some(task), _) => format!("the step failed on {}", task.target),
        (None, None, Some(cancel)) => format!("the deployment was cancelled by {}", cancel.by),
        (None, None, None) => "the step failed".to_owned(),
    };
    PlanEvent::RestoreScheduled { step: progress.plan.steps[i].name().clone(), targets, reason }
}

fn retries(
    deployment: &Deployment,
    step: &Step,
    run: &StepRun,
    of: impl Fn(&&Task) -> bool,
    events: &mut Vec<PlanEvent>,
) {
    for task in run.under_way().filter(of) {
        let (TaskState::FailedAttempt(_), Some(ended)) = (&task.state, task.ended_at) else { continue };
        let backoff = step.retry.as_ref().map_or(Span::secs(1), |r| r.backoff);
        let doubled = delta(backoff) * 2_i32.saturating_pow(task.failures.saturating_sub(1).min(16));
        // Up to a tenth longer, so that what failed together does not come back together.
        let seed = derive(&[
            &deployment.id().to_string(),
            step.name.as_str(),
            task.target.as_str(),
            &task.failures.to_string(),
        ]);
        let pause = doubled.min(MAX_BACKOFF);
        let jitter = pause * i32::from(seed.as_bytes()[0]) / 2560;
        events.push(PlanEvent::RetryScheduled {
            task: TaskKey::new(step.name.clone(), task.target.clone()),
            not_before: ended + pause + jitter,
        });
    }
}
