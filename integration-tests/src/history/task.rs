//! One task as the facts of its own subject tell it.

use chrono::{DateTime, Utc};
use slipway_domain::{
    event::{Actor, FailureKind, TaskEvent, Verdict},
    name::HolderName,
};
use uuid::Uuid;

use super::Rule;

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing happened, or only grants without room.
    Pending,
    /// It may be claimed.
    Granted,
    /// It is held.
    Held,
    /// Its attempt failed and another one may follow.
    Again { not_before: Option<DateTime<Utc>> },
    /// It failed, and a person is asked.
    Asking,
    /// It is over and fine, or left out, or ignored.
    Good,
    /// It is over and counts against its step.
    Bad,
}

/// A claim and what became of it.
#[derive(Debug, Clone)]
pub struct Claim {
    pub epoch: u64,
    pub attempt: u32,
    pub at: DateTime<Utc>,
    pub holder: HolderName,
    pub boot: Uuid,
    /// The task was to be stopped before it was claimed.
    pub stop: bool,
    /// When it ended, and whether the holder itself said so.
    pub over: Option<(DateTime<Utc>, bool)>,
}

/// One task.
#[derive(Debug, Clone)]
pub struct Task {
    pub place: Place,
    /// Why its last grant had no room.
    pub denied: Option<(Rule, String)>,
    pub claims: Vec<Claim>,
    /// It was let start.
    pub began: bool,
    /// Ends that were `Failed`.
    pub failures: u32,
    pub succeeded: bool,
    /// The holder, or the next one, was told to stop.
    pub stop: bool,
    /// A holder was lost.
    pub adopt: bool,
    /// What it did is taken back.
    pub restoring: bool,
    /// Taking it back failed for good.
    pub lost: bool,
}

/// What a step makes of failures.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub attempts: u32,
    pub asks: bool,
}

impl Task {
    pub fn new() -> Self {
        Self {
            place: Place::Pending,
            denied: None,
            claims: Vec::new(),
            began: false,
            failures: 0,
            succeeded: false,
            stop: false,
            adopt: false,
            restoring: false,
            lost: false,
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self.place, Place::Good | Place::Bad)
    }

    pub fn takes_slot(&self) -> bool {
        matches!(self.place, Place::Granted | Place::Held)
    }

    pub fn grant(&mut self) {
        self.place = Place::Granted;
        self.began = true;
        (self.stop, self.adopt, self.denied) = (false, self.restoring, None);
    }

    /// Left out where it has not begun; given up where it had failed.
    pub fn skip(&mut self) {
        match self.place {
            _ if self.restoring => {}
            Place::Pending => self.place = Place::Good,
            Place::Again { .. } | Place::Asking => self.place = Place::Bad,
            _ => {}
        }
    }

    /// What it did is to be taken back, if it did something.
    pub fn restore(&mut self, at: DateTime<Utc>) {
        if self.succeeded && self.place == Place::Good {
            self.place = Place::Again { not_before: Some(at) };
            (self.restoring, self.succeeded, self.failures) = (true, false, 0);
        }
    }

    pub fn guide(&mut self, at: DateTime<Utc>, verdict: Verdict) {
        if self.place == Place::Asking {
            self.place = match verdict {
                Verdict::Retry => Place::Again { not_before: Some(at) },
                Verdict::Ignore | Verdict::Exclude => Place::Good,
                Verdict::Approve | Verdict::Reject => Place::Bad,
            };
        }
    }

