//! What somebody does to containers by hand is seen: by who looks, in plans, and before an approval counts.

use anyhow::{Context, Result, bail, ensure};
use slipway_domain::{
    api::{Accepted, DeploymentView, DriftReport, Preview, Status, TargetCheck},
    event::Outcome,
};
use slipway_integration_tests::{
    containers, machine, ports,
    registry::{Notify, Registry},
    settings,
    stack::{Stack, Wanted},
    tiny_image, wait,
};

fn manifests(stack: &Stack, registry: &str) -> String {
    let (docker, project) = (settings::docker(), stack.name("shop"));
    let targets: Vec<_> = ["staging-01", "web-01"]
        .map(|name| {
            let name = stack.name(name);
            format!("kind: Target\nname: {name}\nenvironments: [test]\nroles: [web]\ndocker: {docker}\n---\n")
        })
        .into();
    format!(
        "kind: Feed\nname: local\nregistry: {registry}\nplain-http: true\n---\nkind: Environment\nname: test\n---\n{}\
         kind: Lifecycle\nname: standard\nphases: [{{name: test, environments: [test]}}]\n---\n\
         kind: Project\nname: {project}\nlifecycle: standard\npackages:\n  app: {{feed: local, image: {project}/app}}\n\
         variables:\n  - {{name: Key, secret: key}}\nsteps:\n  - {{name: sign-off, approval: {{}}}}\n\
         \x20 - {{name: web, needs: [sign-off], targets: {{role: web}}, docker-run: {{package: app, env: {{KEY: '#{{Key}}'}}, \
         command: [/bin/sh, -c, 'trap \"exit 0\" TERM; sleep 3600 & wait']}}}}\n",
        targets.concat()
    )
}

struct Story {
    stack: Stack,
    project: String,
    plan: String,
}

impl Story {
    async fn start() -> Result<(Self, Registry)> {
        let variables = vec![("SLIPWAY_DRIFT_MINUTES".to_owned(), "0.02".to_owned())];
        let stack = Stack::start_with(Wanted { variables, ..Wanted::default() }).await?;
        let nobody = Notify { url: "http://127.0.0.1:9/".into(), authorization: String::new() };
        let registry = Registry::start(stack.folder.path(), ports::reserve()?, &nobody).await?;
        let (address, project) = (registry.port.address(), stack.name("shop"));
        tiny_image::push_busybox(&address, &format!("{project}/app"), "1.0.0").await?;
        stack.secret("key", "one").await?;
        stack.apply(&manifests(&stack, &address)).await?;
        let path = format!("/api/v1/projects/{project}/releases");
        stack.admin.post::<serde_json::Value>(&path, &serde_json::json!({ "packages": { "app": "1.0.0" } })).await?;
        let plan = stack.path("plan.json").display().to_string();
        Ok((Self { stack, project, plan }, registry))
    }

    async fn cli(&self, words: &[&str]) -> Result<(i32, String)> {
        self.stack.cli(&self.stack.admin, words).await
    }

    /// Makes a plan and keeps it in a file.
    async fn planned(&self) -> Result<Preview> {
        let body = serde_json::json!({ "project": self.project, "version": "1.0.0", "environment": "test" });
        let preview: Preview = self.stack.admin.post("/api/v1/plans", &body).await?;
        std::fs::write(&self.plan, serde_json::to_vec(&preview)?)?;
        Ok(preview)
    }

    /// Asks for a deployment, by the plan if it is to be.
    async fn deploy(&self, by_plan: bool) -> Result<(i32, String)> {
        let words = ["deploy", &self.project, "1.0.0", "--to", "test", "--json", "--plan", &self.plan];
        self.cli(&words[..if by_plan { words.len() } else { words.len() - 2 }]).await
    }

