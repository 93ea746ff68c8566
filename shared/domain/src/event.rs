//! What is written to the deployment log: envelopes of events, one family per kind of subject.
//!
//! The wire format is kept for ever: a field is added with a default or not at all, and every
//! released form stays among the golden files of the tests.

mod entry;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    id::TaskKey,
    name::{HolderName, PersonName, StepName, TargetName},
    order::Outputs,
    plan::Plan,
    policy::Policy,
    release::Request,
};

pub use entry::{Address, Entry, GateScope, Recorded};

/// Schema version of the envelopes that this code writes.
pub const SCHEMA: u16 = 1;

/// One message of the log: one decision, or one fact, as a vector of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope<E> {
    /// Identity of the write; the same on every retry.
    pub id: Uuid,
    /// Version of the format.
    pub schema: u16,
    /// The writer's clock. For people; folds use the server's time.
    pub at: DateTime<Utc>,
    /// Who wrote it.
    pub actor: Actor,
    /// W3C `traceparent` of the span that wrote it, if tracing was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// What happened; never empty.
    pub events: Vec<E>,
}

/// Who wrote an envelope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Actor {
    /// A person, through the API, the CLI or chat.
    Person {
        /// Who.
        name: PersonName,
        /// Through what: `api` or `slack`.
        via: String,
    },
    /// A planner.
    Planner {
        /// The planner's id.
        id: String,
    },
    /// An executor or the notifier.
    Holder {
        /// The holder's name.
        name: HolderName,
        /// The boot that it was in.
        boot: Uuid,
    },
    /// The release service, for a trigger or for an automatic phase.
    Trigger {
        /// What triggered it, such as `push` or `lifecycle`.
        name: String,
    },
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person { name, .. } => name.fmt(f),
            Self::Planner { id } => write!(f, "planner {id}"),
            Self::Holder { name, .. } => write!(f, "executor {name}"),
            Self::Trigger { name } => write!(f, "trigger {name}"),
        }
    }
}

/// Events on `deployment.<id>.plan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum PlanEvent {
    /// Somebody wants this deployment. Always the first. (release service)
    Requested {
        /// Everything it needs.
        request: Box<Request>,
    },
    /// What holds for all deployments from here on; alone, on the subject of [`DeploymentId::POLICY`].
    /// (release service)
    PolicySet {
        /// All of it.
        policy: Box<Policy>,
    },
    /// The request compiled. (planner)
    Planned {
        /// The frozen DAG.
        plan: Box<Plan>,
        /// The plan's digest.
        digest: String,
    },
    /// The request can not be planned; ends the deployment. (planner)
    Rejected {
        /// All problems at once.
        problems: Vec<String>,
    },
    /// It takes the lane of its environment. Void if the lane is not free. (planner)
    Started {
        /// The newest `PolicySet` that the planner knew, by which nothing froze the deployment; 0 if
        /// there was none. With a newer one before it in the log, it is void.
        #[serde(default, skip_serializing_if = "is_zero")]
        policy: u64,
    },
    /// It gives its lane back while people are asked at a gate that does not block; a further
    /// `Started` takes it again. Void if anything else of it goes on. (planner)
    Yielded,
    /// These tasks may run. A task without room is void, alone. (planner)
    Granted {
        /// The tasks.
        tasks: Vec<TaskKey>,
    },
    /// A failed task may be granted again, not before that time. (planner)
    RetryScheduled {
        /// The task.
        task: TaskKey,
        /// When, with the jitter drawn.
        not_before: DateTime<Utc>,
    },
    /// A step, or its part on one target, is left out. (planner)
    StepSkipped {
        /// The step.
        step: StepName,
        /// On this target only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<TargetName>,
        /// Why.
        reason: String,
    },
    /// The old containers of these targets shall come back. Void where the step is not to be taken back. (planner)
    RestoreScheduled {
        /// The step.
        step: StepName,
        /// The targets that have its new container.
        targets: Vec<TargetName>,
        /// Why.
        reason: String,
    },
    /// Somebody wants it to stop, or its time is over. (release service, planner)
    CancelRequested {
        /// Why.
        reason: String,
    },
    /// Nothing new shall start. (release service)
    Paused {
        /// Why.
        reason: String,
    },
    /// It goes on. (release service)
    Resumed,
    /// A `demo` step goes on: a person said so. (release service)
    Told {
        /// The task.
        task: TaskKey,
        /// It shall end as failed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fail: bool,
    },
    /// A person gives up a deployment that an impossible entry stopped; ends it. Void for any other. (release service)
    Abandoned {
        /// Why, and what was looked at.
        reason: String,
    },
    /// It is over. (planner)
    Finished {
        /// How it ended.
        outcome: Outcome,
        /// Why it did not succeed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How a deployment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every step that should run succeeded.
    Succeeded,
    /// A step failed, or a person rejected.
    Failed,
    /// A person stopped it.
    Cancelled,
    /// It could not be planned, or its environment's queue does not take it.
    Rejected,
    /// A newer deployment took its place in the queue before it started.
    Superseded,
}