    /// Takes in an event of its subject; what is wrong with it.
    pub fn take(
        &mut self,
        (seq, at): (u64, DateTime<Utc>),
        actor: &Actor,
        event: &TaskEvent,
        patience: Patience,
    ) -> Result<(), (Rule, String)> {
        match event {
            TaskEvent::Claimed { holder, boot, attempt, .. } => {
                self.claimed((seq, at), actor, (holder, *boot, *attempt))
            }
            TaskEvent::LeaseExpired { .. } => {
                self.end(at, false)?;
                self.place = Place::Granted;
                self.adopt = true;
                Ok(())
            }
            TaskEvent::CancelIssued => self.cancel(),
            TaskEvent::Checkpoint { .. } => self.held_by(actor).map(drop),
            TaskEvent::Told { .. } if self.place == Place::Held => Ok(()),
            TaskEvent::Told { .. } => Err((Rule::EndsOnce, format!("it was told something while {:?}", self.place))),
            TaskEvent::Failed { .. } if matches!(actor, Actor::Planner { .. }) && self.place == Place::Granted => {
                self.lost = self.restoring;
                self.place = last(patience.asks && !self.stop && !self.restoring);
                Ok(())
            }
            TaskEvent::Failed { cause } => {
                let by_planner = matches!(actor, Actor::Planner { .. });
                if !by_planner {
                    self.held_by(actor)?;
                }
                self.end(at, !by_planner)?;
                self.failures += 1;
                let again = matches!(cause.kind, FailureKind::Step | FailureKind::TimedOut);
                let patience = match self.restoring {
                    true => Patience { attempts: patience.attempts.max(3), asks: false },
                    false => patience,
                };
                self.lost = self.restoring && !(again && self.failures < patience.attempts);
                self.place = if self.stop {
                    Place::Bad
                } else if again && self.failures < patience.attempts {
                    Place::Again { not_before: None }
                } else {
                    last(patience.asks)
                };
                Ok(())
            }
            TaskEvent::Succeeded { .. } => {
                self.held_by(actor)?;
                self.end(at, true)?;
                if self.restoring {
                    self.place = Place::Bad;
                } else {
                    (self.place, self.succeeded) = (Place::Good, true);
                }
                Ok(())
            }
            TaskEvent::Cancelled | TaskEvent::Unknown { .. } => {
                self.held_by(actor)?;
                self.end(at, true)?;
                self.place = Place::Bad;
                Ok(())
            }
        }
    }

    fn claimed(
        &mut self,
        (seq, at): (u64, DateTime<Utc>),
        actor: &Actor,
        (holder, boot, attempt): (&HolderName, Uuid, u32),
    ) -> Result<(), (Rule, String)> {
        let before = self.place;
        let expected = self.claims.last().map_or(1, |claim| claim.attempt + 1);
        self.claims.push(Claim { epoch: seq, attempt, at, holder: holder.clone(), boot, stop: self.stop, over: None });
        self.place = Place::Held;
        if !is(actor, holder, boot) {
            return Err((Rule::OneHolder, format!("{actor} claimed in the name of {holder}")));
        }
        match before {
            Place::Granted if attempt == expected => Ok(()),
            Place::Granted => Err((Rule::EndsOnce, format!("attempt {attempt} follows {}", expected - 1))),
            Place::Held => Err((Rule::OneHolder, "it was claimed while another one held it".to_owned())),
            Place::Good | Place::Bad => Err((Rule::EndsOnce, "it was claimed after its end".to_owned())),
            _ => Err(self.denied.clone().unwrap_or((Rule::Order, "it was claimed without a grant".to_owned()))),
        }
    }

    fn cancel(&mut self) -> Result<(), (Rule, String)> {
        match self.place {
            Place::Held => self.stop = true,
            Place::Granted if self.adopt => self.stop = true,
            Place::Granted => self.place = Place::Bad,
            place => return Err((Rule::EndsOnce, format!("it was told to stop while {place:?}"))),
        }
        Ok(())
    }

    fn held_by(&self, actor: &Actor) -> Result<(), (Rule, String)> {
        match self.claims.last() {
            Some(claim) if is(actor, &claim.holder, claim.boot) => Ok(()),
            _ => Err((Rule::Fenced, format!("{actor} wrote to it and does not hold it"))),
        }
    }

    fn end(&mut self, at: DateTime<Utc>, by_holder: bool) -> Result<(), (Rule, String)> {
        let before = std::mem::replace(&mut self.place, Place::Bad);
        if let Some(claim) = self.claims.last_mut() {
            claim.over.get_or_insert((at, by_holder));
        }
        match before {
            Place::Held => Ok(()),
            _ => Err((Rule::EndsOnce, format!("an attempt ended while the task was {before:?}"))),
        }
    }
}

fn last(asks: bool) -> Place {
    if asks { Place::Asking } else { Place::Bad }
}

fn is(actor: &Actor, holder: &HolderName, boot: Uuid) -> bool {
    matches!(actor, Actor::Holder { name, boot: its } if name == holder && *its == boot)
}
