//! One step of a running plan: its tasks or its gate, and counts over them. The tasks of a step that consists of others
//! are theirs; what is counted of it are its series.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
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
    /// One per target, in plan order; none for a gate, nor for a step that consists of others.
    pub tasks: Vec<Task>,
    /// On how many targets it runs.
    pub targets: usize,
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
    /// The places of targets whose task, or series, was never granted nor left out.
    pending: BTreeSet<usize>,
    /// The places of targets where it began and is not over.
    under_way: BTreeSet<usize>,
}

/// How a step stands on one of its targets, as far as that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Nothing more will happen.
    pub(super) over: bool,
    /// It began and is not over.
    pub(super) begun: bool,
    /// It failed for good, was cancelled, or nobody knows.
    pub(super) bad: bool,
    /// It did something that could be taken back.
    pub(super) good: bool,
    /// It needs a decision of its own.
    pub(super) open: bool,
    /// Since when something of it may be claimed.
    pub(super) granted: Option<DateTime<Utc>>,
    /// When the last of it ended.
    pub(super) ended_at: Option<DateTime<Utc>>,
}

impl Standing {
    fn of(task: &Task) -> Self {
        let granted = match &task.state {
            TaskState::Granted { since, .. } => Some(*since),
            _ => None,
        };
        Self {
            over: task.is_over(),
            begun: task.takes_place(),
            bad: task.is_bad(),
            good: task.can_be_restored(),
            open: !task.is_over() && !task.takes_slot(),
            granted,
            ended_at: task.ended_at,
        }
    }
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
    /// Takes the part of one target in (`1`) or out (`-1`).
    fn add(&mut self, standing: &Standing, canary: bool, by: isize) {
        let add = |count: &mut usize, is: bool| {
            if is {
                *count = count.saturating_add_signed(by);
            }
        };
        let Standing { over, begun, bad, good, open, .. } = *standing;
        add(&mut self.over, over);
        add(&mut self.begun, begun);
        add(&mut self.bad, bad);
        add(&mut self.good, good);
        add(&mut self.canaries_over, canary && over);
        add(&mut self.canaries_bad, canary && bad);
        add(&mut self.open, open);
    }
}

impl StepRun {
    /// A step of a plan, and whether what it does on a target can be taken back.
    pub(crate) fn new(planned: &PlannedStep, can_restore: bool) -> Self {
        let places = match &planned.runs {
            Runs::On(targets) => targets.as_slice(),
            Runs::Gate => &[],
        };
        let consists_of_others = matches!(planned.step.action, Action::Steps(_));
        let own = if consists_of_others { &[] } else { places };
        let tasks: Vec<Task> = own.iter().cloned().map(Task::new).collect();
        let targets = places.len();
        let rollout = Rollout::new(&planned.step, targets, can_restore);
        let gate = matches!(planned.step.action, Action::Approval(_)).then(Gate::new);
        let announcement = approval(&planned.step, targets)
            .and_then(|approval| approval.slack.as_ref().map(|_| Task::new(TargetName::notifier())));
        let index = places.iter().cloned().enumerate().map(|(i, target)| (target, i)).collect();
        let (counts, pending, under_way) = Default::default();
        let mut run =
            Self { tasks, targets, gate, rollout, announcement, skipped: None, counts, index, pending, under_way };
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
        self.pending_places().filter_map(|i| self.tasks.get(i))
    }

    /// The tasks that began and are not over, in the order of the plan.
    pub fn under_way(&self) -> impl Iterator<Item = &Task> {
        self.places_under_way().filter_map(|i| self.tasks.get(i))
    }

    /// The places of the targets where it did not begin.
    pub fn pending_places(&self) -> impl Iterator<Item = usize> {
        self.pending.iter().copied()
    }

    /// The places of the targets where it began and is not over.
    pub fn places_under_way(&self) -> impl Iterator<Item = usize> {
        self.under_way.iter().copied()
    }

    /// The place of a target among its targets.
    pub fn position(&self, target: &TargetName) -> Option<usize> {
        self.index.get(target).copied()
    }

    /// The task on a target; for a gate, its announcement on `notifier`.
    pub fn task(&self, target: &TargetName) -> Option<&Task> {
        match self.index.get(target) {
            Some(i) => self.tasks.get(*i),
            None if target.as_str() == NOTIFIER => self.announcement.as_ref(),
            None => None,
        }
    }

    fn task_mut(&mut self, target: &TargetName) -> Option<&mut Task> {
        match self.index.get(target) {
            Some(i) => self.tasks.get_mut(*i),
            None if target.as_str() == NOTIFIER => self.announcement.as_mut(),
            None => None,
        }
    }

    /// Whether nothing more will happen in it that another step could wait for.
    pub fn is_settled(&self) -> bool {
        match &self.gate {
            Some(gate) => self.skipped.is_some() || matches!(gate.state, GateState::Decided { .. }),
            None => self.counts.over == self.targets && !self.owes_restore(),
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

    /// Leaves out all that did not begin.
    pub(crate) fn skip(&mut self, reason: &str) {
        let untouched = self.is_untouched();
        let undecided = self.gate.as_ref().is_some_and(|g| !matches!(g.state, GateState::Decided { .. }));
        if undecided || (self.gate.is_none() && untouched) {
            self.skipped = Some(reason.to_owned());
        }
        self.leave_out(|_, task| task.skip(reason));
    }

    /// Whether it did not begin on any target, nor was left out.
    pub(super) fn is_untouched(&self) -> bool {
        self.counts.begun == 0 && self.counts.over == 0
    }

    /// Leaves out tasks by their places, which say how.
    pub(super) fn leave_out(&mut self, skip: impl Fn(usize, &mut Task)) {
        self.tasks.iter_mut().enumerate().for_each(|(place, task)| skip(place, task));
        self.recount();
    }

    /// Changes one task, and the counts with it. None if there is no such task.
    pub(crate) fn change<T>(&mut self, target: &TargetName, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let Some(i) = self.position(target) else { return self.task_mut(target).map(change) };
        let task = self.tasks.get_mut(i)?;
        let before = Standing::of(task);
        let changed = change(task);
        let after = Standing::of(task);
        self.stands(i, &before, &after);
        Some(changed)
    }

    /// It stands otherwise on the target at a place than it did.
    pub(super) fn stands(&mut self, place: usize, before: &Standing, after: &Standing) {
        let canary = place < self.rollout.canaries;
        self.counts.add(before, canary, -1);
        self.counts.add(after, canary, 1);
        self.sort(place, after);
        if let Some(since) = after.granted {
            self.rollout.began.get_or_insert(since);
        }
        if after.over {
            self.rollout.last_end = self.rollout.last_end.max(after.ended_at);
        }
    }

    fn recount(&mut self) {
        self.recount_as(self.tasks.iter().map(Standing::of).collect());
    }

    /// Counts anew how it stands on its targets.
    pub(super) fn recount_as(&mut self, standings: Vec<Standing>) {
        self.counts = Counts::default();
        for (place, standing) in standings.iter().enumerate() {
            self.counts.add(standing, place < self.rollout.canaries, 1);
            self.sort(place, standing);
        }
    }

    /// Keeps in order where it is pending and where under way.
    fn sort(&mut self, place: usize, standing: &Standing) {
        let pending = !standing.begun && !standing.over;
        for (places, is) in [(&mut self.pending, pending), (&mut self.under_way, standing.begun)] {
            if is {
                places.insert(place);
            } else {
                places.remove(&place);
            }
        }
    }
}
