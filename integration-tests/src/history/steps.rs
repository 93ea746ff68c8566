//! One deployment as the log's facts tell it, and when its steps may run.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use slipway_domain::{
    event::{Outcome, Verdict},
    id::TaskKey,
    manifest::{Action, ResultCondition},
    name::{StepName, TargetName},
    plan::{Plan, PlannedStep, Runs},
    release::Request,
};

use super::{
    Rule,
    gates::Gate,
    series::Stand,
    task::{Patience, Place, Task},
};

/// One deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub request: Request,
    pub plan: Option<Plan>,
    pub tasks: BTreeMap<TaskKey, Task>,
    pub gates: BTreeMap<StepName, Gate>,
    /// Gates between the canary and the others.
    pub looks: BTreeMap<StepName, Gate>,
    /// Gates at failed tasks.
    pub guidance: BTreeMap<TaskKey, Gate>,
    /// Rolling steps that left out targets because their deadline had passed.
    pub late: BTreeSet<StepName>,
    /// Gates that were left out.
    pub passed_by: BTreeSet<StepName>,
    pub started: bool,
    /// It gave its lane back.
    pub yielded: bool,
    pub paused: bool,
    pub cancelled: bool,
    /// The planner itself stopped it, because its time was over.
    pub overdue: bool,
    pub ended: Option<Outcome>,
}

impl Deployment {
    pub fn new(request: Request) -> Self {
        Self {
            request,
            plan: None,
            tasks: BTreeMap::new(),
            gates: BTreeMap::new(),
            looks: BTreeMap::new(),
            guidance: BTreeMap::new(),
            late: BTreeSet::new(),
            passed_by: BTreeSet::new(),
            started: false,
            yielded: false,
            paused: false,
            cancelled: false,
            overdue: false,
            ended: None,
        }
    }

    pub fn planned(&mut self, plan: &Plan) {
        for step in &plan.steps {
            match &step.runs {
                Runs::On(targets) => {
                    // What is done for a step that consists of others, they do.
                    let own = targets.iter().filter(|_| !matches!(step.step.action, Action::Steps(_)));
                    let keys = own.map(|target| TaskKey::new(step.name().clone(), target.clone()));
                    self.tasks.extend(keys.map(|key| (key, Task::new())));
                    let look = step.step.rolling.as_ref().and_then(|rolling| rolling.look(targets.len()));
                    if let Some(approval) = look {
                        self.looks.insert(step.name().clone(), Gate::default());
                        if approval.slack.is_some() {
                            self.tasks.insert(TaskKey::new(step.name().clone(), TargetName::notifier()), Task::new());
                        }
                    }
                }
                Runs::Gate => {
                    self.gates.insert(step.name().clone(), Gate::default());
                    if matches!(&step.step.action, Action::Approval(approval) if approval.slack.is_some()) {
                        self.tasks.insert(TaskKey::new(step.name().clone(), TargetName::notifier()), Task::new());
                    }
                }
            }
        }
        for done in self.request.retries.iter().flat_map(|retries| &retries.done) {
            if self.gates.contains_key(&done.task.step) {
                self.passed_by.insert(done.task.step.clone());
            } else if done.task.target == TargetName::notifier() && self.looks.remove(&done.task.step).is_some() {
                self.tasks.remove(&done.task);
            } else if let Some(task) = self.tasks.get_mut(&done.task) {
                task.place = Place::Good;
            }
        }
        self.plan = Some(plan.clone());
        self.leave_out_done_series();
    }

    pub fn step(&self, name: &StepName) -> Option<&PlannedStep> {
        self.plan.as_ref()?.step(name)
    }

    /// What a task's step makes of its failures.
    pub fn patience(&self, step: &StepName) -> Patience {
        let retry = self.step(step).and_then(|step| step.step.retry.as_ref());
        let asks = self.request.guided_failure.is_some() && !self.cancelled;
        Patience { attempts: retry.map_or(1, |retry| retry.attempts.max(1)), asks }
    }

