//! What deployments share is admitted here: the lane of an environment, the places of a window, the
//! slots of a target. `decide` asks before it writes, `apply` asks again at the entry's own place in the log.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use slipway_domain::{
    id::{DeploymentId, TaskKey},
    manifest::Queue,
    name::TargetName,
    release::RULES_VERSION,
};

use super::{Full, State, lane};
use crate::{
    deployment::{Deployment, Progress, TaskState, rollout::Held},
    freeze::Hold,
    ready::{self, Readiness},
    yielding::wants_lane,
};

/// Why a deployment may not start now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Waits {
    /// It is not planned, or past its start.
    #[error("it is not planned, or started already")]
    Planner,
    /// A person paused it.
    #[error("it is paused")]
    Paused,
    /// Its time has not come.
    #[error("its time has not come")]
    Scheduled {
        /// When it comes.
        at: DateTime<Utc>,
    },
    /// Another one has the lane, or gets it first.
    #[error("deployment {held_by} has the lane")]
    Lane {
        /// Which one.
        held_by: DeploymentId,
    },
    /// People are asked before it wants its lane again.
    #[error("people have not decided")]
    Gate,
    /// It is frozen.
    #[error("freeze {} holds it", _0.freeze)]
    Frozen(Hold),
    /// The planner knew less than the log.
    #[error("what holds for all had changed")]
    Stale,
    /// As many run as may.
    #[error("as many run as may: {0:?}")]
    Full(Full),
    /// There is room, and others take it first.
    #[error("it is the turn of others")]
    Turn,
}

/// Why a task may not be granted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It did not start, or it is over.
    #[error("the deployment is not running")]
    NotRunning,
    /// A person paused it.
    #[error("the deployment is paused")]
    Paused,
    /// There is no such task.
    #[error("the task is not part of the plan")]
    NotPlanned,
    /// What it waits for has not ended, its gate is not open, or its pause is not over.
    #[error("its time has not come")]
    NotNow,
    /// It was granted already.
    #[error("it was granted already")]
    Granted,
    /// The rolling window is full.
    #[error("the rolling window is full")]
    Window,
    /// Another part of its step has to end before on the same target; its place in the plan.
    #[error("its turn in the series on its target has not come")]
    Series(usize),
    /// Its turn among the step's targets has not come.
    #[error("its turn among the step's targets has not come")]
    Rollout(Held),
    /// All slots of its target are taken.
    #[error("its target runs {limit} tasks already")]
    Busy {
        /// The target's parallelism.
        limit: u32,
    },
}

impl State {
    /// The unfinished deployment that holds a lane or gets it next: one that started, else the first
    /// whose time has come. What ignores freezes passes those that wait for them.
    fn first_in_lane(&self, deployment: &Deployment, now: DateTime<Utc>) -> Option<DeploymentId> {
        let lane = self.lanes.get(&lane(deployment))?;
        let holder = self.in_order(lane).find(|d| d.holds_lane());
        let passes = || Some(deployment).filter(|d| d.request.ignores.is_some() && is_due(d, now));
        holder.or_else(passes).or_else(|| self.due_of(lane, now).next()).map(Deployment::id)
    }

    /// The deployments of a lane whose time has come.
    pub(super) fn due_of<'a>(
        &'a self,
        lane: &'a VecDeque<DeploymentId>,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = &'a Deployment> {
        self.in_order(lane).filter(move |d| is_due(d, now) && (d.yielded.is_none() || wants_lane(d)))
    }

    fn in_order<'a>(&'a self, lane: &'a VecDeque<DeploymentId>) -> impl Iterator<Item = &'a Deployment> {
        lane.iter().filter_map(|id| self.deployments.get(id))
    }

    /// The newer deployment that takes the place of a queued one, where only the latest counts.
    pub fn superseded_by(&self, deployment: &Deployment) -> Option<DeploymentId> {
        if deployment.request.queue != Queue::LatestOnly || deployment.holds_lane() {
            return None;
        }
        let lane = self.lanes.get(&lane(deployment))?;
        let newer = lane.iter().skip_while(|id| **id != deployment.id()).skip(1);
        newer.copied().filter(|id| self.get(*id).is_some_and(|d| d.progress.is_some() && d.cancel.is_none())).last()
    }

    /// Whether a planned deployment may take its lane at this time, and its turn has come.
    pub fn may_start(&self, deployment: &Deployment, now: DateTime<Utc>) -> Result<(), Waits> {
        self.is_next(deployment, now)?;
        // What is cancelled goes on only to come to its end.
        if deployment.cancel.is_none()
            && let Some(hold) = self.frozen(deployment, now)
        {
            return Err(Waits::Frozen(hold));
        }
        self.admits(deployment, now)?;
        if self.has_turn(deployment, now) { Ok(()) } else { Err(Waits::Turn) }
    }

    /// What a start is held to at its own place in the log.
    pub(super) fn admits(&self, deployment: &Deployment, now: DateTime<Utc>) -> Result<(), Waits> {
        self.is_next(deployment, now)?;
        self.full(deployment).map_or(Ok(()), |full| Err(Waits::Full(full)))
    }

