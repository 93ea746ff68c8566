//! One task: a step on one target. A state machine over the events of its own subject.

use chrono::{DateTime, Utc};
use slipway_domain::{
    event::{Actor, Failure, FailureKind, TaskEvent, Verdict},
    name::{HolderName, TargetName},
    order::Outputs,
};
use uuid::Uuid;

use super::Impossible;
use crate::gate::Gate;

/// Lost leases after which a task counts as killing its holders.
pub const MAX_LOST: u32 = 5;

/// Attempts to bring an old container back, at least.
const RESTORE_ATTEMPTS: u32 = 3;

/// One task.
#[derive(Debug, Clone)]
pub struct Task {
    /// Where it runs.
    pub target: TargetName,
    /// The last sequence on its subject; what the next append expects.
    pub head: u64,
    /// Where it is.
    pub state: TaskState,
    /// Claims so far; the number of the newest attempt.
    pub attempt: u32,
    /// Attempts that failed.
    pub failures: u32,
    /// Leases that were lost.
    pub lost: u32,
    /// Who holds it or held it last.
    pub holder: Option<HolderName>,
    /// When the newest attempt was claimed.
    pub claimed_at: Option<DateTime<Utc>>,
    /// When the newest attempt ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The gate at which people say what to do after it failed.
    pub guidance: Gate,
    /// Why what it did is being taken back, once that was decided.
    pub restoring: Option<String>,
    /// An earlier deployment did it; there is nothing of this one to take back.
    pub inherited: bool,
    /// What a person told a `demo` step.
    pub told: Option<Told>,
}

/// What a person told a `demo` step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// It shall end as failed.
    pub fail: bool,
    /// The holder knows.
    pub passed_on: bool,
}

/// What the rules of a step make of a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AfterFailure {
    /// Attempts in all.
    pub attempts: u32,
    /// Whether a person is asked after the last one.
    pub guided: bool,
}

/// Where a task is.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskState {
    /// Never granted.
    Pending,
    /// It succeeded, and what it did shall be taken back.
    ToRestore,
    /// Failed; may be granted again from then on.
    RetryAt(DateTime<Utc>, Failure),
    /// May be claimed.
    Granted {
        /// Since when: the grant, or the end of the lost lease.
        since: DateTime<Utc>,
        /// A lost holder may have left something behind.
        adopt: bool,
        /// Only to be cleaned up.
        stop: bool,
    },
    /// Held.
    Running {
        /// By whom.
        claim: Claim,
        /// The holder was told to stop.
        cancelling: bool,
    },
    /// Failed, and the rules allow another attempt, which is not scheduled yet.
    FailedAttempt(Failure),
    /// Failed; a person is asked what to do.
    Asking(Failure),
    /// Done.
    Succeeded(Outputs),
    /// Not done, and that is final.
    Failed(Failure),
    /// Left out.
    Skipped(String),
    /// Failed, and a person said to go on as if it had not.
    Ignored(Failure),
    /// Stopped.
    Cancelled,
    /// Nobody can tell whether its effect happened.
    Unknown(String),
}

