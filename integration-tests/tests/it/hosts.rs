//! Three engines as three hosts: one of this machine, one over TLS, one over SSH. One is cut off in the middle.

use anyhow::{Context as _, Result, bail, ensure};
use slipway_domain::{
    api::{Accepted, DeploymentView, Preview, TargetCheck, TaskStatus},
    event::Outcome,
};
use slipway_integration_tests::{
    containers,
    host::{Host, Proof},
    ports,
    registry::{Notify, Registry},
    settings,
    stack::{Stack, Wanted},
    tiny_image, wait,
};

struct Story {
    stack: Stack,
    project: String,
    tls: Host,
    ssh: Host,
    _registry: Registry,
    /// Dropped last: what was started writes there.
    _folder: tempfile::TempDir,
}

impl Story {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let nobody = Notify { url: "http://127.0.0.1:9/".into(), authorization: String::new() };
        let registry = Registry::start(folder.path(), ports::reserve()?, &nobody).await?;
        let address = registry.port.address();
        let proof = Proof::new(folder.path(), "proof").await?;
        let config = folder.path().join("registry.yml");
        let tls = Host::start(folder.path(), &config, &proof).await?;
        let mut ssh = Host::start(folder.path(), &config, &proof).await?;
        let (over_ssh, client) = ssh.serve_ssh(folder.path()).await?;
        let variables = vec![("SLIPWAY_SSH_CONFIG".to_owned(), client.display().to_string())];
        let stack = Stack::start_with(Wanted { variables, ..Wanted::default() }).await?;
        let project = stack.name("shop");
        for version in ["1.0.0", "1.1.0"] {
            tiny_image::push_busybox(&address, &format!("{project}/app"), version).await?;
        }
        let targets = stack.target_names();
        let web = |name: &str, more: serde_json::Value| {
            let mut target =
                serde_json::json!({"kind": "Target", "name": name, "environments": ["test"], "roles": ["web"]});
            target.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            target.to_string()
        };
        let manifests = [
            serde_json::json!({"kind": "Feed", "name": "local", "registry": address, "plain-http": true}).to_string(),
            serde_json::json!({"kind": "Environment", "name": "test"}).to_string(),
            web(&targets[0], serde_json::json!({"docker": settings::docker()})),
            web(&targets[1], serde_json::json!({"docker": tls.tcp(), "tls": proof.tls()})),
            web(&targets[2], serde_json::json!({"docker": over_ssh})),
            "kind: Lifecycle\nname: short\nphases: [{name: test, environments: [test]}]".to_owned(),
            format!(
                "kind: Project\nname: {project}\nlifecycle: short\npackages:\n  app: {{feed: local, image: {project}/app}}\n\
                 steps:\n  - {{name: web, targets: {{role: web}}, rolling: {{window: 1}}, docker-run: {{package: app, \
                 command: [/bin/busybox, httpd, -f, -p, '80'], ports: ['80'], health: {{tcp: {{port: 80}}}}}}}}"
            ),
        ];
        stack.apply(&manifests.join("\n---\n")).await?;
        Ok(Self { stack, project, tls, ssh, _registry: registry, _folder: folder })
    }

    async fn released(&self, version: &str) -> Result<String> {
        let releases = format!("/api/v1/projects/{}/releases", self.project);
        let body = serde_json::json!({ "packages": { "app": version } });
        self.stack.admin.post::<serde_json::Value>(&releases, &body).await?;
        let body = serde_json::json!({ "project": self.project, "version": version, "environment": "test" });
        Ok(self.stack.admin.post::<Accepted>("/api/v1/deployments", &body).await?.id.to_string())
    }

    async fn view(&self, id: &str) -> Result<DeploymentView> {
        self.stack.admin.get(&format!("/api/v1/deployments/{id}")).await
    }

    async fn succeeded(&self, id: &str) -> Result<DeploymentView> {
        let view = wait::until_within(wait::PATIENCE * 2, "it is over", || async {
            let view = self.view(id).await?;
            if view.summary.outcome.is_some() { Ok(view) } else { bail!("{view:#?}\n{}", self.stack.tails()) }
        })
        .await;
        ensure!(view.summary.outcome == Some(Outcome::Succeeded), "{view:#?}\n{}", self.stack.tails());
        Ok(view)
    }

    /// The images that run, by host.
    async fn running(&self) -> Result<Vec<String>> {
        let label = format!("label=slipway.project={}", self.project);
        let ps = ["ps", "--filter", &label, "--format", "{{.Label \"slipway.release\"}}"];
        let here = slipway_integration_tests::machine::run("docker", &ps).await?;
        let there = [here, self.tls.engine.docker(&ps).await?, self.ssh.engine.docker(&ps).await?];
        Ok(there.map(|versions| versions.trim().to_owned()).to_vec())
    }
}

