//! The order in which a step goes over its targets: the canary first, people, then the others; and
//! when what it did is taken back.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    duration::Span,
    event::Verdict,
    manifest::{Action, Approval, OnFailure, Step},
};

use super::step::Counts;
use crate::gate::{Gate, GateState};

/// How a step goes over its targets, and how far that is.
#[derive(Debug, Clone, Default)]
pub struct Rollout {
    /// So many of the first targets go before the others.
    pub canaries: usize,
    /// The gate between them, if people look.
    pub look: Option<Gate>,
    /// When the last of its tasks ended.
    pub last_end: Option<DateTime<Utc>>,
    /// The deployment was cancelled before it was through, and what it did shall not stay.
    pub given_up: bool,
    /// Targets did not start in time.
    pub overdue: bool,
    /// When its first target was let start.
    pub began: Option<DateTime<Utc>>,
    deadline: Option<Span>,
    pause: Option<TimeDelta>,
    /// What it does can be taken back.
    can_restore: bool,
    /// So many failures are tolerated; more, and what the others did is taken back.
    restores_above: Option<usize>,
}

/// Why a target may not start yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The canary has not ended well.
    Canary,
    /// People have not said yes.
    Look,
    /// It is too late.
    Deadline,
    /// The pause after another target's end is not over.
    Pause(DateTime<Utc>),
}

impl Rollout {
    /// Of a step that makes this of its targets, and that can take back what it does there or not.
    pub(crate) fn new(step: &Step, targets: usize, can_restore: bool) -> Self {
        let Some(rolling) = &step.rolling else { return Self::default() };
        let restores = rolling.on_failure == OnFailure::Restore;
        Self {
            canaries: rolling.canaries(targets),
            look: rolling.look(targets).map(|_| Gate::new()),
            last_end: None,
            given_up: false,
            overdue: false,
            began: None,
            deadline: rolling.deadline,
            pause: rolling.pause.map(crate::decide::delta),
            can_restore,
            restores_above: restores.then_some(rolling.max_failures as usize),
        }
    }

    /// What keeps the target at this place from starting, if anything does.
    pub fn holds(&self, place: usize, counts: &Counts, now: DateTime<Utc>) -> Option<Held> {
        if place >= self.canaries && self.canaries > 0 {
            if counts.canaries_over < self.canaries || counts.canaries_bad > 0 {
                return Some(Held::Canary);
            }
            let approved = |gate: &Gate| matches!(gate.state, GateState::Decided { verdict: Verdict::Approve, .. });
            if self.look.as_ref().is_some_and(|gate| !approved(gate)) {
                return Some(Held::Look);
            }
        }
        if self.is_late(now) {
            return Some(Held::Deadline);
        }
        self.paused_until().filter(|until| *until > now).map(Held::Pause)
    }

    /// When the pause after the last end is over.
    pub fn paused_until(&self) -> Option<DateTime<Utc>> {
        Some(self.last_end? + self.pause?)
    }

    /// After when no further target starts. The time that people take does not count.
    pub fn late_after(&self) -> Option<DateTime<Utc>> {
        let deadline = self.deadline?;
        let asked = self.look.as_ref().is_some_and(|gate| matches!(gate.state, GateState::Open { .. }));
        let votes = self.look.iter().flat_map(|gate| gate.votes.values());
        let since = votes.map(|vote| vote.at).max().max(self.began).filter(|_| !asked)?;
        Some(since + crate::decide::delta(deadline))
    }

    fn is_late(&self, now: DateTime<Utc>) -> bool {
        self.late_after().is_some_and(|end| now > end)
    }

    /// Some of its targets are left out. Counts as failed if that is because it is late.
    pub(crate) fn left_out(&mut self, now: DateTime<Utc>) {
        self.overdue |= self.is_late(now);
    }

    /// Whether people may look now: the canary has ended well.
    pub fn may_look(&self, counts: &Counts) -> bool {
        self.look.is_some() && counts.canaries_over == self.canaries && counts.canaries_bad == 0
    }

    /// Why people did not want the others to follow.
    pub fn rejection(&self) -> Option<&str> {
        match self.look.as_ref().map(|gate| &gate.state) {
            Some(GateState::Decided { verdict: Verdict::Reject, reason, .. }) => Some(reason),
            _ => None,
        }
    }

    /// Why no further target starts, though the step has some.
    pub fn stopped(&self, counts: &Counts, tolerated: usize, now: DateTime<Utc>) -> Option<String> {
        if let Some(reason) = self.rejection() {
            return Some(format!("the canary was not approved: {reason}"));
        }
        if counts.canaries_bad > 0 {
            return Some("the canary failed".to_owned());
        }
        if let (true, Some(deadline)) = (self.is_late(now), self.deadline) {
            return Some(format!("it did not start within the step's deadline of {deadline}"));
        }
        (counts.bad > tolerated).then(|| format!("{} targets failed before it", counts.bad))
    }

    /// Whether what the step did is to be taken back.
    pub fn takes_back(&self, counts: &Counts) -> bool {
        let too_many = |tolerated: usize| counts.bad > tolerated || counts.canaries_bad > 0;
        let unwanted = self.can_restore && (self.rejection().is_some() || self.restores_above.is_some_and(too_many));
        unwanted || self.given_up || (self.can_restore && self.overdue && self.restores_above.is_some())
    }

    /// The deployment is to stop: a canary that people still look at shall not stay, nor what a step did that
    /// takes back what it can not finish.
    pub(crate) fn give_up(&mut self) {
        let asked = self.look.as_ref().is_some_and(|gate| matches!(gate.state, GateState::Open { .. }));
        self.given_up = self.can_restore && (asked || self.restores_above.is_some());
    }

    /// Whether the old container of the target at this place may still be needed after the new one is good.
    pub fn may_take_back(&self, place: usize) -> bool {
        self.can_restore && (self.restores_above.is_some() || (self.look.is_some() && place < self.canaries))
    }

    /// The look was approved in an earlier deployment.
    pub(crate) fn approved_before(&mut self) {
        self.look = None;
    }
}

/// What a step asks of people: an approval as a whole, or a look at the canary.
pub fn approval(step: &Step, targets: usize) -> Option<&Approval> {
    match &step.action {
        Action::Approval(approval) => Some(approval),
        _ => step.rolling.as_ref()?.look(targets),
    }
}
