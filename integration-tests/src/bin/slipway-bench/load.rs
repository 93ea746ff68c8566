//! Projects made of steps that do nothing, their deployments, and what the log says of them.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use slipway_domain::{
    api::{Accepted, DeploymentView, Status},
    event::{Address, Entry, Outcome, PlanEvent, Recorded, TaskEvent},
    id::{DeploymentId, TaskKey},
};
use slipway_integration_tests::{
    otlp::Collector,
    stack::{Stack, Wanted},
    wait,
};

/// The environment without targets.
pub const NARROW: &str = "narrow";
/// The environment with the targets of [`targets`].
pub const WIDE: &str = "wide";
/// The environment with few of them.
pub const FEW: &str = "few";
/// Their role.
const ROLE: &str = "bench";
/// Bytes of manifests in one request.
const MOST_AT_ONCE: usize = 250_000;
/// Requests that are under way at a time.
const REQUESTS: usize = 16;
/// Long enough for a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A stack whose executors simulate, with traces going to a collector that is part of the load generator.
pub async fn stack(more: Wanted, slots: usize) -> Result<Stack> {
    let (_, collector) = Collector::start().await?;
    let variables = [
        ("SLIPWAY_SIMULATE", "true"),
        ("SLIPWAY_SIMULATE_DURATION", "0s..0s"),
        ("SLIPWAY_SLOTS", &slots.to_string()),
        ("SLIPWAY_LOG", "warn"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let stack = Stack::start_with(Wanted { variables: variables.into_iter().chain(more.variables).collect(), ..more });
    let stack = stack.await?;
    let environments =
        [NARROW, WIDE, FEW, "big"].map(|name| format!("kind: Environment\nname: {name}\n---\n")).concat();
    let phase = format!("{{name: All, environments: [{NARROW}, {WIDE}, {FEW}, big], required: optional}}");
    stack.apply(&format!("{environments}kind: Lifecycle\nname: short\nphases:\n  - {phase}\n")).await?;
    Ok(stack)
}

/// Names of so many targets.
pub fn target_names(targets: usize) -> Vec<String> {
    (1..=targets).map(|n| format!("t{n}")).collect()
}

/// So many targets of [`WIDE`]; the first `few` are also those of [`FEW`].
pub fn targets(targets: usize, few: usize) -> String {
    let target = |(n, name): (usize, String)| {
        let environments = if n < few { format!("{WIDE}, {FEW}") } else { WIDE.to_owned() };
        format!(
            "---\nkind: Target\nname: {name}\nenvironments: [{environments}]\nroles: [{ROLE}]\ndocker: unix:///nowhere.sock\n"
        )
    };
    target_names(targets).into_iter().enumerate().map(target).collect()
}

/// A project of steps that do nothing, each waiting for the one before.
pub fn chain(project: &str, steps: usize) -> String {
    paced_chain(project, steps, Duration::ZERO)
}

/// The same with steps that take so long.
pub fn paced_chain(project: &str, steps: usize, pace: Duration) -> String {
    let mut text = project_of(project);
    for n in 0..steps {
        let needs = if n > 0 { format!("needs: [step-{}], ", n - 1) } else { String::new() };
        let _ = writeln!(text, "  - {{name: step-{n}, {needs}wait: {}ms}}", pace.as_millis());
    }
    text
}

/// A project of one step on all targets at once, and one that waits for all of them.
pub fn fan(project: &str) -> String {
    paced_fan(project, Duration::ZERO)
}

/// The same with steps that take so long.
pub fn paced_fan(project: &str, pace: Duration) -> String {
    let all = format!("  - {{name: all, targets: {{role: {ROLE}}}, wait: {}ms}}\n", pace.as_millis());
    format!("{}{all}  - {{name: join, needs: [all], wait: 0s}}\n", project_of(project))
}

/// A project without its steps.
pub fn project_of(project: &str) -> String {
    format!("---\nkind: Project\nname: {project}\nlifecycle: short\nsteps:\n")
}

/// Applies manifests in parts that are as large as the API takes.
pub async fn apply(stack: &Stack, manifests: &str) -> Result<()> {
    let mut part = String::new();
    for document in manifests.split("---\n").filter(|document| !document.trim().is_empty()) {
        if part.len() + document.len() > MOST_AT_ONCE {
            stack.apply(&part).await?;
            part.clear();
        }
        part.push_str("---\n");
        part.push_str(document);
    }
    stack.apply(&part).await.map(drop)
}

/// Makes the release 1.0.0 of projects.
pub async fn release(stack: &Stack, projects: &[String]) -> Result<()> {
    let all = stream::iter(projects).map(|project| async move {
        let path = format!("/api/v1/projects/{project}/releases");
        stack.admin.post::<serde_json::Value>(&path, &serde_json::json!({ "version": "1.0.0" })).await.map(drop)
    });
    all.buffer_unordered(REQUESTS).try_collect().await
}

/// Requests one deployment of each project, which start at the same moment if one is named.
pub async fn request(
    stack: &Stack,
    projects: &[String],
    environment: &str,
    at: Option<DateTime<Utc>>,
) -> Result<Vec<DeploymentId>> {
    let all = stream::iter(projects).map(|project| async move {
        let body = serde_json::json!({ "project": project, "version": "1.0.0", "environment": environment, "at": at });
        anyhow::Ok(stack.admin.post::<Accepted>("/api/v1/deployments", &body).await?.id)
    });
    all.buffer_unordered(REQUESTS).try_collect().await
}

/// Deploys each project once, all at the same moment, and waits for their good end.
pub async fn deploy(
    stack: &Stack,
    projects: &[String],
    environment: &str,
    patience: Duration,
) -> Result<Vec<DeploymentId>> {
    let after = match projects.len() {
        1 => None,
        many => Some(Utc::now() + TimeDelta::milliseconds(1000 + 20 * many as i64)),
    };
    let ids = request(stack, projects, environment, after).await?;
    for id in &ids {
        over(stack, *id, patience).await?;
    }
    Ok(ids)
}

/// Waits for the good end of a deployment.
pub async fn over(stack: &Stack, id: DeploymentId, patience: Duration) -> Result<()> {
    let path = format!("/api/v1/deployments/{id}");
    let view = wait::until_within(patience, "a deployment is over", || async {
        let view: DeploymentView = stack.admin.get(&path).await?;
        ensure!(view.summary.status == Status::Finished, "{:?}", view.summary);
        Ok(view)
    });
    let summary = view.await.summary;
    ensure!(summary.outcome == Some(Outcome::Succeeded), "{summary:#?}");
    Ok(())
}

/// What the log says of some deployments, by the server's clock.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// From the first start to the last end.
    pub wall: Duration,
    /// Entries.
    pub entries: usize,
    /// Tasks that succeeded.
    pub steps: usize,
    /// From what a task waited for to its grant, sorted.
    pub to_grant: Vec<Duration>,
    /// From grants to claims, sorted.
    pub to_claim: Vec<Duration>,
    /// From claims to ends, sorted.
    pub to_end: Vec<Duration>,
}

impl Told {
    /// The three parts of a step.
    pub fn parts(&self) -> [&[Duration]; 3] {
        [&self.to_grant, &self.to_claim, &self.to_end]
    }
}

/// Reads what the log says of deployments. A task of a chain waits for the end of the one before it.
pub fn told(history: &[Recorded], of: &[DeploymentId]) -> Result<Told> {
    let mut told = Told::default();
    let (mut first, mut last) = (None, None);
    let mut ends: BTreeMap<DeploymentId, DateTime<Utc>> = BTreeMap::new();
    let mut reached: BTreeMap<(DeploymentId, TaskKey), DateTime<Utc>> = BTreeMap::new();
    for recorded in history.iter().filter(|recorded| of.contains(&recorded.address.deployment())) {
        told.entries += 1;
        let (id, at) = (recorded.address.deployment(), recorded.at);
        match (&recorded.address, &recorded.entry) {
            (_, Entry::Plan(envelope)) => {
                for event in &envelope.events {
                    match event {
                        PlanEvent::Started { .. } => drop(first.get_or_insert(at)),
                        PlanEvent::Finished { .. } => last = Some(at),
                        PlanEvent::Granted { tasks } => {
                            told.to_grant.extend(ends.get(&id).map(|end| since(*end, at)));
                            reached.extend(tasks.iter().map(|key| ((id, key.clone()), at)));
                        }
                        _ => {}
                    }
                }
            }
            (Address::Task(_, key), Entry::Task(envelope)) => {
                let before = reached.insert((id, key.clone()), at);
                let took = before.map(|before| since(before, at));
                for event in &envelope.events {
                    match event {
                        TaskEvent::Claimed { .. } => told.to_claim.extend(took),
                        TaskEvent::Succeeded { .. } => {
                            told.to_end.extend(took);
                            told.steps += 1;
                            ends.insert(id, at);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    told.wall = since(first.context("a start")?, last.context("an end")?);
    for times in [&mut told.to_grant, &mut told.to_claim, &mut told.to_end] {
        times.sort();
    }
    Ok(told)
}

fn since(before: DateTime<Utc>, after: DateTime<Utc>) -> Duration {
    (after - before).to_std().unwrap_or_default()
}

/// The value that so many of a hundred do not exceed.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get(sorted.len() * percent / 100).or(sorted.get(last)).copied().unwrap_or_default()
}

/// In milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