#[tokio::test]
async fn a_host_that_is_cut_off_is_waited_for_and_the_deployment_goes_on_when_it_is_back() -> Result<()> {
    let story = Story::start().await?;
    let told = tell(&story).await;
    containers::remove_all(&containers::engine()?, format!("slipway.project={}", story.project)).await?;
    told.with_context(|| story.stack.tails())
}

async fn tell(story: &Story) -> Result<()> {
    let first = story.released("1.0.0").await?;
    story.succeeded(&first).await?;
    ensure!(story.running().await? == ["1.0.0"; 3], "{:?}", story.running().await?);
    let targets = story.stack.target_names();
    for target in &targets {
        let check: TargetCheck =
            story.stack.admin.post(&format!("/api/v1/target-status/{target}/check"), &serde_json::json!(null)).await?;
        // How full the disk is here is nobody's promise.
        ensure!(check.problems.iter().all(|problem| problem.contains("disk")) && check.drift.is_empty(), "{check:#?}");
        ensure!(check.seen.is_some_and(|seen| seen.containers.len() == 1));
    }

    story.tls.cut().await?;
    let second = story.released("1.1.0").await?;
    let why = wait::until_within(wait::PATIENCE * 2, "it says what it waits for", || async {
        let logs = format!("/api/v1/deployments/{second}/logs?follow=false");
        let text = story.stack.admin.request(reqwest::Method::GET, &logs).send().await?.text().await?;
        if text.contains("waiting until it answers") {
            Ok(text)
        } else {
            bail!("{text}\n{:#?}", story.view(&second).await?)
        }
    })
    .await;
    ensure!(why.contains(&format!("the Docker engine {} does not answer", story.tls.tcp())), "{why}");
    let view = story.view(&second).await?;
    let status = |target: &str| {
        let tasks = view.steps.iter().flat_map(|step| &step.tasks);
        tasks.filter(|task| task.target.as_str() == target).map(|task| task.status).next()
    };
    ensure!(status(&targets[0]) == Some(TaskStatus::Succeeded) && status(&targets[2]) == Some(TaskStatus::Pending));
    left_out(story, &targets[1]).await?;
    story.tls.mend().await?;
    let view = story.succeeded(&second).await?;
    ensure!(story.running().await? == ["1.1.0"; 3], "{:?}", story.running().await?);
    ensure!(view.steps.iter().flat_map(|step| &step.tasks).all(|task| task.attempt == 1), "{view:#?}");
    Ok(())
}

/// A plan for an environment that does without hosts that are away.
async fn left_out(story: &Story, away: &str) -> Result<()> {
    story.stack.apply("kind: Environment\nname: test\nunavailable: skip\n").await?;
    let body = serde_json::json!({ "project": story.project, "version": "1.1.0", "environment": "test" });
    let preview: Preview = story.stack.admin.post("/api/v1/plans", &body).await?;
    let [left_out] = &preview.left_out_targets[..] else { bail!("{preview:#?}") };
    ensure!(left_out.target.as_str() == away, "{preview:#?}");
    ensure!(preview.steps.iter().flat_map(|step| &step.tasks).count() == 2, "{preview:#?}");
    Ok(())
}
