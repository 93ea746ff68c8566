//! One deployment as the log tells it: its request, its plan, and where every step is.
//!
//! The only mutation is `apply_*`, live and in replay. A fact that can not follow from what came
//! before is [`Impossible`]: the deployment stops, and keeps its lane until a person looks.

mod progress;
pub mod rollout;
mod series;
pub mod step;
pub mod task;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use slipway_domain::{
    event::{Actor, Outcome, PlanEvent, Recorded},
    id::{DeploymentId, TaskKey},
    name::{ProjectName, StepName, TargetName},
    release::{Request, TargetSnapshot},
};

pub use progress::Progress;
pub use step::StepRun;
pub use task::{Claim, Task, TaskState};

use crate::freeze::Place;

/// A fact that the rules exclude; the log is damaged or was written by a stranger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Impossible(pub String);

/// One deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The sequence of its `Requested`: its place in the lane.
    pub seq: u64,
    /// When it was requested, by the server's time.
    pub requested_at: DateTime<Utc>,
    /// What was requested.
    pub request: Request,
    /// The `traceparent` of the request.
    pub trace: Option<String>,
    /// The last sequence on its plan subject; what the next plan append expects.
    pub plan_head: u64,
    /// The plan and its steps, once planned.
    pub progress: Option<Progress>,
    /// When it took the lane.
    pub started_at: Option<DateTime<Utc>>,
    /// Since when it has given the lane back, if it has.
    pub yielded: Option<DateTime<Utc>>,
    /// The request to stop.
    pub cancel: Option<CancelRequest>,
    /// The request to start nothing new.
    pub pause: Option<CancelRequest>,
    /// How it ended.
    pub end: Option<End>,
    /// The impossible fact that stopped it.
    pub corrupt: Option<String>,
    /// The places of its targets in the request.
    targets: HashMap<TargetName, usize>,
    /// Its entries that found no room at their place of the log, or nothing to do.
    pub voids: Vec<u64>,
}

/// Somebody wants it to stop, or to pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: String,
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// In one word.
    pub outcome: Outcome,
    /// Why it did not succeed.
    pub reason: Option<String>,
    /// All problems, if it was rejected.
    pub problems: Vec<String>,
    /// The entry that ended it.
    pub seq: u64,
    /// When.
    pub at: DateTime<Utc>,
}

impl Deployment {
    /// A deployment as its first event makes it.
    pub fn requested(recorded: &Recorded, request: Request) -> Self {
        let targets = request.targets.iter().enumerate().map(|(i, target)| (target.name.clone(), i)).collect();
        Self {
            targets,
            seq: recorded.seq,
            requested_at: recorded.at,
            request,
            trace: recorded.entry.trace().map(str::to_owned),
            plan_head: recorded.seq,
            progress: None,
            started_at: None,
            yielded: None,
            cancel: None,
            pause: None,
            end: None,
            corrupt: None,
            voids: Vec::new(),
        }
    }

    /// Its id.
    pub fn id(&self) -> DeploymentId {
        self.request.id
    }

    /// A target as it was when the deployment was requested; none for pseudo-targets.
    pub fn target(&self, name: &TargetName) -> Option<&TargetSnapshot> {
        self.targets.get(name).map(|i| &self.request.targets[*i])
    }

