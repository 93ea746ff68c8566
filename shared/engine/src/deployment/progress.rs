//! The plan of a deployment and where its steps are. Whatever changes a task comes through here, so that what is counted
//! over tasks is always right.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use slipway_domain::{
    id::TaskKey,
    manifest::{Action, ResultCondition},
    name::{StepName, TargetName},
    plan::Plan,
    release::Retries,
};

use super::{StepRun, Task};
use crate::compile;

/// The plan and where its steps are.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The frozen DAG.
    pub plan: Plan,
    /// Its digest.
    pub digest: String,
    /// One per step of the plan, in its order.
    pub steps: Vec<StepRun>,
    /// For each step, all steps before it.
    pub before: Vec<BTreeSet<usize>>,
    /// For each step, the places of its parts.
    parts: Vec<Range<usize>>,
    /// For each step, the place of the one that it is a part of.
    whole: Vec<Option<usize>>,
    index: HashMap<StepName, usize>,
}

impl Progress {
    pub(super) fn new(plan: Plan, digest: String) -> Self {
        let before = compile::ancestors(&plan);
        let parts: Vec<_> = (0..plan.steps.len()).map(|i| compile::parts(&plan, i)).collect();
        let mut whole = vec![None; plan.steps.len()];
        for (i, parts) in parts.iter().enumerate() {
            parts.clone().for_each(|part| whole[part] = Some(i));
        }
        let is_run = |i: usize| matches!(plan.steps[i].step.action, Action::DockerRun(_));
        let runs =
            |(i, parts): (usize, &Range<usize>)| StepRun::new(&plan.steps[i], is_run(i) || parts.clone().any(is_run));
        let steps = parts.iter().enumerate().map(runs).collect();
        let index = plan.steps.iter().enumerate().map(|(i, s)| (s.name().clone(), i)).collect();
        let mut progress = Self { plan, digest, steps, before, parts, whole, index };
        (0..progress.steps.len()).for_each(|i| progress.recount_series(i));
        progress
    }

    /// What an earlier deployment did is done; what it was allowed is allowed.
    pub(super) fn mark_done(&mut self, retries: &Retries) {
        let reason = |what: &str| format!("{what} in deployment {}", retries.deployment);
        for done in &retries.done {
            let Some(i) = self.position(&done.task.step) else { continue };
            let run = &mut self.steps[i];
            if run.gate.is_some() {
                run.skipped = Some(reason("approved"));
            } else if done.task.target == TargetName::notifier() && run.rollout.look.is_some() {
                run.rollout.approved_before();
                run.announcement = None;
            } else {
                self.change(i, &done.task.target, |task| task.done_before(&done.outputs));
            }
        }
        // A series is told as done only if all of it ended well, so what it left out it leaves out again.
        for done in &retries.done {
            let Some(whole) = self.position(&done.task.step).and_then(|i| self.whole(i)) else { continue };
            for part in self.parts(whole) {
                self.change(part, &done.task.target, |task| task.skip(&reason("left out")));
            }
        }
    }

    /// The deployment is to stop; its `always` steps go on.
    pub(super) fn give_up(&mut self) {
        for (planned, run) in self.plan.steps.iter().zip(&mut self.steps) {
            if planned.step.when.result != ResultCondition::Always && !run.is_settled() {
                run.rollout.give_up();
            }
        }
    }

    /// The place of a step in the plan.
    pub fn position(&self, step: &StepName) -> Option<usize> {
        self.index.get(step).copied()
    }

    /// The places of the parts of a step, in the order in which they follow each other; none if it has a kind.
    pub fn parts(&self, i: usize) -> Range<usize> {
        self.parts[i].clone()
    }

    /// The place of the step that one is a part of.
    pub fn whole(&self, i: usize) -> Option<usize> {
        self.whole[i]
    }

    /// The task of a key; for a gate's step on `notifier`, the gate's announcement.
    pub fn task(&self, key: &TaskKey) -> Option<&Task> {
        self.steps[self.position(&key.step)?].task(&key.target)
    }

    /// The places of the steps that a step needs directly.
    pub fn needs(&self, i: usize) -> impl Iterator<Item = usize> + '_ {
        self.plan.steps[i].step.needs.iter().filter_map(|n| self.position(n))
    }

    /// Changes a task, and what is counted over its step's tasks and over series. None if there is no such task.
    pub(crate) fn change<T>(
        &mut self,
        i: usize,
        target: &TargetName,
        change: impl FnOnce(&mut Task) -> T,
    ) -> Option<T> {
        let (Some(whole), Some(place)) = (self.whole(i), self.steps[i].position(target)) else {
            return self.steps[i].change(target, change);
        };
        let before = self.standing(whole, place);
        let changed = self.steps[i].change(target, change);
        let after = self.standing(whole, place);
        self.steps[whole].stands(place, &before, &after);
        changed
    }

    /// Leaves a step out where it did not begin: on a target, or on all.
    pub(crate) fn skip(&mut self, i: usize, target: Option<&TargetName>, reason: &str) {
        match target {
            _ if !self.parts(i).is_empty() => self.skip_series(i, target, reason),
            Some(target) => self.change(i, target, |task| task.skip(reason)).unwrap_or_default(),
            None if self.whole(i).is_some() => self.cut_short(i, reason),
            None => self.steps[i].skip(reason),
        }
    }

    /// What the step did on these targets is to be taken back, if that is so at this place of the log.
    pub(super) fn restore(&mut self, i: usize, targets: &[TargetName], reason: &str) {
        if !self.steps[i].rollout.takes_back(&self.steps[i].counts) {
            return;
        }
        for target in targets {
            for own in self.can_be_taken_back(i, target) {
                self.change(own, target, |task| task.restore(reason));
            }
        }
    }
}