    async fn until(&self, id: &str, status: Status) -> DeploymentView {
        wait::until(&format!("it is {}", status.as_str()), || async {
            let path = format!("/api/v1/deployments/{id}");
            let view: DeploymentView = self.stack.admin.get(&path).await.map_err(|error| error.to_string())?;
            if view.summary.status == status { Ok(view) } else { Err(format!("{view:#?}\n{}", self.stack.tails())) }
        })
        .await
    }

    /// A deployment that waits for its approval.
    async fn asking(&self, by_plan: bool) -> Result<String> {
        let (code, text) = self.deploy(by_plan).await?;
        ensure!(code == 0, "{code}: {text}");
        let accepted: Accepted = serde_json::from_str(&text)?;
        self.until(&accepted.id.to_string(), Status::WaitingForPerson).await;
        Ok(accepted.id.to_string())
    }

    async fn succeeded(&self, id: &str) -> Result<DeploymentView> {
        let view = self.until(id, Status::Finished).await;
        ensure!(view.summary.outcome == Some(Outcome::Succeeded), "{view:#?}");
        Ok(view)
    }

    async fn drift(&self) -> Result<Vec<String>> {
        let report: DriftReport = self.stack.admin.get(&format!("/api/v1/drift?project={}", self.project)).await?;
        ensure!(report.looked_at == 2 && report.unseen.is_empty(), "{report:#?}");
        Ok(report.drift.into_iter().map(|drift| format!("{}: {}", drift.kind.as_str(), drift.detail)).collect())
    }
}

/// The container of the first target.
fn container(view: &DeploymentView) -> Result<String> {
    let task = view.steps.iter().flat_map(|step| &step.tasks).next().context("a task")?;
    Ok(task.outputs["container_id"].as_str().context("a container")?.to_owned())
}

#[tokio::test]
async fn what_is_no_more_as_it_was_deployed_is_told_and_stops_a_plan_and_an_approval() -> Result<()> {
    let (mut story, _registry) = Story::start().await?;
    let told = tell(&mut story).await;
    let (docker, project) = (containers::engine()?, story.project.clone());
    containers::remove_all(&docker, format!("slipway.project={project}")).await?;
    told.with_context(|| story.stack.tails())
}

async fn tell(story: &mut Story) -> Result<()> {
    let target = story.stack.name("staging-01");
    let first = story.asking(false).await?;
    let (code, text) = story.cli(&["approve", &first, "sign-off"]).await?;
    ensure!(code == 0, "{code}: {text}");
    let id = container(&story.succeeded(&first).await?)?;
    let (code, text) = story.cli(&["drift"]).await?;
    ensure!(code == 0 && text.contains("all is as it was deployed"), "{code}: {text}");
    let check: TargetCheck =
        story.stack.admin.post(&format!("/api/v1/target-status/{target}/check"), &serde_json::json!(null)).await?;
    let seen = check.seen.context("it was seen")?;
    ensure!(check.drift.is_empty() && seen.containers.iter().any(|found| found.id == id), "{seen:#?}");
    ensure!(seen.engine.platform.starts_with("linux/") && seen.engine.disk.is_some(), "{:#?}", seen.engine);
    ensure!(seen.engine.clock_ahead_ms.is_some_and(|ahead| ahead.abs() < 5_000), "{:#?}", seen.engine);

    // Changed by hand, and as it was again.
    machine::run("docker", &["update", "--restart=no", &id]).await?;
    let drift = story.drift().await?;
    ensure!(drift.len() == 1 && drift[0].contains("restart was unless-stopped, is no"), "{drift:?}");
    let (code, text) = story.cli(&["target", "check", &target]).await?;
    ensure!(code == 1 && text.contains("changed by hand") && text.contains("running"), "{code}: {text}");
    wait::until("the board shows it", || async {
        let (_, text) = story.cli(&["status"]).await?;
        if text.contains("not as it was deployed") && text.contains("changed by hand") {
            Ok(())
        } else {
            bail!("{text}")
        }
    })
    .await;
    machine::run("docker", &["update", "--restart=unless-stopped", &id]).await?;
    ensure!(story.drift().await?.is_empty());

    plans_go_stale(story, &id).await?;
    let again = an_approval_waits_for_who_knows(story, &id).await?;
    nobody_looks(story, &target).await?;
    machine::run("docker", &["inspect", &container(&again)?]).await.map(drop)
}

