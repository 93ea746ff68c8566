//! One step of a running plan: its tasks or its gate, and counts over them.

use std::collections::{BTreeSet, HashMap};

use slipway_domain::{
    event::Verdict,
    manifest::Action,
    name::{NOTIFIER, TargetName},
    plan::{PlannedStep, Runs},
};

use super::{
    rollout::{Rollout, approval},
    task::{Task, TaskState},
};
use crate::gate::{Gate, GateState};

/// One step.
#[derive(Debug, Clone)]
pub struct StepRun {
    /// One per target, in plan order; none for a gate.
    pub tasks: Vec<Task>,
    /// The gate, if it is one.
    pub gate: Option<Gate>,
    /// The order in which it goes over its targets.
    pub rollout: Rollout,
    /// The announcement of its gate in chat, if it has one.
    pub announcement: Option<Task>,
    /// Why it was left out as a whole.
    pub skipped: Option<String>,
    /// How its tasks stand.
    pub counts: Counts,
    index: HashMap<TargetName, usize>,
    /// The places of tasks that were never granted nor left out.
    pending: BTreeSet<usize>,
    /// The places of tasks that began and are not over.
    under_way: BTreeSet<usize>,
}

/// How the tasks of a step stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Over.
    pub over: usize,
    /// Began and not over: places of the window that are taken.
    pub begun: usize,
    /// Failed for good, cancelled or unknown.
    pub bad: usize,
    /// Did something that could be taken back.
    pub good: usize,
    /// Canaries that are over.
    pub canaries_over: usize,
    /// Canaries that are bad.
    pub canaries_bad: usize,
    /// Whose state needs a decision of its own: never granted, to be restored, or between two attempts.
    pub open: usize,
}

impl Counts {
    /// Takes the part of one task in (`1`) or out (`-1`).
    fn add(&mut self, task: &Task, canary: bool, by: isize) {
        let add = |count: &mut usize, is: bool| {
            if is {
                *count = count.saturating_add_signed(by);
            }
        };
        let (over, bad) = (task.is_over(), task.is_bad());
        add(&mut self.over, over);
        add(&mut self.begun, task.takes_place());
        add(&mut self.bad, bad);
        add(&mut self.good, task.can_be_restored());
        add(&mut self.canaries_over, canary && over);
        add(&mut self.canaries_bad, canary && bad);
        add(&mut self.open, !over && !task.takes_slot());
    }
}

impl StepRun {
    pub(crate) fn new(planned: &PlannedStep) -> Self {
        let tasks: Vec<Task> = match &planned.runs {
            Runs::On(targets) => targets.iter().cloned().map(Task::new).collect(),
            Runs::Gate => Vec::new(),
        };
        let rollout = Rollout::new(&planned.step, tasks.len());
        let gate = matches!(planned.step.action, Action::Approval(_)).then(Gate::new);
        let announcement = approval(&planned.step, tasks.len())
            .and_then(|approval| approval.slack.as_ref().map(|_| Task::new(TargetName::notifier())));
        let index = tasks.iter().enumerate().map(|(i, t)| (t.target.clone(), i)).collect();
        let (counts, pending, under_way) = Default::default();
        let mut run = Self { tasks, gate, rollout, announcement, skipped: None, counts, index, pending, under_way };
        run.recount();
        run
    }

    /// The gate of the step: of an approval, or between the canary and the others.
    pub fn any_gate(&self) -> Option<&Gate> {
        self.gate.as_ref().or(self.rollout.look.as_ref())
    }

    pub(crate) fn any_gate_mut(&mut self) -> Option<&mut Gate> {
        self.gate.as_mut().or(self.rollout.look.as_mut())
    }

    /// The tasks that were never granted nor left out, in the order of the plan.
    pub fn pending(&self) -> impl Iterator<Item = &Task> {
        self.pending.iter().map(|i| &self.tasks[*i])
    }

    /// The tasks that began and are not over, in the order of the plan.
    pub fn under_way(&self) -> impl Iterator<Item = &Task> {
        self.under_way.iter().map(|i| &self.tasks[*i])
    }