impl Outcome {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Events on `deployment.<id>.task.<target>.<step>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum TaskEvent {
    /// A holder has the task; this message's sequence is the epoch. (holder)
    Claimed {
        /// Who.
        holder: HolderName,
        /// The holder's boot.
        boot: Uuid,
        /// The attempt that begins, from 1.
        attempt: u32,
        /// Public xkey that secrets for this claim are sealed to.
        key: String,
    },
    /// The holder still holds; written before an effect. (holder)
    Checkpoint {
        /// What it is about to do.
        intent: String,
    },
    /// Done. (holder)
    Succeeded {
        /// Values for later steps.
        #[serde(default)]
        outputs: Outputs,
    },
    /// Not done. (holder, or the planner for a time-out or a crash loop)
    Failed {
        /// Why.
        cause: Failure,
    },
    /// Nobody can tell whether a `once` effect happened. (holder)
    Unknown {
        /// What is not known.
        reason: String,
    },
    /// Stopped because the deployment was cancelled. (holder, or the planner if never claimed)
    Cancelled,
    /// The holder is gone; whatever it still does is void. (planner)
    LeaseExpired {
        /// How that is known.
        reason: String,
    },
    /// The holder shall stop. Ends a task that nobody claimed. (planner)
    CancelIssued,
    /// What a person told a `demo` step, passed on to its holder. (planner)
    Told {
        /// It shall end as failed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fail: bool,
    },
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable word for programs.
    pub kind: FailureKind,
    /// What failed, why, what to do.
    pub message: String,
    /// The last lines of what the step printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
}

impl Failure {
    /// A failure of the step itself.
    pub fn step(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Step, message: message.into(), tail: Vec::new() }
    }
}

/// Kinds of failure, for the rules of retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The step did not do what it should.
    Step,
    /// The order itself is wrong; retrying can not help.
    Order,
    /// The step's time-out passed.
    TimedOut,
    /// Too many holders died with it.
    CrashLoop,
}

/// Events on `deployment.<id>.gate.<step>.<scope>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum GateEvent {
    /// The gate waits for people; this message's sequence names the opening. (planner)
    Opened {
        /// What the votes are bound to.
        plan_digest: String,
        /// When it counts as rejected.
        expires: DateTime<Utc>,
    },
    /// A person's vote. (release service or notifier)
    Voted {
        /// The sequence of the `Opened` that it answers.
        opened: u64,
        /// The digest of the plan that the person saw.
        plan_digest: String,
        /// The person.
        person: PersonName,
        /// Yes or no.
        verdict: Verdict,
        /// In the person's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// The digest of what the person knew not to be as it was deployed; none: nothing. A vote of who knew of
        /// something else voids the approvals before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drift: Option<String>,
    },
    /// The votes, or the time, decided. (planner)
    Decided {
        /// The result.
        verdict: Verdict,
        /// Such as `approved by ana` or `nobody decided within 4h`.
        reason: String,
    },
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Go on.
    Approve,
    /// Do not. At a failed task: it stays failed.
    Reject,
    /// Try the failed task again.
    Retry,
    /// Go on as if the failed task had succeeded.
    Ignore,
    /// Go on without the failed task's target: its later tasks are left out.
    Exclude,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Retry => "retry",
            Self::Ignore => "ignore",
            Self::Exclude => "exclude",
        })
    }
}
