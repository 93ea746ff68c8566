//! Steps of a process. A step has exactly one kind, written as a key: `docker-run: {…}`, or `steps: […]` of its own.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DockerJob, DockerNetwork, DockerPull, DockerRun, Http, Rolling, Script, When};
use crate::{
    duration::Span,
    name::{PackageName, RoleName, StepName, TeamName},
};

/// One step of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "StepFields", into = "StepFields")]
pub struct Step {
    /// Its name, unique in the process.
    pub name: StepName,
    /// The steps that must have ended before; none: it starts at once.
    pub needs: Vec<StepName>,
    /// Where it runs; on the pseudo-target of its kind without.
    pub targets: Option<TargetSelector>,
    /// How many targets at a time.
    pub rolling: Option<Rolling>,
    /// What a failure is answered with.
    pub retry: Option<Retry>,
    /// How long one attempt may take.
    pub timeout: Option<Span>,
    /// Whether it runs at all.
    pub when: When,
    /// Whether nobody may skip it.
    pub required: bool,
    /// What it does.
    pub action: Action,
}

/// What a step does. Texts are templates.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Replace a container.
    DockerRun(Box<DockerRun>),
    /// Run a container to its end.
    DockerJob(Box<DockerJob>),
    /// Run a script in a container.
    Script(Script),
    /// Have images ready.
    DockerPull(DockerPull),
    /// Have a network ready.
    DockerNetwork(DockerNetwork),
    /// Migrate a database.
    Sql(Sql),
    /// Call something over HTTP.
    Http(Http),
    /// Ask people.
    Approval(Approval),
    /// Post to Slack.
    Slack(Slack),
    /// Pause.
    Wait(Span),
    /// Hold until a person says go on, to rehearse a recovery.
    Demo(Demo),
    /// Nothing itself: these steps, one after the other on each target.
    Steps(Vec<Step>),
}

/// The step kinds, as written.
pub const KINDS: [&str; 11] = [
    "docker-run",
    "docker-job",
    "script",
    "docker-pull",
    "docker-network",
    "sql",
    "http",
    "approval",
    "slack",
    "wait",
    "demo",
];

impl Action {
    /// The kind, as written.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::DockerRun(_) => "docker-run",
            Self::DockerJob(_) => "docker-job",
            Self::Script(_) => "script",
            Self::DockerPull(_) => "docker-pull",
            Self::DockerNetwork(_) => "docker-network",
            Self::Sql(_) => "sql",
            Self::Http(_) => "http",
            Self::Approval(_) => "approval",
            Self::Slack(_) => "slack",
            Self::Wait(_) => "wait",
            Self::Demo(_) => "demo",
            Self::Steps(_) => "steps",
        }
    }
}

/// The form in which a step is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct StepFields {
    name: StepName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    needs: Vec<StepName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    targets: Option<TargetSelector>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rolling: Option<Rolling>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<Retry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Span>,
    #[serde(default, skip_serializing_if = "When::is_default")]
    when: When,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    docker_run: Option<Box<DockerRun>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    docker_job: Option<Box<DockerJob>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    script: Option<Script>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    docker_pull: Option<DockerPull>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    docker_network: Option<DockerNetwork>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sql: Option<Sql>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<Http>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<Approval>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slack: Option<Slack>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wait: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    demo: Option<Demo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<Step>>,
}

impl TryFrom<StepFields> for Step {
    type Error = String;

    fn try_from(f: StepFields) -> Result<Self, String> {
        let mut actions: Vec<Action> = [
            f.docker_run.map(Action::DockerRun),
            f.docker_job.map(Action::DockerJob),
            f.script.map(Action::Script),
            f.docker_pull.map(Action::DockerPull),
            f.docker_network.map(Action::DockerNetwork),
            f.sql.map(Action::Sql),
            f.http.map(Action::Http),
            f.approval.map(Action::Approval),
            f.slack.map(Action::Slack),
            f.wait.map(Action::Wait),
            f.demo.map(Action::Demo),
            f.steps.map(Action::Steps),
        ]
        .into_iter()
        .flatten()
        .collect();
        let action = match (actions.pop(), actions.is_empty()) {
            (Some(action), true) => action,
            (None, _) => {
                return Err(format!("step `{}` does nothing: give it one of {}, or `steps`", f.name, KINDS.join(", ")));
            }
            (Some(last), false) => {
                let kinds: Vec<_> = actions.iter().chain([&last]).map(Action::kind).collect();
                return Err(format!(
                    "step `{}` has {} kinds ({}): make each a step of its own",
                    f.name,
                    kinds.len(),
                    kinds.join(", ")
                ));
            }
        };
        Ok(Self {
            name: f.name,
            needs: f.needs,
            targets: f.targets,
            rolling: f.rolling,
            retry: f.retry,
            timeout: f.timeout,
            when: f.when,
            required: f.required,
            action,
        })
    }
}