    /// What a freeze can be about.
    pub(crate) fn place(&self) -> Place<'_> {
        let ignored = self.request.ignores.as_ref().map_or([].as_slice(), |ignores| &ignores.freezes);
        Place { project: self.project(), environment: &self.request.environment, ignored }
    }

    /// Its project.
    pub fn project(&self) -> &ProjectName {
        self.request.project()
    }

    /// Whether steps may run: it has its lane, and neither ended nor stopped as corrupt.
    pub fn is_running(&self) -> bool {
        self.holds_lane() && self.end.is_none() && self.corrupt.is_none()
    }

    /// Whether it took the lane of its environment and did not give it back.
    pub fn holds_lane(&self) -> bool {
        self.started_at.is_some() && self.yielded.is_none()
    }

    /// Takes in an event of the plan subject that needs nothing but this deployment. `Started` and
    /// `Granted` take something shared and are [`crate::State`]'s.
    pub(crate) fn apply_plan(
        &mut self,
        (seq, at): (u64, DateTime<Utc>),
        actor: &Actor,
        event: &PlanEvent,
    ) -> Result<(), Impossible> {
        match (event, actor) {
            (PlanEvent::Planned { plan, digest }, Actor::Planner { .. }) if self.progress.is_none() => {
                let mut progress = Progress::new((**plan).clone(), digest.clone());
                if let Some(retries) = &self.request.retries {
                    progress.mark_done(retries);
                }
                self.progress = Some(progress);
            }
            (PlanEvent::Rejected { problems }, Actor::Planner { .. }) if self.progress.is_none() => {
                let reason = problems.first().cloned();
                self.end = Some(End { outcome: Outcome::Rejected, reason, problems: problems.clone(), seq, at });
            }
            (PlanEvent::RetryScheduled { task, not_before }, Actor::Planner { .. }) => {
                self.change_task(task, |task| task.schedule_retry(*not_before))?;
            }
            (PlanEvent::StepSkipped { step, target, reason }, Actor::Planner { .. }) => {
                let (progress, i) = self.step_mut(step)?;
                if target.is_none() {
                    progress.steps[i].rollout.left_out(at);
                }
                progress.skip(i, target.as_ref(), reason);
            }
            (PlanEvent::RestoreScheduled { step, targets, reason }, Actor::Planner { .. }) => {
                let (progress, i) = self.step_mut(step)?;
                progress.restore(i, targets, reason);
            }
            (PlanEvent::Paused { reason }, Actor::Person { .. }) => {
                self.pause = Some(CancelRequest { by: actor.clone(), reason: reason.clone() });
            }
            (PlanEvent::Resumed, Actor::Person { .. }) => self.pause = None,
            (PlanEvent::Told { task, fail }, Actor::Person { .. }) => {
                self.change_task(task, |task| task.tell(*fail))?;
            }
            (PlanEvent::CancelRequested { reason }, _) => {
                if self.cancel.is_none() {
                    self.cancel = Some(CancelRequest { by: actor.clone(), reason: reason.clone() });
                    self.progress.iter_mut().for_each(Progress::give_up);
                }
            }
            (PlanEvent::Finished { outcome, reason }, Actor::Planner { .. }) => {
                self.end = Some(End { outcome: *outcome, reason: reason.clone(), problems: Vec::new(), seq, at });
            }
            (event, actor) => {
                return Err(Impossible(format!(
                    "{actor} wrote `{}` at a point where it can not follow",
                    name_of(event)
                )));
            }
        }
        Ok(())
    }

    fn step_mut(&mut self, step: &StepName) -> Result<(&mut Progress, usize), Impossible> {
        let progress = self.progress.as_mut().ok_or_else(|| Impossible(format!("{step} appeared before the plan")))?;
        let i = progress.position(step).ok_or_else(|| unknown_step(step))?;
        Ok((progress, i))
    }

    /// Changes a task, and with it what is counted over its step's tasks.
    pub(crate) fn change_task<T>(
        &mut self,
        key: &TaskKey,
        change: impl FnOnce(&mut Task) -> T,
    ) -> Result<T, Impossible> {
        let missing = || Impossible(format!("task {key} is not part of the plan"));
        let (progress, i) = self.step_mut(&key.step)?;
        progress.change(i, &key.target, change).ok_or_else(missing)
    }

    /// Attempts that a step's tasks have.
    pub(crate) fn attempts(&self, i: usize) -> u32 {
        let step = self.progress.as_ref().map(|p| &p.plan.steps[i].step);
        step.and_then(|s| s.retry.as_ref()).map_or(1, |r| r.attempts.max(1))
    }
}

fn unknown_step(step: &StepName) -> Impossible {
    Impossible(format!("step `{step}` is not part of the plan"))
}

fn name_of(event: &PlanEvent) -> String {
    serde_json::to_value(event).ok().and_then(|v| v["event"].as_str().map(str::to_owned)).unwrap_or_default()
}
