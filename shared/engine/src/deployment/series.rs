//! Steps that consist of others: on each target these follow each other, as a series. What is counted of such a step,
//! and what its window, canary and failures are about, is where its series stand.

use slipway_domain::{manifest::Action, name::TargetName};

use super::{Progress, Task, TaskState, step::Standing};

impl Progress {
    /// The tasks of a series, in their order: the parts of the step at `whole` on the target at `place` among its targets.
    pub fn series(&self, whole: usize, place: usize) -> impl Iterator<Item = (usize, &Task)> + Clone {
        self.parts(whole).filter_map(move |part| Some((part, self.steps[part].tasks.get(place)?)))
    }

    /// Whether something of a series was granted.
    pub fn has_begun(&self, whole: usize, place: usize) -> bool {
        self.series(whole, place).any(|(_, task)| task.has_begun())
    }

    /// Where the plan has what can be taken back of a step on a target: the step itself, or those of its parts that run
    /// containers, once the whole series is over.
    pub fn can_be_taken_back(&self, i: usize, target: &TargetName) -> Vec<usize> {
        let Some(place) = self.steps[i].position(target) else { return Vec::new() };
        if self.parts(i).is_empty() {
            let done = self.steps[i].tasks.get(place).is_some_and(Task::can_be_restored);
            return Vec::from_iter(done.then_some(i));
        }
        if self.series(i, place).any(|(_, task)| !task.is_over()) {
            return Vec::new();
        }
        self.done_containers(i, place).collect()
    }

    /// Whether the old container of a step on the target at a place may still be needed after the new one is good.
    pub fn may_take_back(&self, i: usize, place: usize) -> bool {
        let is_run = matches!(self.plan.steps[i].step.action, Action::DockerRun(_));
        is_run && self.steps[self.whole(i).unwrap_or(i)].rollout.may_take_back(place)
    }

    /// The parts of a series that left a container which can be taken back.
    fn done_containers(&self, whole: usize, place: usize) -> impl Iterator<Item = usize> {
        let is_run = |part: usize| matches!(self.plan.steps[part].step.action, Action::DockerRun(_));
        self.series(whole, place)
            .filter(move |(part, task)| is_run(*part) && task.can_be_restored())
            .map(|(part, _)| part)
    }

    /// How a step stands on a target where it is a series.
    pub(super) fn standing(&self, whole: usize, place: usize) -> Standing {
        let tasks = || self.series(whole, place).map(|(_, task)| task);
        let over = tasks().all(Task::is_over);
        let since = |task: &Task| match &task.state {
            TaskState::Granted { since, .. } => Some(*since),
            _ => None,
        };
        Standing {
            over,
            begun: !over && self.has_begun(whole, place),
            bad: tasks().any(Task::is_bad),
            good: over && self.done_containers(whole, place).next().is_some(),
            open: !over && !tasks().any(Task::takes_slot),
            granted: tasks().find_map(since),
            ended_at: tasks().filter_map(|task| task.ended_at).max(),
        }
    }

    /// Counts a step anew that consists of others.
    pub(super) fn recount_series(&mut self, i: usize) {
        if !self.parts(i).is_empty() {
            let standings = (0..self.steps[i].targets).map(|place| self.standing(i, place)).collect();
            self.steps[i].recount_as(standings);
        }
    }

    /// Leaves out series that did not begin: on a target, or on all.
    pub(super) fn skip_series(&mut self, whole: usize, target: Option<&TargetName>, reason: &str) {
        let Some(target) = target else {
            let places: Vec<usize> = self.steps[whole].pending_places().collect();
            let untouched = self.steps[whole].is_untouched();
            for i in std::iter::once(whole).chain(self.parts(whole)) {
                self.steps[i].leave_out(|place, task| {
                    if places.binary_search(&place).is_ok() {
                        task.skip(reason);
                    }
                });
                if untouched {
                    self.steps[i].skipped = Some(reason.to_owned());
                }
            }
            return self.recount_series(whole);
        };
        let begun = self.steps[whole].position(target).is_none_or(|place| self.has_begun(whole, place));
        for part in self.parts(whole).filter(|_| !begun) {
            self.change(part, target, |task| task.skip(reason));
        }
    }

    /// Leaves out a part of a step on all targets, as a cancel does: what was to follow in a series that began did not
    /// come to its end.
    pub(super) fn cut_short(&mut self, part: usize, reason: &str) {
        let Some(whole) = self.whole(part) else { return };
        let begun: Vec<bool> = (0..self.steps[whole].targets).map(|place| self.has_begun(whole, place)).collect();
        self.steps[part].leave_out(|place, task| match begun[place] {
            true => task.cut_short(reason),
            false => task.skip(reason),
        });
        self.recount_series(whole);
    }
}
