//! The people of the story: they request, approve, reject and cancel deployments through an API that
//! is away again and again, and repeat themselves until they are heard.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::{Method, StatusCode};
use slipway_domain::{
    api::{Accepted, DeploymentSummary, DeploymentView, Status},
    event::Recorded,
    id::DeploymentId,
};
use slipway_engine::{State, view};

use super::{Plan, real::Real};
use crate::{
    client::Client,
    ports,
    registry::{Notify, Registry},
    settings,
    stack::Stack,
    tiny_image,
};

/// Pause between two looks, and before something is said again.
const AGAIN: Duration = Duration::from_millis(150);

/// A secret that every job gets.
pub const CANARY: &str = "canary-of-the-chaos-job";

/// Ana's id in Slack.
pub const ANA: &str = "U0ANA";

/// What becomes of a deployment if people have their way.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Approved,
    Rejected,
    /// After a look at the canary.
    TakenBack,
    CancelledAt(Instant),
}

impl Fate {
    fn is_rejected(self) -> bool {
        matches!(self, Self::Rejected)
    }

    fn is_taken_back(self) -> bool {
        matches!(self, Self::TakenBack)
    }
}

/// The people, and what they want.
pub struct Story {
    plan: Plan,
    /// The API as `admin`.
    pub admin: Client,
    /// The API as ana, who may approve.
    pub ana: Client,
    projects: Vec<String>,
    fates: Mutex<BTreeMap<DeploymentId, Fate>>,
    _registry: Registry,
}

impl Story {
    /// Applies projects and makes their releases.
    pub async fn prepare(stack: &mut Stack, plan: Plan, real: Option<&Real>) -> Result<Self> {
        let nobody = Notify { url: "http://127.0.0.1:9/".into(), authorization: String::new() };
        let registry = Registry::start(stack.folder.path(), ports::reserve()?, &nobody).await?;
        tiny_image::push_busybox(&registry.port.address(), &repository(stack), "1.0.0").await?;
        stack.secret("job-token", CANARY).await?;
        let projects: Vec<String> = (0..plan.projects).map(|n| stack.name(&format!("shop{n}"))).collect();
        for version in 1..=plan.deployments.div_ceil(plan.projects) {
            stack.apply(&manifests(stack, &registry.port.address(), &projects, version, real)).await?;
            for project in &projects {
                let body = serde_json::json!({ "version": format!("1.0.{version}"), "packages": { "app": "1.0.0" } });
                let path = format!("/api/v1/projects/{project}/releases");
                stack.admin.post::<serde_json::Value>(&path, &body).await?;
            }
        }
        let ana = stack.person("ana", Some("ops")).await?;
        let (admin, fates) = (stack.admin.clone(), Mutex::default());
        Ok(Self { plan, admin, ana, projects, fates, _registry: registry })
    }

    /// Requests all deployments and attends to them until all are over.
    pub async fn people(&self) -> Result<()> {
        tokio::try_join!(self.request_all(), self.attend()).map(drop)
    }