    /// Its targets, in the order of the plan.
    pub fn targets_of<'a>(&'a self, step: &StepName) -> &'a [TargetName] {
        match self.step(step).map(|step| &step.runs) {
            Some(Runs::On(targets)) => targets,
            _ => &[],
        }
    }

    /// How the canary stands.
    fn canary_of<'a>(&'a self, step: &'a StepName) -> impl Iterator<Item = Stand> + 'a {
        let rolling = self.step(step).and_then(|step| step.step.rolling.as_ref());
        let first = rolling.map_or(0, |rolling| rolling.canaries(self.targets_of(step).len()));
        self.stands(step).take(first)
    }

    /// Whether a container of its canary stays though it could have been taken back.
    fn keeps_canary(&self, step: &StepName) -> bool {
        self.canary_of(step).any(|stand| stand.keeps)
    }

    /// Its other targets are left out; whether nothing but its deadline can be why.
    pub fn is_late(&self, step: &StepName) -> bool {
        let rolling = self.step(step).and_then(|step| step.step.rolling.as_ref());
        let began = self.stands(step).any(|stand| stand.claimed);
        rolling.is_some_and(|rolling| rolling.deadline.is_some()) && began && !self.cancelled && !self.has_failed(step)
    }

    /// Whether people may look at the canary.
    pub fn may_look(&self, step: &StepName) -> Result<(), (Rule, String)> {
        self.may_run(step)?;
        match self.canary_of(step).all(|stand| stand.well) {
            true => Ok(()),
            false => Err((Rule::Gate, "its canary had not ended well".to_owned())),
        }
    }

    /// Whether a target's turn has come, as far as the canary goes.
    pub fn may_follow(&self, step: &StepName, target: &TargetName) -> Result<(), (Rule, String)> {
        let first = self.canary_of(step).count();
        let place = self.targets_of(step).iter().position(|other| other == target);
        if place.is_none_or(|place| place < first) || first == 0 {
            return Ok(());
        }
        if !self.canary_of(step).all(|stand| stand.well) {
            return Err((Rule::Limits, "the canary had not ended well".to_owned()));
        }
        match self.looks.get(step) {
            Some(gate) if gate.decided != Some(Verdict::Approve) => {
                Err((Rule::Gate, "the canary was not approved".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn is_settled(&self, step: &StepName) -> bool {
        match self.gates.get(step) {
            Some(gate) => gate.decided.is_some() || self.passed_by.contains(step),
            None => self.stands(step).all(|stand| stand.over),
        }
    }

    fn has_failed(&self, step: &StepName) -> bool {
        match self.gates.get(step) {
            Some(gate) => gate.decided == Some(Verdict::Reject),
            None => {
                let rolling = self.step(step).and_then(|step| step.step.rolling.as_ref());
                let bad = self.stands(step).filter(|stand| stand.bad).count();
                bad > rolling.map_or(0, |rolling| rolling.max_failures as usize)
                    || self.late.contains(step)
                    || self.canary_of(step).any(|stand| stand.bad)
                    || self.looks.get(step).is_some_and(|gate| gate.decided == Some(Verdict::Reject))
            }
        }
    }

    /// Every step before a step.
    fn before(&self, name: &StepName) -> BTreeSet<StepName> {
        let (mut found, mut next) = (BTreeSet::new(), vec![name.clone()]);
        while let Some(step) = next.pop() {
            for need in self.step(&step).map(|step| step.step.needs.as_slice()).unwrap_or_default() {
                if found.insert(need.clone()) {
                    next.push(need.clone());
                }
            }
        }
        found
    }

    /// Whether a step's predecessors and its `when` let it run; the promise that it would break.
    pub fn may_run(&self, name: &StepName) -> Result<(), (Rule, String)> {
        let Some(step) = self.step(name) else { return Err((Rule::Order, "it is not part of the plan".to_owned())) };
        let when = step.step.when.result;
        if self.cancelled && when != ResultCondition::Always {
            return Err((Rule::Cancel, "the deployment was cancelled".to_owned()));
        }
        let at_gate = |step: &StepName| if self.gates.contains_key(step) { Rule::Gate } else { Rule::Order };
        let mut looks_at = self.before(name);
        if looks_at.is_empty() && when != ResultCondition::Success {
            let steps = self.plan.iter().flat_map(|plan| &plan.steps);
            let looks_back = |need: &StepName| {
                let step = self.step(need).map(|step| &step.step);
                step.is_some_and(|step| step.needs.is_empty() && step.when.result != ResultCondition::Success)
            };
            let waits = |step: &StepName| self.before(step).iter().any(looks_back);
            let deciding = steps.filter(|step| decides(step) && !waits(step.name()));
            looks_at = deciding.map(|step| step.name().clone()).collect();
        }
        if let Some(open) = looks_at.iter().find(|step| !self.is_settled(step)) {
            return Err((at_gate(open), format!("step {open} has not ended")));
        }
        let failed = looks_at.iter().find(|step| self.has_failed(step));
        match (when, failed) {
            (ResultCondition::Success, Some(failed)) => {
                Err((at_gate(failed), format!("step {failed} did not succeed")))
            }
            (ResultCondition::Failure, None) => Err((Rule::Order, "nothing failed before it".to_owned())),
            _ => Ok(()),
        }
    }

    /// Whether the step's window and tolerance have room for a task that has not begun.
    pub fn has_room(&self, name: &StepName) -> Result<(), (Rule, String)> {
        let Some(rolling) = self.step(name).and_then(|step| step.step.rolling.as_ref()) else { return Ok(()) };
        let bad = self.stands(name).filter(|stand| stand.bad).count();
        let begun = self.stands(name).filter(|stand| stand.begun && !stand.over).count();
        if bad > rolling.max_failures as usize {
            return Err((Rule::Limits, format!("{bad} targets failed before it")));
        }
        if begun >= rolling.window.max(1) as usize {
            return Err((
                Rule::Limits,
                format!("{begun} targets are in progress, and the window is {}", rolling.window),
            ));
        }
        Ok(())
    }

    /// Whether a task may be granted, as far as its own deployment goes.
    pub fn may_grant(&self, key: &TaskKey, at: DateTime<Utc>) -> Result<(), (Rule, String)> {
        let no = |rule, why: &str| Err((rule, why.to_owned()));
        if !self.holds_lane() || self.paused {
            return no(Rule::Limits, "the deployment had not started, or was paused");
        }
        let Some(task) = self.tasks.get(key) else { return no(Rule::Order, "it is not part of the plan") };
        if let Some(gate) = self.gates.get(&key.step) {
            let open = gate.is_open() && !self.passed_by.contains(&key.step) && task.place == Place::Pending;
            return if open { Ok(()) } else { no(Rule::Gate, "there is nothing to announce") };
        }
        if let Some(gate) = self.looks.get(&key.step).filter(|_| key.target == TargetName::notifier()) {
            let open = gate.is_open() && task.place == Place::Pending;
            return if open { Ok(()) } else { no(Rule::Gate, "there is nothing to announce") };
        }
        match (self.whole(&key.step), task.restoring) {
            (None, false) => self.may_run(&key.step)?,
            (None, true) => {}
            (Some(_), false) => self.may_run_in_series(key)?,
            (Some(whole), true) => self.may_go_back(whole, key)?,
        }
        match task.place {
            Place::Pending if self.goes_on(key) => Ok(()),
            Place::Pending => {
                let step = self.whole(&key.step).unwrap_or(&key.step);
                self.has_room(step).and_then(|()| self.may_follow(step, &key.target))
            }
            Place::Again { not_before: Some(time) } if time <= at => Ok(()),
            Place::Again { .. } => no(Rule::Order, "its retry had not come"),
            _ => no(Rule::OneHolder, "it was granted before"),
        }
    }

    pub fn holds_lane(&self) -> bool {
        self.started && !self.yielded
    }

    /// Whether people are asked where others need not wait, and nothing else of it goes on or could.
    pub fn may_yield(&self) -> bool {
        let aside = |step: &StepName| {
            let action = self.step(step).map(|step| &step.step.action);
            matches!(action, Some(Action::Approval(approval)) if !approval.blocks)
        };
        let mut open = self.gates.iter().filter(|(step, gate)| gate.is_open() && !self.passed_by.contains(*step));
        let could = |(key, task): (&TaskKey, &Task)| {
            task.takes_slot()
                || (!task.is_over()
                    && !self.gates.contains_key(&key.step)
                    && self.may_run(self.whole(&key.step).unwrap_or(&key.step)).is_ok())
        };
        open.clone().any(|(step, _)| aside(step))
            && open.all(|(step, _)| aside(step))
            && !self.looks.values().any(Gate::is_open)
            && !self.guidance.values().any(Gate::is_open)
            && !self.tasks.iter().any(could)
            && !self.paused
            && !self.cancelled
    }

    /// Whether it waits for a person.
    pub fn waits_for_person(&self) -> bool {
        let gates = self.gates.values().chain(self.looks.values()).chain(self.guidance.values());
        self.paused || gates.into_iter().any(Gate::is_open)
    }

    /// What is wrong with an end, looking at its steps.
    pub fn contradicts(&self, outcome: Outcome) -> Option<String> {
        if let Some((key, _)) = self.tasks.iter().find(|(key, t)| {
            t.takes_slot()
                || (outcome != Outcome::Superseded
                    && self.started
                    && !t.is_over()
                    && key.target != TargetName::notifier())
        }) {
            return Some(format!("it ended, and {key} did not"));
        }
        if let Some((step, _)) = self.looks.iter().find(|(step, gate)| gate.is_unwanted() && self.keeps_canary(step)) {
            return Some(format!("it ended, and {step} keeps a canary that nobody approved"));
        }
        let steps = || self.plan.iter().flat_map(|plan| &plan.steps);
        let failed = steps().filter(|step| decides(step)).find(|step| self.has_failed(step.name()));
        match (outcome, failed) {
            (Outcome::Succeeded, _) if self.cancelled => Some("it succeeded after a cancel".to_owned()),
            (Outcome::Succeeded, Some(step)) => Some(format!("it succeeded, and step {} did not", step.name())),
            (Outcome::Succeeded, None) if !self.started => Some("it succeeded without a start".to_owned()),
            (Outcome::Failed, None) if !self.overdue => Some("it failed, and no step did".to_owned()),
            (Outcome::Cancelled, _) if !self.cancelled => Some("it was cancelled by nobody".to_owned()),
            _ => None,
        }
    }
}

/// Whether the outcome depends on it; what became of a part is told by its step.
fn decides(step: &PlannedStep) -> bool {
    step.part_of.is_none() && step.step.when.result == ResultCondition::Success
}