    /// The place of a target among its tasks.
    pub fn position(&self, target: &TargetName) -> Option<usize> {
        self.index.get(target).copied()
    }

    /// The task on a target; for a gate, its announcement on `notifier`.
    pub fn task(&self, target: &TargetName) -> Option<&Task> {
        match self.index.get(target) {
            Some(i) => Some(&self.tasks[*i]),
            None if target.as_str() == NOTIFIER => self.announcement.as_ref(),
            None => None,
        }
    }

    fn task_mut(&mut self, target: &TargetName) -> Option<&mut Task> {
        match self.index.get(target) {
            Some(i) => Some(&mut self.tasks[*i]),
            None if target.as_str() == NOTIFIER => self.announcement.as_mut(),
            None => None,
        }
    }

    /// Whether nothing more will happen in it that another step could wait for.
    pub fn is_settled(&self) -> bool {
        match &self.gate {
            Some(gate) => self.skipped.is_some() || matches!(gate.state, GateState::Decided { .. }),
            None => self.counts.over == self.tasks.len() && !self.owes_restore(),
        }
    }

    /// Whether what it did is to be taken back and was not yet.
    pub fn owes_restore(&self) -> bool {
        self.counts.good > 0 && self.rollout.takes_back(&self.counts)
    }

    /// Whether it counts as failed, with so many failed targets tolerated.
    pub fn has_failed(&self, tolerated: usize) -> bool {
        match &self.gate {
            Some(gate) => matches!(gate.state, GateState::Decided { verdict: Verdict::Reject, .. }),
            None => {
                self.counts.bad > tolerated
                    || self.counts.canaries_bad > 0
                    || self.rollout.rejection().is_some()
                    || self.rollout.overdue
            }
        }
    }

    /// Whether no announcement is under way.
    pub fn is_quiet(&self) -> bool {
        self.announcement.as_ref().is_none_or(|task| !task.takes_slot())
    }

    pub(crate) fn skip(&mut self, target: Option<&TargetName>, reason: &str) {
        match target {
            Some(target) => self.change(target, |task| task.skip(reason)).unwrap_or_default(),
            None => {
                let untouched = self.counts.begun == 0 && self.counts.over == 0;
                for task in &mut self.tasks {
                    task.skip(reason);
                }
                let undecided = self.gate.as_ref().is_some_and(|g| !matches!(g.state, GateState::Decided { .. }));
                if undecided || (self.gate.is_none() && untouched) {
                    self.skipped = Some(reason.to_owned());
                }
                self.recount();
            }
        }
    }

    /// Changes one task, and the counts with it. None if there is no such task.
    pub(crate) fn change<T>(&mut self, target: &TargetName, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let Some(i) = self.position(target) else { return self.task_mut(target).map(change) };
        let canary = i < self.rollout.canaries;
        let task = &mut self.tasks[i];
        self.counts.add(task, canary, -1);
        let changed = change(task);
        self.counts.add(task, canary, 1);
        sort(i, task, &mut self.pending, &mut self.under_way);
        if let TaskState::Granted { since, .. } = &task.state {
            self.rollout.began.get_or_insert(*since);
        }
        if task.is_over() {
            self.rollout.last_end = self.rollout.last_end.max(task.ended_at);
        }
        Some(changed)
    }

    fn recount(&mut self) {
        self.counts = Counts::default();
        for (i, task) in self.tasks.iter().enumerate() {
            self.counts.add(task, i < self.rollout.canaries, 1);
            sort(i, task, &mut self.pending, &mut self.under_way);
        }
    }
}

/// Keeps in order which tasks are pending and which are under way.
fn sort(place: usize, task: &Task, pending: &mut BTreeSet<usize>, under_way: &mut BTreeSet<usize>) {
    for (places, is) in [(pending, task.state == TaskState::Pending), (under_way, task.takes_place())] {
        if is {
            places.insert(place);
        } else {
            places.remove(&place);
        }
    }
}
