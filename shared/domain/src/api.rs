//! Bodies of the HTTP API, `/api/v1/…`, and of its errors. The CLI, the web page and other
//! people's programs read these.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    event::{Actor, Outcome, Verdict},
    id::{DeploymentId, TaskKey},
    image::ImageRef,
    manifest::{Kind, parse::Problem as TextProblem},
    name::{
        ChannelName, EnvironmentName, HolderName, PackageName, PersonName, ProjectName, SecretName, StepName,
        TargetName, TeamName,
    },
    order::Outputs,
    plan::Plan,
};

/// An error answer, RFC 9457, media type `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// `https://slipway.dev/errors/<code>`; the page is docs/errors/<code>.md.
    #[serde(rename = "type")]
    pub kind: String,
    /// Stable word, such as `unknown-project`.
    pub code: String,
    /// HTTP status.
    pub status: u16,
    /// The code in a few words.
    pub title: String,
    /// What failed, why, what to do.
    pub detail: String,
    /// All problems of the input, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<TextProblem>,
    /// Trace to look for, when the server is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// `POST /api/v1/apply`: several manifests at once, all or nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// The manifests, as JSON of [`crate::manifest::Manifest`].
    pub manifests: Vec<serde_json::Value>,
    /// Only tell the difference.
    #[serde(default)]
    pub dry_run: bool,
}

/// The answer to [`ApplyRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplyAnswer {
    /// One per manifest.
    pub changes: Vec<Change>,
    /// Whether it was only a look.
    pub dry_run: bool,
}

/// What applying does to one manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What happens.
    pub action: ChangeAction,
    /// The keys that differ, such as `steps.web.docker-run.env.GREETING: "a" -> "b"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

/// What applying does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeAction {
    /// It is new.
    Create,
    /// It differs.
    Update,
    /// It is the same.
    Unchanged,
}

/// `POST /api/v1/projects/{project}/releases`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRelease {
    /// Tags by package; the newest that the channel takes, for those not named.
    #[serde(default)]
    pub packages: BTreeMap<PackageName, String>,
    /// The channel; the project's first without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
    /// The release's version; the tag of the first package without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A release as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Its project.
    pub project: ProjectName,
    /// Its version.
    pub version: String,
    /// Its channel.
    pub channel: ChannelName,
    /// Its images.
    pub packages: BTreeMap<PackageName, ImageRef>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who or what made it.
    pub created_by: Actor,
}

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
}

impl CreateDeployment {
    /// A deployment without options.
    pub fn new(project: ProjectName, version: impl Into<String>, environment: EnvironmentName) -> Self {
        Self { project, version: version.into(), environment, skip: Vec::new(), at: None, guided_failure: false }
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
    /// What it needs.
    pub needs: Vec<StepName>,
    /// Its layer in the drawing.
    pub rank: u32,
    /// Its tasks.
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

/// One thing of `GET /api/v1/deployments/{id}/why` that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The step; none if it is the deployment as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepName>,
    /// The target; none if it is the step as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
    /// What for.
    #[serde(flatten)]
    pub reason: WaitingReason,
}

/// What something waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "waits-for", rename_all = "kebab-case")]
pub enum WaitingReason {
    /// A planner's next decision; longer than a moment only when no planner runs.
    Planner,
    /// Another deployment to leave the environment.
    Lane {
        /// Which one.
        held_by: DeploymentId,
    },
    /// Its scheduled start.
    Scheduled {
        /// When.
        at: DateTime<Utc>,
    },
    /// Somebody to resume it.
    Paused {
        /// Who paused it.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// Other steps to end.
    Needs {
        /// Which.
        steps: Vec<StepName>,
    },
    /// People.
    People {
        /// Of these teams; anyone's who may deploy if empty.
        teams: Vec<TeamName>,
        /// The opening that their votes name.
        opened: u64,
        /// When it counts as rejected.
        expires: DateTime<Utc>,
    },
    /// A place in the step's rolling window.
    Window,
    /// A slot of its target.
    TargetBusy {
        /// How many tasks may run there.
        limit: u32,
    },
    /// Its next attempt.
    Retry {
        /// When.
        at: DateTime<Utc>,
        /// Why the last one failed.
        failure: String,
    },
    /// An executor to claim it.
    Executor {
        /// Since when it may be claimed.
        since: DateTime<Utc>,
    },
    /// An executor to claim it, and none serves the target.
    TargetAbsent {
        /// Since when it may be claimed.
        since: DateTime<Utc>,
    },
    /// Its end: it is being done.
    Running {
        /// By whom.
        holder: HolderName,
        /// The attempt.
        attempt: u32,
        /// Since when.
        since: DateTime<Utc>,
    },
    /// Somebody to repair it: its history has an impossible entry.
    Corrupt {
        /// Which.
        fact: String,
    },
}

/// One gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateView {
    /// Whose votes count; anyone's if empty.
    pub teams: Vec<TeamName>,
    /// How many approvals it takes.
    pub votes_needed: u32,
    /// What to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// The sequence of `Opened`, while or after it was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<u64>,
    /// When it counts as rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
    /// The votes that count.
    pub votes: Vec<VoteView>,
    /// The result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Verdict>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VoteView {
    /// Who.
    pub person: PersonName,
    /// What.
    pub verdict: Verdict,
    /// In their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// `GET /api/v1/deployments/{id}/plan`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    /// Its digest.
    pub digest: String,
    /// The plan.
    pub plan: Plan,
}

/// `POST /api/v1/deployments/{id}/gates/{step}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CastVote {
    /// Yes or no.
    pub verdict: Verdict,
    /// In your words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The digest of the plan that you looked at; the current one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The target whose failed task is meant; none at an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
}