/// A claim that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The fencing token: the sequence of the `Claimed`.
    pub epoch: u64,
    /// Who.
    pub holder: HolderName,
    /// In which boot.
    pub boot: Uuid,
    /// What secrets are sealed to.
    pub key: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Task {
    pub(crate) fn new(target: TargetName) -> Self {
        Self {
            target,
            head: 0,
            state: TaskState::Pending,
            attempt: 0,
            failures: 0,
            lost: 0,
            holder: None,
            claimed_at: None,
            ended_at: None,
            guidance: Gate::new(),
            restoring: None,
            inherited: false,
            told: None,
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_over(&self) -> bool {
        use TaskState::{Cancelled, Failed, Ignored, Skipped, Succeeded, Unknown};
        matches!(self.state, Succeeded(_) | Failed(_) | Skipped(_) | Ignored(_) | Cancelled | Unknown(_))
    }

    /// Whether it takes a slot of its target.
    pub fn takes_slot(&self) -> bool {
        matches!(self.state, TaskState::Granted { .. } | TaskState::Running { .. })
    }

    /// Whether it takes a place of its step's window: it began and is not over.
    pub fn takes_place(&self) -> bool {
        !self.is_over() && self.state != TaskState::Pending
    }

    /// Whether it was ever granted.
    pub fn has_begun(&self) -> bool {
        self.takes_place() || self.head > 0
    }

    /// Whether it counts against its step.
    pub fn is_bad(&self) -> bool {
        matches!(self.state, TaskState::Failed(_) | TaskState::Unknown(_) | TaskState::Cancelled)
    }

    pub(crate) fn grant(&mut self, at: DateTime<Utc>) {
        // What is taken back is there already, from an earlier claim.
        self.state = TaskState::Granted { since: at, adopt: self.restoring.is_some(), stop: false };
    }

    /// Whether there is something of it to take back.
    pub fn can_be_restored(&self) -> bool {
        matches!(self.state, TaskState::Succeeded(_)) && !self.inherited
    }

    pub(crate) fn restore(&mut self, reason: &str) {
        if self.can_be_restored() {
            self.state = TaskState::ToRestore;
            self.restoring = Some(reason.to_owned());
            self.failures = 0;
        }
    }

    pub(crate) fn schedule_retry(&mut self, not_before: DateTime<Utc>) {
        if let TaskState::FailedAttempt(failure) = &self.state {
            self.state = TaskState::RetryAt(not_before, failure.clone());
        }
    }

    /// A person told it how to end; it holds until this attempt has ended.
    pub(crate) fn tell(&mut self, fail: bool) {
        if self.takes_slot() {
            self.told = Some(Told { fail, passed_on: false });
        }
    }

    /// Leaves it out if it was never granted; a failed attempt becomes the final one.
    pub(crate) fn skip(&mut self, reason: &str) {
        match &self.state {
            _ if self.restoring.is_some() => {}
            TaskState::Pending => self.state = TaskState::Skipped(reason.to_owned()),
            TaskState::FailedAttempt(failure) | TaskState::RetryAt(_, failure) | TaskState::Asking(failure) => {
                self.state = TaskState::Failed(failure.clone());
            }
            _ => {}
        }
    }

    /// As [`Task::skip`], in a series that began and is cut short: what was to follow counts as stopped.
    pub(crate) fn cut_short(&mut self, reason: &str) {
        match self.state {
            TaskState::Pending => self.state = TaskState::Cancelled,
            _ => self.skip(reason),
        }
    }

    /// An earlier deployment did it.
    pub(crate) fn done_before(&mut self, outputs: &Outputs) {
        self.state = TaskState::Succeeded(outputs.clone());
        self.inherited = true;
    }

    /// A person said what to do with the failed task.
    pub(crate) fn guide(&mut self, at: DateTime<Utc>, verdict: Verdict, reason: &str) {
        let TaskState::Asking(failure) = &self.state else { return };
        self.state = match verdict {
            Verdict::Retry => TaskState::RetryAt(at, failure.clone()),
            Verdict::Ignore => TaskState::Ignored(failure.clone()),
            Verdict::Exclude => TaskState::Skipped(format!("its target is excluded: {reason}")),
            Verdict::Approve | Verdict::Reject => TaskState::Failed(failure.clone()),
        };
    }

    /// Takes in an event of the task's own subject.
    pub(crate) fn apply(
        &mut self,
        seq: u64,
        at: DateTime<Utc>,
        actor: &Actor,
        event: &TaskEvent,
        rules: AfterFailure,
    ) -> Result<(), Impossible> {
        use TaskState::{Cancelled, FailedAttempt, Granted, Running, Succeeded, Unknown};
        let by_holder = matches!(actor, Actor::Holder { .. });
        let rules = match self.restoring {
            Some(_) => AfterFailure { attempts: rules.attempts.max(RESTORE_ATTEMPTS), guided: false },
            None => rules,
        };
        let next = match (&self.state, event) {
            (Granted { .. }, TaskEvent::Claimed { holder, boot, attempt, key }) if by_holder => {
                self.attempt = *attempt;
                self.holder = Some(holder.clone());
                self.claimed_at = Some(at);
                self.ended_at = None;
                self.told = self.told.map(|told| Told { passed_on: false, ..told });
                let claim = Claim { epoch: seq, holder: holder.clone(), boot: *boot, key: key.clone(), at };
                let cancelling = matches!(self.state, Granted { stop: true, .. });
                Running { claim, cancelling }
            }
            (Running { claim, .. }, TaskEvent::Checkpoint { .. }) if holds(claim, actor) => self.state.clone(),
            (Running { claim, .. }, TaskEvent::Succeeded { outputs }) if holds(claim, actor) => match &self.restoring {
                Some(reason) => TaskState::Failed(Failure::step(format!("taken back: {reason}"))),
                None => Succeeded(outputs.clone()),
            },
            (Running { claim, .. }, TaskEvent::Cancelled) if holds(claim, actor) => Cancelled,
            (Running { claim, .. }, TaskEvent::Unknown { reason }) if holds(claim, actor) => Unknown(reason.clone()),
            (Running { claim, cancelling }, TaskEvent::Failed { cause }) if !by_holder || holds(claim, actor) => {
                self.failures += 1;
                if *cancelling {
                    TaskState::Failed(cause.clone())
                } else if self.failures < rules.attempts && may_retry(cause.kind) {
                    FailedAttempt(cause.clone())
                } else {
                    last_failure(rules, cause)
                }
            }
            (Granted { stop: false, .. }, TaskEvent::Failed { cause }) if !by_holder => last_failure(rules, cause),
            (Granted { stop: true, .. }, TaskEvent::Failed { cause }) if !by_holder => TaskState::Failed(cause.clone()),
            (Running { .. }, TaskEvent::Told { fail }) if !by_holder => {
                self.told = Some(Told { fail: *fail, passed_on: true });
                self.state.clone()
            }
            (Running { claim, .. }, TaskEvent::CancelIssued) if !by_holder => {
                Running { claim: claim.clone(), cancelling: true }
            }
            (Granted { since, adopt: true, .. }, TaskEvent::CancelIssued) if !by_holder => {
                Granted { since: *since, adopt: true, stop: true }
            }
            (Granted { adopt: false, .. }, TaskEvent::CancelIssued) if !by_holder => Cancelled,
            (Running { cancelling, .. }, TaskEvent::LeaseExpired { .. }) if !by_holder => {
                self.lost += 1;
                Granted { since: at, adopt: true, stop: *cancelling }
            }
            (state, event) => {
                return Err(Impossible(format!("{actor} wrote {event:?} on a task that is {}", word(state))));
            }
        };
        self.state = next;
        self.head = seq;
        if !self.takes_slot() {
            self.told = None;
        }
        if self.is_over() || matches!(self.state, FailedAttempt(_) | TaskState::Asking(_)) {
            self.ended_at = Some(at);
        }
        Ok(())
    }
}

fn last_failure(rules: AfterFailure, cause: &Failure) -> TaskState {
    if rules.guided { TaskState::Asking(cause.clone()) } else { TaskState::Failed(cause.clone()) }
}

fn holds(claim: &Claim, actor: &Actor) -> bool {
    matches!(actor, Actor::Holder { name, boot } if *name == claim.holder && *boot == claim.boot)
}

fn may_retry(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Step | FailureKind::TimedOut)
}

fn word(state: &TaskState) -> &'static str {
    match state {
        TaskState::Pending => "pending",
        TaskState::ToRestore => "to be taken back",
        TaskState::RetryAt(..) => "waiting for its retry",
        TaskState::Granted { .. } => "granted",
        TaskState::Running { .. } => "running",
        TaskState::FailedAttempt(_) | TaskState::Failed(_) => "failed",
        TaskState::Asking(_) => "failed and waits for guidance",
        TaskState::Ignored(_) => "failed and ignored",
        TaskState::Succeeded(_) => "succeeded",
        TaskState::Skipped(_) => "skipped",
        TaskState::Cancelled => "cancelled",
        TaskState::Unknown(_) => "unknown",
    }
}
