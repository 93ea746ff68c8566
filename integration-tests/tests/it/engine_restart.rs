//! kill -9 of the Docker engine in the middle of a deployment: with `live-restore` nothing is begun again, without it
//! what the engine took along is told and made good.

use anyhow::{Context, Result};
use slipway_domain::{
    api::{Accepted, DeploymentView, StepView, TaskStatus},
    event::Outcome,
    id::DeploymentId,
};
use slipway_integration_tests::{
    engine::{Containers, Engine},
    ports,
    registry::{Notify, Registry},
    stack::Stack,
    tiny_image, wait,
};

/// Works until it is told to end.
const JOB: &str = "trap 'exit 9' TERM; echo begun; while [ ! -e /go ]; do sleep 0.1; done; echo done";
const SERVICE: &str = "trap 'exit 0' TERM; echo serving; while :; do sleep 3600 & wait; done";
/// What people are told while the engine is away.
const AWAY: &str = "waiting until it answers";

/// A stack with a project whose targets are all on one engine, which only this test uses.
struct Story {
    engine: Engine,
    stack: Stack,
    _registry: Registry,
}

impl Story {
    async fn start(containers: Containers) -> Result<Self> {
        let stack = Stack::start().await?;
        let nobody = Notify { url: "http://127.0.0.1:9/".into(), authorization: String::new() };
        let registry = Registry::start(stack.folder.path(), ports::reserve()?, &nobody).await?;
        let address = registry.port.address();
        tiny_image::push_busybox(&address, "shop/app", "1.0.0").await?;
        let engine = Engine::start(stack.folder.path(), &stack.path("registry.yml"), containers).await?;
        let story = Self { engine, stack, _registry: registry };
        story.stack.apply(&story.manifests(&address)).await?;
        let project = story.stack.name("shop");
        for version in ["1.0.0", "2.0.0"] {
            let body = serde_json::json!({ "version": version, "packages": { "app": "1.0.0" } });
            let path = format!("/api/v1/projects/{project}/releases");
            story.stack.admin.post::<serde_json::Value>(&path, &body).await?;
        }
        Ok(story)
    }

    fn manifests(&self, registry: &str) -> String {
        let mut text = format!(
            "kind: Feed\nname: local\nregistry: {registry}\nplain-http: true\n---\nkind: Environment\nname: test\n---\n\
             kind: Lifecycle\nname: short\nphases:\n  - {{name: Test, environments: [test]}}\n"
        );
        for (target, role) in self.stack.target_names().iter().zip(["tools", "web", "web"]) {
            let docker = self.engine.endpoint();
            text += &format!(
                "---\nkind: Target\nname: {target}\nenvironments: [test]\nroles: [{role}]\ndocker: {docker}\n"
            );
        }
        let shell = |script: &str| serde_json::json!(["/bin/sh", "-c", script]).to_string();
        text += &format!(
            "---\nkind: Project\nname: {}\nlifecycle: short\npackages:\n  app: {{feed: local, image: shop/app}}\nsteps:\n  \
             - {{name: job, targets: {{role: tools}}, retry: {{attempts: 2, backoff: 200ms}}, \
                 docker-job: {{package: app, command: {}}}}}\n  \
             - {{name: web, needs: [job], targets: {{role: web}}, rolling: {{window: 1}}, \
                 docker-run: {{package: app, command: {}, health: {{stay: 3s}}}}}}\n",
            self.stack.name("shop"),
            shell(JOB),
            shell(SERVICE),
        );
        text
    }

    async fn deploy(&self, version: &str) -> Result<DeploymentId> {
        let body = serde_json::json!({ "project": self.stack.name("shop"), "version": version, "environment": "test" });
        let accepted: Accepted = self.stack.admin.post("/api/v1/deployments", &body).await?;
        Ok(accepted.id)
    }

    async fn view(&self, id: DeploymentId) -> Result<DeploymentView> {
        self.stack.admin.get(&format!("/api/v1/deployments/{id}")).await
    }

    async fn logs(&self, id: DeploymentId) -> Result<String> {
        let path = format!("/api/v1/deployments/{id}/logs?follow=false");
        Ok(self.stack.admin.request(reqwest::Method::GET, &path).send().await?.error_for_status()?.text().await?)
    }

    /// Waits until the deployment has printed this so many times.
    async fn printed(&self, id: DeploymentId, text: &str, times: usize) {
        wait::until(&format!("`{text}` is printed {times} times"), || async {
            let logs = self.logs(id).await.map_err(|error| error.to_string())?;
            if logs.matches(text).count() >= times {
                Ok(())
            } else {
                Err(format!("{logs}\n{}\n{}", self.engine.tail(), self.stack.tails()))
            }
        })
        .await;
    }

    /// Kills the engine, waits until that is noticed, for the so-many-th time, and starts it again.
    async fn restart_engine(&mut self, id: DeploymentId, nth: usize) -> Result<()> {
        self.engine.kill().await?;
        self.printed(id, AWAY, nth).await;
        self.engine.restart().await
    }