    /// Whether it would start if its lane were the only question.
    fn is_next(&self, deployment: &Deployment, now: DateTime<Utc>) -> Result<(), Waits> {
        let ready = deployment.progress.is_some()
            && !deployment.holds_lane()
            && deployment.end.is_none()
            && deployment.corrupt.is_none()
            && deployment.request.rules_version == RULES_VERSION;
        if !ready {
            return Err(Waits::Planner);
        }
        if deployment.pause.is_some() {
            return Err(Waits::Paused);
        }
        if deployment.yielded.is_some() && !wants_lane(deployment) {
            return Err(Waits::Gate);
        }
        match (self.first_in_lane(deployment, now), deployment.request.not_before) {
            (Some(first), _) if first == deployment.id() => Ok(()),
            (_, Some(at)) if at > now => Err(Waits::Scheduled { at }),
            (Some(held_by), _) => Err(Waits::Lane { held_by }),
            (None, _) => Err(Waits::Planner),
        }
    }

    /// Whether a task may be granted now. `places` and `slots` are grants of the same message that
    /// come before it: in its step, and on its target.
    pub fn may_grant(
        &self,
        deployment: &Deployment,
        key: &TaskKey,
        now: DateTime<Utc>,
        places: usize,
        slots: u32,
    ) -> Result<(), Denied> {
        let progress = deployment.progress.as_ref().filter(|_| deployment.is_running()).ok_or(Denied::NotRunning)?;
        if deployment.pause.is_some() {
            return Err(Denied::Paused);
        }
        let i = progress.position(&key.step).ok_or(Denied::NotPlanned)?;
        let task = progress.task(key).ok_or(Denied::NotPlanned)?;
        let run = &progress.steps[i];
        let Some(place) = run.position(&key.target) else {
            return if ready::may_announce(progress, i) { Ok(()) } else { Err(Denied::NotNow) };
        };
        // What is taken back is taken back whatever became of the deployment.
        if task.restoring.is_some() {
            match task.state {
                TaskState::ToRestore => {}
                TaskState::RetryAt(at, _) if at <= now => {}
                TaskState::RetryAt(..) => return Err(Denied::NotNow),
                _ => return Err(Denied::Granted),
            }
            in_reverse(progress, i, place)?;
            return self.slot(deployment, &key.target, slots);
        }
        match ready::readiness_on(deployment, progress, i, place) {
            Readiness::Run => {}
            Readiness::Waiting => return Err(waits_for(progress, i, place)),
            Readiness::Skip(_) => return Err(Denied::NotNow),
        }
        match task.state {
            TaskState::Pending => may_begin(progress, i, place, now, places)?,
            TaskState::RetryAt(at, _) if at <= now => {}
            TaskState::RetryAt(..) => return Err(Denied::NotNow),
            _ => return Err(Denied::Granted),
        }
        self.slot(deployment, &key.target, slots)
    }

    /// Whether a target has a slot beside those that are taken, and `more` that are about to be.
    fn slot(&self, deployment: &Deployment, target: &TargetName, more: u32) -> Result<(), Denied> {
        match ready::slots(deployment, target) {
            Some(limit) if self.taken(target) + more >= limit => Err(Denied::Busy { limit }),
            _ => Ok(()),
        }
    }
}

/// Whether the step may begin on a target now. A series holds the target's place in the window from its first grant to
/// its end, so its later parts ask for none.
fn may_begin(progress: &Progress, i: usize, place: usize, now: DateTime<Utc>, places: usize) -> Result<(), Denied> {
    let step = match progress.whole(i) {
        Some(whole) if progress.has_begun(whole, place) => return Ok(()),
        Some(whole) => whole,
        None => i,
    };
    let run = &progress.steps[step];
    match run.rollout.holds(place, &run.counts, now) {
        None if ready::has_room(progress, step, places) => Ok(()),
        None => Err(Denied::Window),
        Some(held) => Err(Denied::Rollout(held)),
    }
}

/// What a part of a step waits for on a target; of any other step, what it needs.
fn waits_for(progress: &Progress, i: usize, place: usize) -> Denied {
    let Some(whole) = progress.whole(i) else { return Denied::NotNow };
    let mut earlier = progress.series(whole, place).take_while(|(part, _)| *part < i);
    earlier.find(|(_, task)| !task.is_over()).map_or(Denied::NotNow, |(part, _)| Denied::Series(part))
}

/// A series is taken back from its end.
fn in_reverse(progress: &Progress, i: usize, place: usize) -> Result<(), Denied> {
    let Some(whole) = progress.whole(i) else { return Ok(()) };
    let mut later = progress.series(whole, place).filter(|(part, task)| *part > i && !task.is_over());
    later.next().map_or(Ok(()), |(part, _)| Err(Denied::Series(part)))
}

/// Whether its time has come.
fn is_due(deployment: &Deployment, now: DateTime<Utc>) -> bool {
    deployment.request.not_before.is_none_or(|at| at <= now)
}
