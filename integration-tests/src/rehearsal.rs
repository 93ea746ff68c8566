//! One project on a stack with simulating executors, for stories in which a step holds until it is told.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use slipway_domain::{
    api::{Accepted, DeploymentView, Status, TaskStatus, TaskView},
    event::Outcome,
    id::DeploymentId,
};
use tempfile::TempDir;

use crate::{
    chaos::Simulate,
    client::Client,
    history::{self, Journal},
    ports,
    registry::{Notify, Registry},
    settings,
    stack::{Stack, Wanted},
    tiny_image, wait,
};

/// A stack with a project `rehearsal` that has one release, `1.0.0`.
pub struct Rehearsal {
    /// The stack.
    pub stack: Stack,
    journal: PathBuf,
    requested: usize,
    registry: Registry,
    _folder: TempDir,
}

impl Rehearsal {
    /// Starts a stack in which the project does these steps, given as lines of YAML.
    pub async fn start(steps: &str, simulate: Simulate, wanted: Wanted) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let journal = folder.path().join("journal");
        std::fs::write(&journal, "")?;
        let mut wanted = wanted;
        wanted.variables.extend(simulate.variables(&journal));
        let stack = Stack::start_with(wanted).await?;
        let nobody = Notify { url: "http://127.0.0.1:9/".into(), authorization: String::new() };
        let registry = Registry::start(stack.folder.path(), ports::reserve()?, &nobody).await?;
        let address = registry.port.address();
        tiny_image::push(&address, "shop/app", "1.0.0").await?;
        let project = stack.name("rehearsal");
        let mut text = format!(
            "kind: Feed\nname: local\nregistry: {address}\nplain-http: true\n---\nkind: Environment\nname: test\n---\n\
             kind: Lifecycle\nname: short\nphases:\n  - {{name: Test, environments: [test]}}\n"
        );
        for target in stack.target_names() {
            let docker = settings::docker();
            text += &format!(
                "---\nkind: Target\nname: {target}\nenvironments: [test]\nroles: [web]\ndocker: {docker}\nparallelism: 4\n"
            );
        }
        text += &format!(
            "---\nkind: Project\nname: {project}\nlifecycle: short\n\
             packages:\n  app: {{feed: local, image: shop/app}}\nsteps:\n{steps}\n"
        );
        stack.apply(&text).await?;
        let body = serde_json::json!({ "version": "1.0.0", "packages": { "app": "1.0.0" } });
        stack.admin.post::<serde_json::Value>(&format!("/api/v1/projects/{project}/releases"), &body).await?;
        Ok(Self { stack, journal, requested: 0, registry, _folder: folder })
    }

    /// Pushes another image of the project's package, under a tag.
    pub async fn push(&self, tag: &str) -> Result<()> {
        tiny_image::push(&self.registry.port.address(), "shop/app", tag).await?;
        Ok(())
    }

    /// Asks for a deployment; the answer with its sequence in the log.
    pub async fn deploy(&mut self) -> Result<Accepted> {
        let accepted = self.ask(&self.stack.admin, &format!("rehearsal-{}", self.requested + 1)).await?;
        self.requested += 1;
        Ok(accepted)
    }

    /// Asks a release service for a deployment that has this key; asked again, it is the same one.
    pub async fn deploy_at(&mut self, service: &Client, key: &str) -> Result<Accepted> {
        self.requested += 1;
        self.ask(service, key).await
    }

    /// Asks for a deployment that may have been asked for before.
    pub async fn ask(&self, service: &Client, key: &str) -> Result<Accepted> {
        let project = self.stack.name("rehearsal");
        let body = serde_json::json!({ "project": project, "version": "1.0.0", "environment": "test" });
        let request = service.request(reqwest::Method::POST, "/api/v1/deployments").json(&body);
        let answer = request.header("Idempotency-Key", key).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Says that so many more deployments were taken by [`Rehearsal::ask`].
    pub fn count(&mut self, more: usize) {
        self.requested += more;
    }

    /// A deployment as the API tells it.
    pub async fn view(&self, id: DeploymentId) -> Result<DeploymentView> {
        self.stack.admin.get(&format!("/api/v1/deployments/{id}")).await
    }

    /// Waits until a step runs in that attempt; its task.
    pub async fn running(&self, id: DeploymentId, step: &str, attempt: u32) -> TaskView {
        wait::until(&format!("{step} runs in attempt {attempt}"), || async {
            let view = self.view(id).await.map_err(|error| error.to_string())?;
            let mut tasks = view.steps.iter().filter(|one| one.name.as_str() == step).flat_map(|one| &one.tasks);
            let found = tasks.find(|task| task.status == TaskStatus::Running && task.attempt == attempt).cloned();
            found.ok_or_else(|| format!("{view:#?}\n{}", self.stack.tails()))
        })
        .await
    }

    /// Tells a `demo` step to go on.
    pub async fn go(&self, id: DeploymentId, step: &str) -> Result<()> {
        let (code, text) = self.stack.cli(&self.stack.admin, &["deployment", "go", &id.to_string(), step]).await?;
        ensure!(code == 0, "slipway deployment go: exit {code}: {text}");
        Ok(())
    }

    /// Waits until a deployment is over, which must be with success.
    pub async fn succeeded(&self, id: DeploymentId) -> DeploymentView {
        let view = wait::until(&format!("{id} is over"), || async {
            let view = self.view(id).await.map_err(|error| error.to_string())?;
            if view.summary.status == Status::Finished {
                Ok(view)
            } else {
                Err(format!("{view:#?}\n{}", self.stack.tails()))
            }
        })
        .await;
        assert_eq!(view.summary.outcome, Some(Outcome::Succeeded), "{view:#?}\n{}", self.stack.tails());
        view
    }

    /// The whole history keeps every promise.
    pub async fn judge(&self) -> Result<history::Figures> {
        let (history, journal) = (history::read(&self.stack).await?, Journal::read(&self.journal)?);
        let violations = history::check(&history, &journal);
        let told = violations.iter().map(|one| format!("{one}\n{}", history::told(&history, &journal, one.deployment)));
        let told: Vec<_> = told.collect();
        ensure!(told.is_empty(), "{}", told.join("\n"));
        let figures = history::figures(&history, &journal);
        ensure!(figures.deployments == self.requested, "{} were asked for: {figures:?}", self.requested);
        Ok(figures)
    }
}
