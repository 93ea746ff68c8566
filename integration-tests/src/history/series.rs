//! Steps that consist of others: where their series stand, and when a part may begin or be taken back.

use chrono::{DateTime, Utc};
use slipway_domain::{
    id::TaskKey,
    manifest::{Action, ResultCondition},
    name::{StepName, TargetName},
};

use super::{
    Rule,
    steps::Deployment,
    task::{Place, Task},
};

/// How a step stands on one of its targets.
#[derive(Debug, Clone, Copy)]
pub struct Stand {
    /// Nothing more happens there.
    pub over: bool,
    /// Something was let start there.
    pub begun: bool,
    /// Something was claimed there.
    pub claimed: bool,
    /// It failed there.
    pub bad: bool,
    /// It ended well there.
    pub well: bool,
    /// A new container is there which could be taken back.
    pub keeps: bool,
}

impl Deployment {
    /// The step that one is a part of.
    pub fn whole(&self, step: &StepName) -> Option<&StepName> {
        self.step(step)?.part_of.as_ref()
    }

    /// What does the work of a step: its parts, in their order, or itself.
    fn workers<'a>(&'a self, step: &'a StepName) -> Vec<&'a StepName> {
        let steps = self.plan.iter().flat_map(|plan| &plan.steps);
        let parts: Vec<&StepName> =
            steps.filter(|other| other.part_of.as_ref() == Some(step)).map(|other| other.name()).collect();
        if parts.is_empty() { vec![step] } else { parts }
    }

    /// What is done for a step on a target, in order.
    fn series<'a>(&'a self, step: &'a StepName, target: &TargetName) -> Vec<(&'a StepName, &'a Task)> {
        let task = |part: &'a StepName| Some((part, self.tasks.get(&TaskKey::new(part.clone(), target.clone()))?));
        self.workers(step).into_iter().filter_map(task).collect()
    }

    /// How a step stands on each of its targets, in the order of the plan.
    pub fn stands<'a>(&'a self, step: &'a StepName) -> impl Iterator<Item = Stand> + 'a {
        self.targets_of(step).iter().map(move |target| {
            let series = self.series(step, target);
            let all = |is: fn(&Task) -> bool| series.iter().all(|(_, task)| is(task));
            let any = |is: fn(&Task) -> bool| series.iter().any(|(_, task)| is(task));
            let stays = |(part, task): &(&StepName, &Task)| self.is_run(part) && task.succeeded && !task.restoring;
            Stand {
                over: all(Task::is_over),
                begun: any(|task| task.began || !(task.is_over() || task.place == Place::Pending)),
                claimed: any(|task| !task.claims.is_empty()),
                bad: any(|task| task.place == Place::Bad),
                well: all(|task| task.place == Place::Good),
                keeps: series.iter().any(stays),
            }
        })
    }

    fn is_run(&self, step: &StepName) -> bool {
        matches!(self.step(step).map(|step| &step.step.action), Some(Action::DockerRun(_)))
    }

    /// Whether the task is part of a series that began, and so holds its place already.
    pub fn goes_on(&self, key: &TaskKey) -> bool {
        let whole = self.whole(&key.step);
        whole.is_some_and(|whole| self.series(whole, &key.target).iter().any(|(_, task)| task.began))
    }

    /// Whether a part's turn on its target has come.
    pub fn may_run_in_series(&self, key: &TaskKey) -> Result<(), (Rule, String)> {
        let no = |why: String| Err((Rule::Order, why));
        let (Some(whole), Some(part)) = (self.whole(&key.step), self.step(&key.step)) else {
            return no("it is not part of the plan".to_owned());
        };
        let when = part.step.when.result;
        match self.may_run(whole) {
            Err((Rule::Cancel, _)) if when == ResultCondition::Always && self.goes_on(key) => {}
            other => other?,
        }
        let series = self.series(whole, &key.target);
        let earlier: Vec<_> = series.into_iter().take_while(|(part, _)| **part != key.step).collect();
        if let Some((open, _)) = earlier.iter().find(|(_, task)| !task.is_over()) {
            return no(format!("{open} has not ended on its target"));
        }
        match (when, earlier.iter().find(|(_, task)| task.place == Place::Bad)) {
            (ResultCondition::Success, Some((failed, _))) => no(format!("{failed} did not succeed on its target")),
            (ResultCondition::Failure, None) => no("nothing failed before it on its target".to_owned()),
            _ => Ok(()),
        }
    }

    /// Whether a part may be taken back: those after it were.
    pub fn may_go_back(&self, whole: &StepName, key: &TaskKey) -> Result<(), (Rule, String)> {
        let series = self.series(whole, &key.target);
        let mut later = series.into_iter().skip_while(|(part, _)| **part != key.step).skip(1);
        match later.find(|(_, task)| !task.is_over()) {
            Some((open, _)) => Err((Rule::Order, format!("{open}, which came after it, is not taken back"))),
            None => Ok(()),
        }
    }

    /// What a step did on a target is to be taken back; of a series that is over.
    pub fn restore(&mut self, step: &StepName, target: &TargetName, at: DateTime<Utc>) {
        let series = self.series(step, target);
        if series.iter().any(|(_, task)| !task.is_over()) {
            return;
        }
        let runs: Vec<StepName> =
            series.iter().map(|(part, _)| (*part).clone()).filter(|part| self.is_run(part)).collect();
        for part in runs {
            let task = self.tasks.get_mut(&TaskKey::new(part, target.clone()));
            task.into_iter().for_each(|task| task.restore(at));
        }
    }

    /// Leaves out what did not begin. A part that is left out everywhere was cut short where its series had begun.
    pub fn skip(&mut self, step: &StepName, target: Option<&TargetName>) {
        let everywhere = target.is_none();
        if let (true, Some(word)) =
            (everywhere, self.tasks.get_mut(&TaskKey::new(step.clone(), TargetName::notifier())))
        {
            word.skip();
        }
        let targets: Vec<TargetName> = match target {
            Some(target) => vec![target.clone()],
            None => self.targets_of(step).to_vec(),
        };
        let workers: Vec<StepName> = self.workers(step).into_iter().cloned().collect();
        for target in targets {
            let began = self.goes_on(&TaskKey::new(workers[0].clone(), target.clone()));
            if began && workers != [step.clone()] {
                continue;
            }
            for part in &workers {
                let Some(task) = self.tasks.get_mut(&TaskKey::new(part.clone(), target.clone())) else { continue };
                let cut_short = began && everywhere && task.place == Place::Pending;
                task.skip();
                if cut_short {
                    task.place = Place::Bad;
                }
            }
        }
    }

    /// Where an earlier deployment did a series, what it left out stays left out.
    pub fn leave_out_done_series(&mut self) {
        let done: Vec<TaskKey> =
            self.request.retries.iter().flat_map(|retries| &retries.done).map(|done| done.task.clone()).collect();
        for key in done {
            let Some(whole) = self.whole(&key.step).cloned() else { continue };
            self.skip(&whole, Some(&key.target));
        }
    }
}