impl From<Step> for StepFields {
    fn from(step: Step) -> Self {
        let mut fields = Self {
            name: step.name,
            needs: step.needs,
            targets: step.targets,
            rolling: step.rolling,
            retry: step.retry,
            timeout: step.timeout,
            when: step.when,
            required: step.required,
            docker_run: None,
            docker_job: None,
            script: None,
            docker_pull: None,
            docker_network: None,
            sql: None,
            http: None,
            approval: None,
            slack: None,
            wait: None,
            demo: None,
            steps: None,
        };
        match step.action {
            Action::DockerRun(a) => fields.docker_run = Some(a),
            Action::DockerJob(a) => fields.docker_job = Some(a),
            Action::Script(a) => fields.script = Some(a),
            Action::DockerPull(a) => fields.docker_pull = Some(a),
            Action::DockerNetwork(a) => fields.docker_network = Some(a),
            Action::Sql(a) => fields.sql = Some(a),
            Action::Http(a) => fields.http = Some(a),
            Action::Approval(a) => fields.approval = Some(a),
            Action::Slack(a) => fields.slack = Some(a),
            Action::Wait(a) => fields.wait = Some(a),
            Action::Demo(a) => fields.demo = Some(a),
            Action::Steps(a) => fields.steps = Some(a),
        }
        fields
    }
}

impl Step {
    /// The steps that it consists of, in the order in which they follow each other on a target; none if it has a kind.
    pub fn children(&self) -> &[Self] {
        match &self.action {
            Action::Steps(steps) => steps,
            _ => &[],
        }
    }
}

/// All steps of a process: each, and after it those that it consists of.
pub fn with_children(steps: &[Step]) -> impl Iterator<Item = &Step> + Clone {
    steps.iter().flat_map(|step| std::iter::once(step).chain(step.children()))
}

/// Which targets of the environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetSelector {
    /// Those with this role.
    pub role: RoleName,
}

/// What a failed attempt is answered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Pause before the second attempt; doubles with each further one, up to 5 minutes.
    #[serde(default = "default_backoff")]
    pub backoff: Span,
}

fn default_backoff() -> Span {
    Span::secs(1)
}

/// File name to SQL text. Applied in the order of their names.
pub type SqlFiles = BTreeMap<String, String>;

/// Bring a database to the newest migration. Either `package` and `path`, or `files`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// `postgres://…` or `sqlite://…`.
    pub database: String,
    /// The image that carries the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// The folder in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The files themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<SqlFiles>,
}

/// Wait for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Whose votes count; anyone's who may deploy if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<TeamName>,
    /// How many approvals it takes.
    #[serde(default = "one_vote")]
    pub votes: u32,
    /// After this time without a decision it counts as rejected.
    #[serde(default = "default_gate_timeout")]
    pub timeout: Span,
    /// What to look at before voting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Slack channel to ask in, with buttons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<String>,
    /// Whoever asked for the deployment has no vote.
    #[serde(default, rename = "exclude-requester", skip_serializing_if = "std::ops::Not::not")]
    pub exclude_requester: bool,
    /// Whether the next deployment of the lane has to wait while people are asked.
    #[serde(default = "blocks", skip_serializing_if = "Clone::clone")]
    pub blocks: bool,
}

fn blocks() -> bool {
    true
}

fn one_vote() -> u32 {
    1
}

fn default_gate_timeout() -> Span {
    Span::secs(24 * 3600)
}

/// Post to Slack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// Channel name or id.
    pub channel: String,
    /// The message.
    pub text: String,
}

/// Hold until a person says go on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Demo {
    /// What is to be tried meanwhile, for whoever reads the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