/// `POST /api/v1/deployments/{id}/cancel` and `…/pause`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `GET /api/v1/board`: projects by environments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Board {
    /// The environments, in lifecycle order.
    pub environments: Vec<EnvironmentName>,
    /// One row per project.
    pub projects: Vec<BoardRow>,
}

/// One project of the board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoardRow {
    /// The project.
    pub project: ProjectName,
    /// Its newest release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_release: Option<String>,
    /// By environment; absent where nothing was ever deployed.
    pub cells: BTreeMap<EnvironmentName, BoardCell>,
}

/// One project in one environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BoardCell {
    /// The last deployment that succeeded: what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<DeploymentSummary>,
    /// The newest deployment, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<DeploymentSummary>,
    /// The gates of the newest deployment that wait for a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<StepName>,
    /// Every deployment that is not over, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<Unfinished>,
    /// What the current release runs as: one per target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerView>,
}

/// A deployment that is not over, with what it asks people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unfinished {
    /// What the list has.
    #[serde(flatten)]
    pub summary: DeploymentSummary,
    /// The gates that wait for a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<StepName>,
    /// The failed tasks that wait for a person to say what to do with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks_about: Vec<TaskKey>,
}

impl Unfinished {
    /// Whether it waits for a person.
    pub fn waits(&self) -> bool {
        !self.waiting_for.is_empty() || !self.asks_about.is_empty()
    }
}

/// A container that a deployment left running.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerView {
    /// The step.
    pub step: StepName,
    /// The target.
    pub target: TargetName,
    /// Its name.
    pub name: String,
    /// Published ports: container port to host port, such as `80` to `8081`.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// The image's digest.
    pub digest: String,
}

/// A target with who serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetView {
    /// Its name.
    pub name: TargetName,
    /// Its environments.
    pub environments: Vec<EnvironmentName>,
    /// Its roles.
    pub roles: Vec<String>,
    /// Its Docker endpoint.
    pub docker: String,
    /// The executors that serve it now; empty: absent.
    pub executors: Vec<HolderName>,
}

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretView {
    /// Its name.
    pub name: SecretName,
    /// Its newest version.
    pub version: u32,
    /// When that was set.
    pub set_at: DateTime<Utc>,
}

/// `PUT /api/v1/secrets/{name}`
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// The value.
    pub value: String,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Look.
    Read,
    /// Look, make releases, deploy, vote, cancel.
    Deploy,
    /// All of it, and manifests, secrets and tokens.
    Admin,
}

/// `POST /api/v1/tokens`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Whose.
    pub person: PersonName,
    /// Also make the person a member of this team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamName>,
    /// What it may do.
    #[serde(default = "deploy_right")]
    pub right: Right,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
}

fn deploy_right() -> Right {
    Right::Deploy
}

/// A token, told once.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreatedToken {
    /// What the list has.
    #[serde(flatten)]
    pub view: TokenView,
    /// The token itself; only its hash is kept.
    pub token: String,
}

/// A token, without itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its id, to revoke it by.
    pub id: String,
    /// Whose.
    pub person: PersonName,
    /// What it may do.
    pub right: Right,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
}

/// `POST /api/v1/webhooks/{name}/token`: the URL path with its token, told once; the one before stops working.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreatedWebhookToken {
    /// `/hooks/<source>/<token>`
    pub path: String,
}

/// What became of a webhook delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PushView {
    /// Its place in the inbox.
    pub seq: u64,
    /// When it arrived.
    pub at: DateTime<Utc>,
    /// The Webhook manifest that it came in by.
    pub webhook: String,
    /// One per image that it spoke of.
    pub images: Vec<PushedImage>,
    /// Whether all of it was dealt with.
    pub done: bool,
}

/// One image that a webhook spoke of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PushedImage {
    /// Registry host, as the sender called it.
    pub registry: String,
    /// Repository.
    pub repository: String,
    /// Tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether it was left alone.
    pub ignored: bool,
    /// Why it was left alone, or what was made of it.
    pub reason: String,
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

/// One entry of the audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: Actor,
    /// Such as `apply`, `release.create`, `deployment.request`, `gate.vote`, `secret.set`, `token.create`.
    pub action: String,
    /// On what.
    pub subject: String,
    /// Details, without secrets.
    pub detail: String,
}

/// `GET /api/v1/whoami`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhoAmI {
    /// The person.
    pub person: PersonName,
    /// What the token may do.
    pub right: Right,
    /// The teams.
    pub teams: Vec<TeamName>,
}
