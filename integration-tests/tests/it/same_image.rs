//! What was released is what runs, in one environment after the other, whatever the tag means by then.

use anyhow::{Context, Result, ensure};
use slipway_domain::{
    api::{Accepted, DeploymentSummary, DeploymentView, ReleaseView},
    event::Outcome,
    image::ImageRef,
};
use slipway_integration_tests::{
    containers, machine, ports,
    registry::{Notify, Registry},
    settings,
    stack::Stack,
    tiny_image, wait,
};

const ENVIRONMENTS: [&str; 3] = ["test", "staging", "production"];

fn manifests(stack: &Stack, registry: &str) -> String {
    let mut text = format!("kind: Feed\nname: local\nregistry: {registry}\nplain-http: true\n---\n");
    for (environment, target) in ENVIRONMENTS.iter().zip(stack.target_names()) {
        let docker = settings::docker();
        text += &format!(
            "kind: Environment\nname: {environment}\n---\nkind: Target\nname: {target}\n\
             environments: [{environment}]\nroles: [web]\ndocker: {docker}\n---\n"
        );
    }
    let phases = ENVIRONMENTS.map(|name| format!("  - {{name: {name}, environments: [{name}]}}\n")).concat();
    let project = stack.name("shop");
    text + &format!(
        "kind: Lifecycle\nname: standard\nphases:\n{phases}---\nkind: Project\nname: {project}\nlifecycle: standard\n\
         packages:\n  app: {{feed: local, image: {project}/app}}\nsteps:\n  - {{name: web, targets: {{role: web}}, \
         docker-run: {{package: app, command: [/bin/sh, -c, 'trap \"exit 0\" TERM; sleep 3600 & wait']}}}}\n"
    )
}

async fn deployed(stack: &Stack, environment: &str) -> Result<DeploymentView> {
    let body = serde_json::json!({ "project": stack.name("shop"), "version": "1.2.0", "environment": environment });
    let id = stack.admin.post::<Accepted>("/api/v1/deployments", &body).await?.id;
    let view = wait::until("it is over", || async {
        let view: DeploymentView =
            stack.admin.get(&format!("/api/v1/deployments/{id}")).await.map_err(|error| error.to_string())?;
        if view.summary.outcome.is_some() { Ok(view) } else { Err(format!("{view:#?}\n{}", stack.tails())) }
    })
    .await;
    ensure!(view.summary.outcome == Some(Outcome::Succeeded), "{view:#?}");
    Ok(view)
}

#[tokio::test]
async fn a_release_keeps_its_image_through_three_environments_after_its_tag_was_moved() -> Result<()> {
    let stack = Stack::start().await?;
    let nobody = Notify { url: "http://127.0.0.1:9/".into(), authorization: String::new() };
    let registry = Registry::start(stack.folder.path(), ports::reserve()?, &nobody).await?;
    let (address, project) = (registry.port.address(), stack.name("shop"));
    let repository = format!("{project}/app");
    tiny_image::push_busybox(&address, &repository, "1.2.0").await?;
    stack.apply(&manifests(&stack, &address)).await?;
    let body = serde_json::json!({ "packages": { "app": "1.2.0" } });
    let release: ReleaseView = stack.admin.post(&format!("/api/v1/projects/{project}/releases"), &body).await?;
    let image: &ImageRef = release.packages.values().next().context("a package")?;

    let mut seen = Vec::new();
    for environment in ENVIRONMENTS {
        let view = deployed(&stack, environment).await?;
        let task = view.steps.iter().flat_map(|step| &step.tasks).next().context("a task")?;
        assert_eq!(task.outputs["image_digest"], image.digest.as_str(), "{environment}");
        let id = task.outputs["container_id"].as_str().context("a container")?;
        let running = machine::run("docker", &["inspect", "--format", "{{.Image}} {{.State.Running}}", id]).await?;
        seen.push(running.trim().to_owned());
        // Another image under the same tag, which starts nothing and so could not succeed.
        tiny_image::push(&address, &repository, "1.2.0").await?;
    }
    let inspect = ["image", "inspect", "--format", "{{json .RepoDigests}}", &image.pinned()];
    ensure!(machine::run("docker", &inspect).await?.contains(image.digest.as_str()));
    ensure!(seen[0].ends_with("true") && seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    let (_, text) = stack.cli(&stack.admin, &["release", "show", &project, "1.2.0"]).await?;
    ensure!(text.contains("was moved and is sha256:") && text.contains("for linux/amd64"), "{text}");
    let again: ReleaseView = stack.admin.get(&format!("/api/v1/projects/{project}/releases/1.2.0")).await?;
    assert_eq!(again.packages.values().next(), Some(image));
    an_image_for_another_processor_is_told(&stack, &address).await?;
    let docker = containers::engine()?;
    containers::remove_all(&docker, format!("slipway.project={project}")).await?;
    machine::run("docker", &["rmi", &image.pinned()]).await.map(drop)
}

/// In a plan, and to who wonders why nothing runs.
async fn an_image_for_another_processor_is_told(stack: &Stack, registry: &str) -> Result<()> {
    let project = stack.name("shop");
    tiny_image::push_for(registry, &format!("{project}/app"), "2.0.0", "s390x").await?;
    let body = serde_json::json!({ "packages": { "app": "2.0.0" } });
    stack.admin.post::<ReleaseView>(&format!("/api/v1/projects/{project}/releases"), &body).await?;
    let (code, text) = stack.cli(&stack.admin, &["plan", &project, "2.0.0", "--to", "test"]).await?;
    ensure!(code == 0 && text.contains("is for linux/s390x, and the engine of"), "{code}: {text}");
    let deploy = ["deploy", &project, "2.0.0", "--to", "test", "--watch"];
    // What is in it does run here, which nobody can know.
    let (code, text) = stack.cli(&stack.admin, &deploy).await?;
    ensure!(code == 0, "{code}: {text}");
    let deployments: Vec<DeploymentSummary> =
        stack.admin.get(&format!("/api/v1/deployments?project={project}")).await?;
    let id = deployments[0].id.to_string();
    let (_, text) = stack.cli(&stack.admin, &["deployment", "logs", &id]).await?;
    ensure!(text.contains("it runs only if the host emulates it"), "{text}");
    Ok(())
}