async fn plans_go_stale(story: &Story, id: &str) -> Result<()> {
    ensure!(story.planned().await?.drift.is_empty());
    story.stack.secret("key", "two").await?;
    let (code, text) = story.deploy(true).await?;
    ensure!(code == 3 && text.contains("Key was secret key version 1, is secret key version 2"), "{code}: {text}");
    story.planned().await?;
    machine::run("docker", &["rm", "--force", id]).await?;
    let (code, text) = story.deploy(true).await?;
    ensure!(code == 3 && text.contains("is not there any more"), "{code}: {text}");
    let (code, text) = story.cli(&["plan", &story.project, "1.0.0", "--to", "test"]).await?;
    ensure!(code == 0 && text.contains("not as it was deployed"), "{code}: {text}");
    Ok(())
}

async fn an_approval_waits_for_who_knows(story: &Story, gone: &str) -> Result<DeploymentView> {
    // Whoever plans now knows.
    ensure!(story.planned().await?.drift.len() == 1);
    let second = story.asking(true).await?;
    let (code, text) = story.cli(&["approve", &second, "sign-off"]).await?;
    ensure!(code == 3 && text.contains("is not there any more"), "{code}: {text}");
    let known = text.split("--drift ").nth(1).and_then(|rest| rest.split_whitespace().next()).context("a code")?;
    let (code, text) = story.cli(&["approve", &second, "sign-off", "--drift", "of-yesterday"]).await?;
    ensure!(code == 3, "{code}: {text}");
    let (code, text) = story.cli(&["approve", &second, "sign-off", "--drift", known]).await?;
    ensure!(code == 0, "{code}: {text}");
    let view = story.succeeded(&second).await?;
    ensure!(container(&view)? != gone);
    ensure!(story.drift().await?.is_empty());
    Ok(view)
}

async fn nobody_looks(story: &mut Story, target: &str) -> Result<()> {
    story.stack.kill("executor-1").await?;
    let (code, text) = story.cli(&["target", "check", target]).await?;
    ensure!(code == 1 && text.contains("! "), "{code}: {text}");
    let (code, text) = story.cli(&["drift"]).await?;
    ensure!(code == 0 && text.contains("could not be looked at"), "{code}: {text}");
    a_deployment_can_do_without_them(story, target).await
}

/// Both targets are away: waited for, left out, or a reason to refuse.
async fn a_deployment_can_do_without_them(story: &Story, target: &str) -> Result<()> {
    for (policy, words) in
        [("skip", "no target of environment test can be deployed to"), ("refuse", "takes no deployment")]
    {
        let environment = format!("kind: Environment\nname: test\nunavailable: {policy}\n");
        story.stack.apply(&environment).await?;
        let (code, text) = story.deploy(false).await?;
        ensure!(code == 3 && text.contains(words) && text.contains(target), "{code}: {text}");
    }
    story.stack.apply("kind: Environment\nname: test\n").await?;
    let (code, text) = story.cli(&["deploy", &story.project, "1.0.0", "--to", "test", "--target", "web-99"]).await?;
    ensure!(code == 3 && text.contains("has no target `web-99`"), "{code}: {text}");
    let one = ["deploy", &story.project, "1.0.0", "--to", "test", "--target", target, "--json"];
    let (code, text) = story.cli(&one).await?;
    ensure!(code == 0, "{code}: {text}");
    let id = serde_json::from_str::<Accepted>(&text)?.id.to_string();
    let view = story.until(&id, Status::WaitingForPerson).await;
    let targets: Vec<_> = view.steps.iter().flat_map(|step| &step.tasks).map(|task| task.target.as_str()).collect();
    ensure!(targets == [target], "{view:#?}");
    Ok(())
}
