//! Processes die at named places, as by `kill -9`, and are started again, while deployments go on.
//! The places are the arrows of a task's life; see `failpoint!` in `slipway-service`.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use slipway_domain::{
    api::{DeploymentView, Status, TaskStatus},
    id::DeploymentId,
};

use crate::{
    chaos::{self, Plan, Simulate, story::Story},
    client::Client,
    history::{self, Figures, Journal, Violation},
    slack::{Button, LocalSlack},
    stack::{Stack, Wanted},
};

/// The variable that names the place.
pub const VARIABLE: &str = "SLIPWAY_FAILPOINT";

const LOOK_EVERY: Duration = Duration::from_millis(30);
const PATIENCE: Duration = Duration::from_secs(90);
/// A place that not every deployment comes by gets so many.
const TRIES: usize = 5;
/// More would only make the migrations longer.
const VERSIONS: usize = 4;
/// The second one has a canary that people look at.
const PROJECTS: usize = 2;

/// A place at which a process dies.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// The process.
    pub victim: &'static str,
    /// The place.
    pub name: &'static str,
    /// How often it dies there before it may go on.
    pub times: usize,
    /// What else happens, so that somebody comes by.
    pub way: Way,
}

/// What happens to the deployment meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is approved in the API.
    Approve,
    /// It is approved with a button in Slack.
    Press,
    /// It is cancelled while something of it runs.
    Cancel,
    /// Its executor is killed while something of it runs.
    Orphan,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Places at which nobody died, or not often enough, because nobody came by.
    pub missed: Vec<&'static str>,
    /// Deaths in all.
    pub deaths: usize,
    /// Promises that were broken, and what the log has of them.
    pub violations: Vec<(Violation, String)>,
    /// What the history has.
    pub figures: Figures,
}

/// Lets a deployment pass each of the places, one after the other on one stack, and judges the whole history.
pub async fn run(points: &[Point], simulate: Simulate) -> Result<Report> {
    let slack = LocalSlack::start().await?;
    let folder = tempfile::tempdir()?;
    let journal = folder.path().join("journal");
    let plan = Plan { deployments: VERSIONS * PROJECTS, projects: PROJECTS, ..Plan::quiet() };
    let wanted = Wanted { executors: 1, planners: 1, ..chaos::wanted(simulate, &slack, folder.path(), &journal)? };
    let mut stack = Stack::start_with(wanted).await?;
    let story = Story::prepare(&mut stack, plan, None).await?;
    let mut stage = Stage { story, slack, notifier: stack.url("notifier"), requested: 0 };
    let (mut missed, mut deaths) = (Vec::new(), 0);
    for point in points {
        let mut died = 0;
        for _ in 0..TRIES {
            if died < point.times {
                died += stage.pass(&mut stack, point, point.times - died).await?;
            }
        }
        deaths += died;
        if died < point.times {
            missed.push(point.name);
        }
    }
    let (history, journal) = (history::read(&stack).await?, Journal::read(&journal)?);
    let told = |violation: Violation| {
        let told = history::told(&history, &journal, violation.deployment);
        (violation, told)
    };
    let violations = history::check(&history, &journal).into_iter().map(told).collect();
    Ok(Report { missed, deaths, violations, figures: history::figures(&history, &journal) })
}

struct Stage {
    story: Story,
    slack: LocalSlack,
    notifier: String,
    requested: usize,
}

impl Stage {
    /// Sees one deployment through while the victim dies at the place up to so many times; how often it did.
    async fn pass(&mut self, stack: &mut Stack, point: &Point, times: usize) -> Result<usize> {
        arm(stack, point.victim, Some(point.name)).await?;
        let n = self.requested;
        self.requested += 1;
        let runs = AtomicBool::new(false);
        let people = self.people(n, point.way, &runs);
        tokio::pin!(people);
        let (mut died, mut orphaned, end) = (0, false, Instant::now() + PATIENCE);
        loop {
            tokio::select! {
                over = &mut people => {
                    over?;
                    break;
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            ensure!(Instant::now() < end, "{} is never over\n{}", point.name, stack.tails());
            died += usize::from(revive(stack, point, died + 1 < times)?);
            if point.way == Way::Orphan && !orphaned && runs.load(Ordering::SeqCst) {
                orphaned = true;
                stack.kill("executor-1").await?;
                stack.restart("executor-1")?;
            }
        }
        // Its last step may have been beyond what people see.
        died += usize::from(revive(stack, point, false)?);
        arm(stack, point.victim, None).await?;
        stack.service_ready(point.victim).await;
        Ok(died)
    }

    async fn people(&self, n: usize, way: Way, runs: &AtomicBool) -> Result<()> {
        let id = self.story.request_version(n, (n / PROJECTS).min(VERSIONS - 1)).await?;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let view = self.story.admin.get::<DeploymentView>(&format!("/api/v1/deployments/{id}")).await;
            let Ok(view) = view else { continue };
            if view.summary.status == Status::Finished {
                return Ok(());
            }
            let running = |task: &slipway_domain::api::TaskView| task.status == TaskStatus::Running;
            let works = view.steps.iter().flat_map(|step| &step.tasks).any(running);
            runs.fetch_or(works, Ordering::SeqCst);
            match way {
                Way::Cancel if works => say(&self.story.admin, id, "cancel", &serde_json::json!({})).await,
                _ if view.summary.status != Status::WaitingForPerson => {}
                Way::Press => self.press(id).await,
                _ => self.approve(id, &view).await,
            }
        }
    }

    async fn approve(&self, id: DeploymentId, view: &DeploymentView) {
        for step in view.steps.iter().filter(|step| step.gate.is_some()) {
            let verdict = serde_json::json!({ "verdict": "approve" });
            say(&self.story.ana, id, &format!("gates/{}", step.name), &verdict).await;
        }
    }

    async fn press(&self, id: DeploymentId) {
        let id = id.to_string();
        for message in self.slack.accepted("chat.postMessage") {
            if message.button(Button::Approve).is_ok_and(|(_, value)| value.contains(&id)) {
                // The notifier may be dead at this moment; the next look presses again.
                let _ = self.slack.press(&self.notifier, &message, Button::Approve, chaos::story::ANA).await;
            }
        }
    }
}

/// Whoever is not there at this moment is asked again at the next look.
async fn say(client: &Client, id: DeploymentId, what: &str, body: &serde_json::Value) {
    let request = client.request(reqwest::Method::POST, &format!("/api/v1/deployments/{id}/{what}"));
    let _ = request.json(body).send().await;
}

/// Starts a process anew with the place at which it dies, or with none.
async fn arm(stack: &mut Stack, victim: &str, place: Option<&str>) -> Result<()> {
    stack.kill(victim).await?;
    stack.process(victim).set(VARIABLE, place);
    stack.restart(victim)
}

/// Starts a victim that died again; it dies there `again` or not. Whether it had died.
fn revive(stack: &mut Stack, point: &Point, again: bool) -> Result<bool> {
    if stack.process(point.victim).is_running() {
        return Ok(false);
    }
    let tail = stack.process(point.victim).tail();
    ensure!(tail.contains(&format!("failpoint {}: ", point.name)), "it ended by itself: {tail}");
    stack.process(point.victim).set(VARIABLE, again.then_some(point.name));
    stack.restart(point.victim)?;
    Ok(true)
}
