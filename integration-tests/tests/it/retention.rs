//! What no policy keeps goes: releases, and on the hosts the containers and images that nothing needs any more.

use anyhow::{Context, Result, bail, ensure};
use slipway_domain::{
    api::{Accepted, AuditEntry, DeploymentView, PushView, ReleaseView},
    event::Outcome,
};
use slipway_integration_tests::{
    containers, machine, ports, settings,
    stack::{REGISTRY_SECRET, Stack, Wanted},
    tiny_image, wait,
};

const VERSIONS: [&str; 4] = ["1.0.0", "1.1.0", "1.2.0", "1.3.0"];

fn manifests(stack: &Stack, registry: &str) -> String {
    let (target, docker, project) = (stack.name("staging-01"), settings::docker(), stack.name("shop"));
    format!(
        "kind: Feed\nname: local\nregistry: {registry}\nplain-http: true\n---\n\
         kind: Webhook\nname: pushes\nsource: distribution\nfeeds: [local]\nauthorization: {{secret: registry-hook}}\n---\n\
         kind: Environment\nname: test\n---\n\
         kind: Target\nname: {target}\nenvironments: [test]\nroles: [web]\ndocker: {docker}\n---\n\
         kind: Lifecycle\nname: standard\nretention: {{releases: 1}}\nphases: [{{name: Test, environments: [test]}}]\n---\n\
         kind: Project\nname: {project}\nlifecycle: standard\npackages:\n  app: {{feed: local, image: {project}/app}}\n\
         triggers: [{{on: push}}]\nsteps:\n\
         \x20 - {{name: warm, targets: {{role: web}}, docker-job: {{package: app, command: [/bin/sh, -c, 'true']}}}}\n\
         \x20 - {{name: web, needs: [warm], targets: {{role: web}}, docker-run: {{package: app, \
         command: [/bin/sh, -c, 'trap \"exit 0\" TERM; sleep 3600 & wait']}}}}\n"
    )
}

async fn deployed(stack: &Stack, version: &str) -> Result<DeploymentView> {
    let body = serde_json::json!({ "project": stack.name("shop"), "version": version, "environment": "test" });
    let id = wait::until("the release can be deployed", || async {
        stack.admin.post::<Accepted>("/api/v1/deployments", &body).await.map(|accepted| accepted.id)
    })
    .await;
    let view = wait::until("it is over", || async {
        let view: DeploymentView = stack.admin.get(&format!("/api/v1/deployments/{id}")).await?;
        if view.summary.outcome.is_some() { Ok(view) } else { bail!("{view:#?}\n{}", stack.tails()) }
    })
    .await;
    ensure!(view.summary.outcome == Some(Outcome::Succeeded), "{view:#?}");
    Ok(view)
}

async fn releases(stack: &Stack) -> Result<Vec<String>> {
    let all: Vec<ReleaseView> = stack.admin.get(&format!("/api/v1/projects/{}/releases", stack.name("shop"))).await?;
    Ok(all.into_iter().map(|release| release.version).collect())
}

#[tokio::test]
async fn what_no_policy_keeps_goes_and_the_rest_stays() -> Result<()> {
    // A round a second; what is over leaves the log at once.
    let variables = [("SLIPWAY_RETENTION_HOURS", "0"), ("SLIPWAY_LOG_HOURS", "0")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut stack = Stack::start_with(Wanted { variables, ..Wanted::default() }).await?;
    let told = tell(&mut stack).await;
    let docker = containers::engine()?;
    containers::remove_all(&docker, format!("slipway.project={}", stack.name("shop"))).await?;
    told.with_context(|| stack.tails())
}

async fn tell(stack: &mut Stack) -> Result<()> {
    let port = ports::reserve()?;
    let (address, project) = (port.address(), stack.name("shop"));
    let repository = format!("{project}/app");
    stack.secret("registry-hook", REGISTRY_SECRET).await?;
    stack.apply(&manifests(stack, &address)).await?;
    stack.start_registry(port, "pushes").await?;
    let mut images = Vec::new();
    for version in VERSIONS {
        tiny_image::push_busybox(&address, &repository, version).await?;
        let view = deployed(stack, version).await?;
        images.push(view.packages.values().next().context("an image")?.pinned());
    }
    wait::until("the oldest releases went", || async {
        let left = releases(stack).await?;
        if left == ["1.3.0", "1.2.0"] { Ok(()) } else { bail!("{left:?}") }
    })
    .await;
    hosts_are_clean(stack, &project, &images).await?;
    everything_is_told(stack, &project).await?;

    // An old tag that is announced again makes no release.
    tiny_image::push_busybox(&address, &repository, "1.0.0").await?;
    wait::until("the delivery is dealt with", || async {
        let pushes: Vec<PushView> = stack.admin.get("/api/v1/pushes").await?;
        let told =
            pushes.iter().flat_map(|push| &push.images).any(|image| image.reason.contains("retention took it away"));
        if told { Ok(()) } else { bail!("{pushes:#?}") }
    })
    .await;
    ensure!(releases(stack).await? == ["1.3.0", "1.2.0"]);
    // And whoever goes back still can.
    let (code, text) = stack.cli(&stack.admin, &["rollback", &project, "--to", "test", "--watch"]).await?;
    ensure!(code == 0, "{code}: {text}");
    for image in &images[2..] {
        machine::run("docker", &["rmi", "--force", image]).await?;
    }
    Ok(())
}

/// The job's containers are gone, the one that serves is there, and so are the images that are kept.
async fn hosts_are_clean(stack: &Stack, project: &str, images: &[String]) -> Result<()> {
    let docker = containers::engine()?;
    let label = [format!("slipway.project={project}")];
    wait::until("only what serves is left", || async {
        let all = containers::labelled(&docker, &label).await?;
        let serving = containers::running(&docker, &label).await?;
        if all.len() == 1 && serving.len() == 1 { Ok(()) } else { bail!("{all:#?}\n{}", stack.tails()) }
    })
    .await;
    wait::until("images that nothing needs are gone", || async {
        let mut there = Vec::new();
        for image in images {
            there.push(machine::run("docker", &["image", "inspect", image]).await.is_ok());
        }
        if there == [false, false, true, true] { Ok(()) } else { bail!("{there:?}\n{}", stack.tails()) }
    })
    .await;
    Ok(())
}

async fn everything_is_told(stack: &Stack, project: &str) -> Result<()> {
    let (code, text) = stack.cli(&stack.admin, &["release", "retention", project]).await?;
    ensure!(code == 0 && text.contains("test has it") && text.contains("test had it before"), "{code}: {text}");
    let audit: Vec<AuditEntry> = stack.admin.get("/api/v1/audit").await?;
    let retired: Vec<_> = audit.iter().filter(|entry| entry.action == "release.retire").collect();
    ensure!(
        retired.len() == 2 && retired.iter().all(|entry| entry.detail.contains("phase Test keeps 1")),
        "{retired:#?}"
    );
    Ok(())
}