    async fn request_all(&self) -> Result<()> {
        let mut chance = StdRng::seed_from_u64(self.plan.seed + 1);
        for n in 0..self.plan.deployments {
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..700))).await;
            let fate = match chance.random_range(0..10) {
                0 => Fate::Rejected,
                2 => Fate::TakenBack,
                1 => Fate::CancelledAt(Instant::now() + Duration::from_millis(chance.random_range(0..4000))),
                _ => Fate::Approved,
            };
            let id = self.request(n).await?;
            self.fates.lock().unwrap_or_else(PoisonError::into_inner).insert(id, fate);
        }
        Ok(())
    }

    /// Asks until there is an answer; the key makes it one deployment however often it is asked for.
    async fn request(&self, n: usize) -> Result<DeploymentId> {
        self.request_version(n, n / self.projects.len()).await
    }

    /// The same for one of the versions, the first of which is 0.
    pub async fn request_version(&self, n: usize, version: usize) -> Result<DeploymentId> {
        let project = &self.projects[n % self.projects.len()];
        let version = format!("1.0.{}", version + 1);
        let body = serde_json::json!({ "project": project, "version": version, "environment": "test" });
        loop {
            let request = self.admin.request(Method::POST, "/api/v1/deployments").json(&body);
            if let Ok(answer) = request.header("Idempotency-Key", format!("chaos-{n}")).send().await {
                let status = answer.status();
                let text = answer.text().await.unwrap_or_default();
                if status.is_success()
                    && let Ok(accepted) = serde_json::from_str::<Accepted>(&text)
                {
                    return Ok(accepted.id);
                }
                ensure!(!status.is_client_error(), "deployment {n} was refused: {status}: {text}");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Looks after the deployments until all are requested and over.
    async fn attend(&self) -> Result<()> {
        loop {
            tokio::time::sleep(AGAIN).await;
            let Ok(all) = self.all().await else { continue };
            let over = all.iter().filter(|one| one.status == Status::Finished).count();
            if over == self.plan.deployments {
                return Ok(());
            }
            for one in all.iter().filter(|one| one.status != Status::Finished) {
                self.speak(one).await?;
            }
        }
    }

    async fn speak(&self, one: &DeploymentSummary) -> Result<()> {
        let fate = self.fates.lock().unwrap_or_else(PoisonError::into_inner).get(&one.id).copied();
        match fate {
            Some(Fate::CancelledAt(time)) if Instant::now() >= time && one.status != Status::Cancelling => {
                self.say(&self.admin, one, "cancel", serde_json::json!({ "reason": "chaos" })).await
            }
            Some(fate) if one.status == Status::WaitingForPerson => {
                // Which of the two gates is open is not told by the list; the other one refuses.
                for (gate, rejected) in [("sign-off", fate.is_rejected()), ("web", fate.is_taken_back())] {
                    let body = serde_json::json!({ "verdict": if rejected { "reject" } else { "approve" } });
                    self.say(&self.ana, one, &format!("gates/{gate}"), body).await?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Says something about a deployment. It may be too late for it, or the API away; what counts is what the next
    /// look shows.
    async fn say(&self, who: &Client, one: &DeploymentSummary, path: &str, body: serde_json::Value) -> Result<()> {
        let path = format!("/api/v1/deployments/{}/{path}", one.id);
        let mut body = body;
        // What earlier trouble left on a host has to be known to who approves.
        for _ in 0..2 {
            let Ok(answer) = who.request(Method::POST, &path).json(&body).send().await else { break };
            let status = answer.status();
            let text = answer.text().await.unwrap_or_default();
            let forbidden = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::BAD_REQUEST];
            ensure!(!forbidden.contains(&status), "{path}: {status}: {text}");
            let Some(known) = text.split("--drift ").nth(1) else { break };
            body["drift"] = known.chars().take_while(char::is_ascii_hexdigit).collect::<String>().into();
        }
        Ok(())
    }

    /// Every deployment.
    async fn all(&self) -> Result<Vec<DeploymentSummary>> {
        let mut all = Vec::new();
        for project in &self.projects {
            all.extend(
                self.admin
                    .get::<Vec<DeploymentSummary>>(&format!("/api/v1/deployments?project={project}&limit=200"))
                    .await?,
            );
        }
        Ok(all)
    }

    /// Those that are not over, and why.
    pub async fn open(&self) -> Vec<serde_json::Value> {
        let mut open = Vec::new();
        for one in self.all().await.unwrap_or_default().into_iter().filter(|one| one.status != Status::Finished) {
            let why = self.admin.get(&format!("/api/v1/deployments/{}/why", one.id)).await;
            let why: serde_json::Value = why.unwrap_or_else(|error| error.to_string().into());
            open.push(serde_json::json!({ "id": one.id, "project": one.project, "status": one.status, "why": why }));
        }
        open
    }

    /// Deployments of which the API tells something else than the log, read from its beginning.
    pub async fn misprojected(&self, history: &[Recorded]) -> Result<Vec<String>> {
        let mut state = State::new();
        history.iter().for_each(|recorded| drop(state.apply(recorded)));
        let mut wrong = Vec::new();
        for deployment in state.deployments() {
            let told: DeploymentView = self.admin.get(&format!("/api/v1/deployments/{}", deployment.id())).await?;
            let folded = view::deployment(deployment, told.at_seq);
            if told != folded {
                wrong.push(format!("the API tells {told:#?}\nthe log {folded:#?}"));
            }
        }
        Ok(wrong)
    }

    /// How many ended how.
    pub async fn outcomes(&self) -> Result<BTreeMap<String, usize>> {
        let mut outcomes = BTreeMap::new();
        for one in self.all().await? {
            let outcome = one.outcome.with_context(|| format!("{} is not over", one.id))?;
            *outcomes.entry(outcome.to_string()).or_default() += 1;
        }
        Ok(outcomes)
    }
}

/// Unique, so that the images can be found and removed.
fn repository(stack: &Stack) -> String {
    format!("{}/app", stack.name("shop"))
}

/// One environment with three targets that all projects share, and a process with a step of every kind that has effects.
fn manifests(stack: &Stack, registry: &str, projects: &[String], version: usize, real: Option<&Real>) -> String {
    let mut text = format!(
        "kind: Feed\nname: local\nregistry: {registry}\nplain-http: true\n---\nkind: Environment\nname: test\n---\n\
         kind: Lifecycle\nname: short\nphases:\n  - {{name: Test, environments: [test]}}\n---\n\
         kind: Team\nname: ops\nmembers: [{{name: ana, slack: {ANA}}}]\n"
    );
    for target in stack.target_names() {
        let docker = settings::docker();
        text += &format!(
            "---\nkind: Target\nname: {target}\nenvironments: [test]\nroles: [web]\ndocker: {docker}\nparallelism: 2\n"
        );
    }
    let database = real.map_or("sqlite:///nowhere", Real::database);
    let command = |script: String| format!(", command: {}", serde_json::json!(["/bin/sh", "-c", script]));
    let (job, service) = real.map(|_| (command(Real::job()), command(Real::service()))).unwrap_or_default();
    for (n, project) in projects.iter().enumerate() {
        let rolling = match n % 2 {
            0 => "{window: 2}",
            _ => "{window: 2, canary: 1, then: {approval: {teams: [ops], slack: '#deploys'}}, on-failure: restore}",
        };
        let retry = "retry: {attempts: 4, backoff: 200ms}";
        let run = format!("{retry}, docker-run: {{package: app{service}}}");
        let web = match n % 4 {
            0 | 1 => run,
            _ => format!(
                "steps: [{{name: drain, {retry}, docker-job: {{package: app{job}}}}}, {{name: serve, {run}}}, \
                 {{name: undrain, when: {{result: always}}, {retry}, docker-job: {{package: app{job}}}}}]"
            ),
        };
        let migration = |n| match real {
            Some(_) => format!("{n:03}.sql: '{}'", Real::migration(project, n)),
            None => format!("{n:03}.sql: 'create table t{n} (x int)'"),
        };
        let files: Vec<String> = (1..=version).map(migration).collect();
        text += &format!(
            "---\nkind: Project\nname: {project}\nlifecycle: short\npackages:\n  app: {{feed: local, image: {}}}\n\
             variables:\n  - {{name: Token, secret: job-token}}\nsteps:\n  \
             - {{name: migrate, retry: {{attempts: 4, backoff: 200ms}}, \
                 sql: {{database: '{database}', files: {{{}}}}}}}\n  \
             - {{name: job, needs: [migrate], retry: {{attempts: 4, backoff: 200ms}}, \
                 docker-job: {{package: app, env: {{TOKEN: '#{{Token}}'}}{job}}}}}\n  \
             - {{name: sign-off, needs: [job], approval: {{teams: [ops], slack: '#deploys'}}}}\n  \
             - {{name: web, needs: [sign-off], targets: {{role: web}}, rolling: {rolling}, {web}}}\n  \
             - {{name: tell, needs: [web], when: {{result: always}}, wait: 0s}}\n",
            repository(stack),
            files.join(", ")
        );
    }
    text
}
