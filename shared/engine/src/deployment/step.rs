//! One step of a running plan: its tasks or its gate, and counts over them.

use std::collections::HashMap;

use slipway_domain::{
    event::Verdict,
    manifest::Action,
    name::{NOTIFIER, TargetName},
    plan::{PlannedStep, Runs},
};

use super::task::Task;
use crate::gate::{Gate, GateState};

/// One step.
#[derive(Debug, Clone)]
pub struct StepRun {
    /// One per target, in plan order; none for a gate.
    pub tasks: Vec<Task>,
    /// The gate, if it is one.
    pub gate: Option<Gate>,
    /// The gate's announcement in chat, if it has one.
    pub announcement: Option<Task>,
    /// Why it was left out as a whole.
    pub skipped: Option<String>,
    /// How its tasks stand.
    pub counts: Counts,
    index: HashMap<TargetName, usize>,
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
}

impl StepRun {
    pub(crate) fn new(planned: &PlannedStep) -> Self {
        let tasks: Vec<Task> = match &planned.runs {
            Runs::On(targets) => targets.iter().cloned().map(Task::new).collect(),
            Runs::Gate => Vec::new(),
        };
        let (gate, announcement) = match &planned.step.action {
            Action::Approval(approval) => {
                (Some(Gate::new()), approval.slack.as_ref().map(|_| Task::new(TargetName::notifier())))
            }
            _ => (None, None),
        };
        let index = tasks.iter().enumerate().map(|(i, t)| (t.target.clone(), i)).collect();
        Self { tasks, gate, announcement, skipped: None, counts: Counts::default(), index }
    }

    /// The task on a target; for a gate, its announcement on `notifier`.
    pub fn task(&self, target: &TargetName) -> Option<&Task> {
        match self.index.get(target) {
            Some(i) => Some(&self.tasks[*i]),
            None if target.as_str() == NOTIFIER => self.announcement.as_ref(),
            None => None,
        }
    }

    pub(crate) fn task_mut(&mut self, target: &TargetName) -> Option<&mut Task> {
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
            None => self.counts.over == self.tasks.len(),
        }
    }

    /// Whether it counts as failed, with so many failed targets tolerated.
    pub fn has_failed(&self, tolerated: usize) -> bool {
        match &self.gate {
            Some(gate) => matches!(gate.state, GateState::Decided { verdict: Verdict::Reject, .. }),
            None => self.counts.bad > tolerated,
        }
    }

    /// Whether no announcement is under way.
    pub fn is_quiet(&self) -> bool {
        self.announcement.as_ref().is_none_or(|task| !task.takes_slot())
    }

    pub(crate) fn skip(&mut self, target: Option<&TargetName>, reason: &str) {
        match target {
            Some(target) => {
                if let Some(task) = self.task_mut(target) {
                    task.skip(reason);
                }
            }
            None => {
                let untouched = self.counts.begun == 0 && self.counts.over == 0;
                for task in &mut self.tasks {
                    task.skip(reason);
                }
                let undecided = self.gate.as_ref().is_some_and(|g| !matches!(g.state, GateState::Decided { .. }));
                if undecided || (self.gate.is_none() && untouched) {
                    self.skipped = Some(reason.to_owned());
                }
            }
        }
        self.recount();
    }

    pub(crate) fn recount(&mut self) {
        let mut counts = Counts::default();
        for task in &self.tasks {
            counts.over += usize::from(task.is_over());
            counts.begun += usize::from(task.takes_place());
            counts.bad += usize::from(task.is_bad());
        }
        self.counts = counts;
    }
}
