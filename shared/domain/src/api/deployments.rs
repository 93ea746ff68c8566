//! Deployments: asked for, listed, shown, followed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{
    api::{GateView, Preview},
    event::{Actor, Outcome},
    id::{DeploymentId, TaskKey},
    image::ImageRef,
    name::{EnvironmentName, FreezeName, HolderName, PackageName, ProjectName, StepName, TargetName},
    order::Outputs,
    plan::Plan,
    release::LeftOutTarget,
};

/// `POST /api/v1/deployments`, with an optional `Idempotency-Key` header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateDeployment {
    /// The project.
    pub project: ProjectName,
    /// The release's version.
    pub version: String,
    /// Where to.
    pub environment: EnvironmentName,
    /// Steps to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<StepName>,
    /// Start no earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Ask a person about failed tasks, also where project and environment do not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guided_failure: bool,
    /// Start in spite of freezes that the person may ignore, for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_freeze: Option<String>,
    /// Values of variables that have a `prompt`, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Only to these targets of the environment; to all without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetName>,
    /// The plan that was looked at, as `POST /api/v1/plans` answered: refused if it is not the plan any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<Preview>>,
}

impl CreateDeployment {
    /// A deployment without options.
    pub fn new(project: ProjectName, version: impl Into<String>, environment: EnvironmentName) -> Self {
        Self {
            project,
            version: version.into(),
            environment,
            skip: Vec::new(),
            at: None,
            guided_failure: false,
            ignore_freeze: None,
            variables: BTreeMap::new(),
            targets: Vec::new(),
            plan: None,
        }
    }
}

/// 202: the deployment is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The deployment.
    pub id: DeploymentId,
    /// Its place in the log; pass as `?at_least=` to read your own write.
    pub seq: u64,
}

/// 202 for a new deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedDeployment {
    /// The deployment, and its place in the log.
    #[serde(flatten)]
    pub accepted: Accepted,
    /// The freeze that keeps it from starting now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<HoldingFreeze>,
}

/// A freeze that keeps a deployment from starting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldingFreeze {
    /// Its name.
    pub name: FreezeName,
    /// When nothing freezes the deployment any more; none if that is not in sight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// Where a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// In the log, not planned yet.
    Requested,
    /// Planned; an earlier deployment holds the environment.
    Queued,
    /// Steps run, or may.
    Running,
    /// Nothing can run before a person decides.
    WaitingForPerson,
    /// Somebody paused it: what runs goes on, nothing new starts.
    Paused,
    /// Somebody cancelled; what runs is being ended.
    Cancelling,
    /// Over; see outcome.
    Finished,
}

impl Status {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::WaitingForPerson => "waiting-for-person",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Finished => "finished",
        }
    }
}

/// A deployment in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentSummary {
    /// Its id.
    pub id: DeploymentId,
    /// The sequence of its `Requested`.
    pub seq: u64,
    /// Its project.
    pub project: ProjectName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// The release's version.
    pub version: String,
    /// Where it is.
    pub status: Status,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asked.
    pub requested_by: Actor,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// When it took the lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
}

/// A deployment with its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentView {
    /// What the list has.
    #[serde(flatten)]
    pub summary: DeploymentSummary,
    /// The sequence that this view was folded up to.
    pub at_seq: u64,
    /// The images.
    pub packages: BTreeMap<PackageName, ImageRef>,
    /// The values that were given with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Targets that could not be deployed to when it was asked for, and so are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutTarget>,
    /// The plan's digest, once planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<String>,
    /// All problems, if it was rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// The steps in plan order.
    pub steps: Vec<StepView>,
}

/// One step of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// Its name.
    pub name: StepName,
    /// Its kind.
    pub kind: String,
    /// The step that it is a child of; children follow each other on each target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<StepName>,
    /// What it needs.
    pub needs: Vec<StepName>,
    /// Its layer in the drawing.
    pub rank: u32,
    /// Its tasks; those of a step that has children are theirs.
    pub tasks: Vec<TaskView>,
    /// Its gate, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateView>,
    /// Why it was left out, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskStatus {
    /// Waits for what it needs, for its window or for a slot.
    Pending,
    /// Failed, will be tried again.
    RetryScheduled,
    /// Failed; a person is asked whether to retry, ignore, exclude its target, or leave it failed.
    NeedsGuidance,
    /// May be claimed.
    Granted,
    /// A holder works on it.
    Running,
    /// It had succeeded, and its old container is being brought back.
    Restoring,
    /// Done.
    Succeeded,
    /// Not done.
    Failed,
    /// Failed, and a person said to go on all the same.
    Ignored,
    /// Left out.
    Skipped,
    /// Stopped.
    Cancelled,
    /// Nobody can tell.
    Unknown,
}

impl TaskStatus {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::RetryScheduled => "retry-scheduled",
            Self::NeedsGuidance => "needs-guidance",
            Self::Ignored => "ignored",
            Self::Granted => "granted",
            Self::Running => "running",
            Self::Restoring => "restoring",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// Where it runs.
    pub target: TargetName,
    /// Where it is.
    pub status: TaskStatus,
    /// The newest attempt; 0 before the first.
    pub attempt: u32,
    /// Who holds it or held it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<HolderName>,
    /// When the newest attempt was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it failed or was skipped, or what is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The last lines it printed, if it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
    /// What it gave to later steps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: Outputs,
    /// What people are or were asked about its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<GateView>,
}

/// `GET /api/v1/deployments/{id}/plan`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    /// Its digest.
    pub digest: String,
    /// The plan.
    pub plan: Plan,
}

/// `POST /api/v1/deployments/{id}/cancel` and `…/pause`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of `POST /api/v1/deployments/{id}/steps/{step}/go`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Go {
    /// The target on which it goes on, if the step holds on several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
    /// It shall end as failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fail: bool,
}

/// One line of `…/logs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its place in the log stream.
    pub seq: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// The step.
    pub step: StepName,
    /// The target.
    pub target: TargetName,
    /// The attempt.
    pub attempt: u32,
    /// `out` or `err` of the container, or `slipway` for what the executor says.
    pub stream: String,
    /// The text, masked, without a line end.
    pub text: String,
}

/// One event of `…/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Its sequence; also the SSE id.
    pub seq: u64,
    /// The server's time.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: Actor,
    /// In words, such as `web@web-01 claimed by executor exec-1 (attempt 1)`.
    pub text: String,
    /// The events as the log has them.
    pub events: serde_json::Value,
    /// `plan`, `task` or `gate`.
    pub family: String,
    /// The task, for tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskKey>,
    /// The gate's step, for gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<StepName>,
}