    /// The containers of a step, as `<name> <state> <deployment>`.
    async fn containers(&self, step: &str) -> Result<Vec<(String, String, String)>> {
        let filter = format!("label=slipway.step={step}");
        let format = "{{.Names}} {{.State}} {{.Label \"slipway.deployment\"}}";
        let list = self.engine.docker(&["ps", "-a", "--no-trunc", "--filter", &filter, "--format", format]).await?;
        let words = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            Some((words.next()?, words.next()?, words.next()?))
        };
        Ok(list.lines().filter_map(words).collect())
    }

    /// Tells the job that runs to end.
    async fn go(&self) -> Result<String> {
        let (name, ..) = wait::until("the job runs", || async {
            let all = self.containers("job").await.map_err(|error| error.to_string())?;
            all.iter().find(|(_, state, _)| state == "running").cloned().ok_or(format!("{all:?}"))
        })
        .await;
        self.engine.docker(&["exec", &name, "/bin/touch", "/go"]).await?;
        Ok(name)
    }

    async fn succeeded(&self, id: DeploymentId) -> DeploymentView {
        let view = wait::until("it is over", || async {
            let view = self.view(id).await.map_err(|error| error.to_string())?;
            if view.summary.outcome.is_some() { Ok(view) } else { Err(format!("{view:#?}\n{}", self.stack.tails())) }
        })
        .await;
        assert_eq!(view.summary.outcome, Some(Outcome::Succeeded), "{view:#?}\n{}", self.stack.tails());
        view
    }

    /// Both places of the web have the one container of this deployment, and it runs.
    async fn serves(&self, id: DeploymentId) -> Result<()> {
        let web = self.containers("web").await?;
        assert_eq!(web.len(), 2, "{web:?}");
        assert!(web.iter().all(|(_, state, of)| state == "running" && *of == id.to_string()), "{web:?}");
        Ok(())
    }
}

fn step<'a>(view: &'a DeploymentView, name: &str) -> Result<&'a StepView> {
    view.steps.iter().find(|step| step.name.as_str() == name).context("the step")
}

fn attempts(view: &DeploymentView, name: &str) -> Result<Vec<u32>> {
    let tasks = &step(view, name)?.tasks;
    assert!(tasks.iter().all(|task| task.status == TaskStatus::Succeeded), "{tasks:#?}");
    Ok(tasks.iter().map(|task| task.attempt).collect())
}

#[tokio::test]
async fn an_engine_with_live_restore_dies_and_nothing_is_begun_again() -> Result<()> {
    let mut story = Story::start(Containers::GoOn).await?;
    let first = story.deploy("1.0.0").await?;
    story.printed(first, "begun", 1).await;
    story.restart_engine(first, 1).await?;
    let job = story.go().await?;
    // The second of the two targets, while its new container has to prove that it stays good.
    story.printed(first, "good after", 2).await;
    story.restart_engine(first, 2).await?;
    let view = story.succeeded(first).await;
    assert_eq!((attempts(&view, "job")?, attempts(&view, "web")?), (vec![1], vec![1, 1]), "{view:#?}");
    let jobs = story.containers("job").await?;
    assert_eq!(jobs, [(job, "exited".to_owned(), first.to_string())], "one container for the job");
    let logs = story.logs(first).await?;
    let printed = |text: &str| logs.matches(&format!("\"text\":\"{text}\"")).count();
    assert_eq!((printed("begun"), printed("done")), (1, 1), "{logs}");
    assert!(logs.contains("runs already; going on with it"), "{logs}");
    story.serves(first).await
}

#[tokio::test]
async fn an_engine_without_live_restore_takes_its_containers_along_and_that_is_made_good() -> Result<()> {
    let mut story = Story::start(Containers::EndWithIt).await?;
    let first = story.deploy("1.0.0").await?;
    story.printed(first, "begun", 1).await;
    story.restart_engine(first, 1).await?;
    // The job has failed, and its second attempt is a new container.
    story.printed(first, "begun", 2).await;
    let logs = story.logs(first).await?;
    assert!(logs.contains("exit code 9; the Docker engine was away meanwhile"), "{logs}");
    story.go().await?;
    let view = story.succeeded(first).await;
    assert_eq!((attempts(&view, "job")?, attempts(&view, "web")?), (vec![2], vec![1, 1]), "{view:#?}");
    story.serves(first).await?;

    let second = story.deploy("2.0.0").await?;
    story.printed(second, "begun", 1).await;
    story.go().await?;
    story.printed(second, "good after", 1).await;
    story.restart_engine(second, 1).await?;
    let view = story.succeeded(second).await;
    assert_eq!((attempts(&view, "job")?, attempts(&view, "web")?), (vec![1], vec![1, 1]), "{view:#?}");
    story.serves(second).await
}
