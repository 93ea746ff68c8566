//! Steps that consist of others: what is granted or left out next in each of their series.

use super::{Turn, retries, skippable};
use crate::{
    condition,
    deployment::{StepRun, TaskState},
    ready::{self, Readiness},
    state::Denied,
};

impl<'a> Turn<'a> {
    /// Begins series, as many as there is room for.
    pub(super) fn begin(&mut self, i: usize, run: &'a StepRun) {
        let mut places = 0;
        for place in run.pending_places() {
            match self.next(i, place, places) {
                Ok(()) => places += 1,
                // Nor may those that come after it.
                Err(Denied::Window | Denied::Rollout(_)) => break,
                Err(_) => {}
            }
        }
    }

    /// Goes on with the series that began.
    pub(super) fn go_on(&mut self, i: usize, run: &'a StepRun) {
        for part in self.progress.parts(i).filter(|part| self.may_go_on(*part)).collect::<Vec<_>>() {
            let (step, run) = (&self.progress.plan.steps[part].step, &self.progress.steps[part]);
            retries(self.deployment, step, run, |task| task.restoring.is_none(), &mut self.events);
        }
        for place in run.places_under_way() {
            // What has no room now has it later.
            let _ = self.next(i, place, 0);
        }
    }

    /// Leaves out what did not begin; of series that did, all but what goes on in spite of a cancel.
    pub(super) fn cut_short(&mut self, i: usize, run: &'a StepRun, reason: &str) {
        if run.pending_places().next().is_some() {
            self.skip(&self.progress.plan.steps[i].step, None, reason.to_owned());
        }
        for part in self.progress.parts(i).filter(|part| !ready::survives_cancel(self.progress, *part)) {
            let tasks = &self.progress.steps[part].tasks;
            if run.places_under_way().filter_map(|place| tasks.get(place)).any(skippable) {
                self.skip(&self.progress.plan.steps[part].step, None, reason.to_owned());
            }
        }
        self.go_on(i, run);
    }

    /// Whether no cancel leaves out a part on all targets at once.
    fn may_go_on(&self, part: usize) -> bool {
        self.deployment.cancel.is_none() || ready::survives_cancel(self.progress, part)
    }

    /// Grants what comes next in a series, or leaves it out; either takes the target's place in the window.
    fn next(&mut self, i: usize, place: usize, places: usize) -> Result<(), Denied> {
        let (deployment, progress) = (self.deployment, self.progress);
        let Some((part, task)) = progress.series(i, place).find(|(_, task)| !task.is_over()) else { return Ok(()) };
        let waits = matches!(task.state, TaskState::Pending | TaskState::RetryAt(..)) && task.restoring.is_none();
        if !waits {
            return Err(Denied::Granted);
        }
        let step = &progress.plan.steps[part].step;
        let target = || Some(task.target.clone());
        if let Readiness::Skip(reason) = ready::readiness_on(deployment, progress, part, place) {
            if self.may_go_on(part) {
                self.skip(step, target(), reason);
            }
            return Ok(());
        }
        self.may_grant(step, task, places)?;
        if !progress.has_begun(i, place)
            && let Some(reason) = condition::leaves_out(deployment, progress, i, &task.target)
        {
            self.skip(&progress.plan.steps[i].step, target(), reason);
            return Err(Denied::NotNow);
        }
        match self.left_out(part, task) {
            Some(reason) => self.skip(step, target(), reason),
            None => self.grant(step, task),
        }
        Ok(())
    }
}
