//! What a `docker-run` step adds to the containers that it starts, against the engine's API and `docker run`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bollard::{
    Docker,
    models::ContainerCreateBody,
    query_parameters::{CreateContainerOptions, RemoveContainerOptionsBuilder, StartContainerOptions},
};
use slipway_domain::{
    api::{Accepted, DeploymentView, TaskView},
    event::Outcome,
    image::ImageRef,
};
use slipway_integration_tests::{
    containers, machine, ports,
    registry::{Notify, Registry},
    settings,
    stack::{Stack, Wanted},
    tiny_image, wait,
};

use crate::{
    load::{ms, percentile},
    say, verdict,
};

/// Each measurement is made so often, in turns with that of the floor; the middle one counts.
const ROUNDS: usize = 5;
/// Containers at once, and containers one after the other.
const AT_ONCE: usize = 10;
/// A server that answers at once and does not mind being told to end.
const COMMAND: [&str; 3] =
    ["/bin/sh", "-c", "trap 'exit 0' TERM; busybox httpd -p 80; while :; do sleep 3600 & wait; done"];
const PORT: u16 = 80;

/// Sequence and crowd, with a verdict each.
pub async fn run() -> Result<()> {
    let variables = vec![("SLIPWAY_SLOTS".to_owned(), (2 * AT_ONCE).to_string())];
    let stack = Stack::start_with(Wanted { targets: target_names(), variables, ..Wanted::default() }).await?;
    let nobody = Notify { url: "http://127.0.0.1:9/".into(), authorization: String::new() };
    let registry = Registry::start(stack.folder.path(), ports::reserve()?, &nobody).await?;
    let image = prepare(&stack, &registry.port.address()).await?;
    let docker = containers::engine()?;
    let told = measure(&stack, &docker, &image).await;
    for project in ["one", "crowd"] {
        containers::remove_all(&docker, format!("slipway.project={project}")).await?;
    }
    machine::run("docker", &["rmi", "--force", &image.pinned()]).await?;
    told
}

async fn measure(stack: &Stack, docker: &Docker, image: &ImageRef) -> Result<()> {
    say(&format!("median of {ROUNDS} rounds; a container counts as started when its port answers"))?;
    let (mut added, mut commands) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let raw = raw(docker, image, AT_ONCE, 1).await?;
        let command = command_line(docker, image).await?;
        let steps = deployed(stack, docker, "one").await?;
        let (raw, steps) = (percentile(&raw, 50), percentile(&steps, 50));
        added.push(ms(steps) - ms(raw));
        commands.push(ms(command) - ms(raw));
        say(&format!(
            "one by one  API {:.0} ms, docker run -d {:.0} ms, docker-run step {:.0} ms",
            ms(raw),
            ms(command),
            ms(steps)
        ))?;
    }
    verdict("ms that `docker run -d` adds to the API", commands, "no promise", |_| true)?;
    verdict("ms that a docker-run step adds to the API", added, "below 20", |added| added < 20.0)?;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        raw(docker, image, AT_ONCE, AT_ONCE).await?;
        let floor = started.elapsed();
        let wall = wall(stack, docker, "crowd").await?;
        ratios.push(wall.as_secs_f64() / floor.as_secs_f64());
        say(&format!(
            "{AT_ONCE} at once  API {:.0} ms, docker-run steps {:.0} ms = {:.2}",
            ms(floor),
            ms(wall),
            ratios[ratios.len() - 1]
        ))?;
    }
    verdict("wall time in that of the API", ratios, "at most 1.15", |ratio| ratio <= 1.15)
}

fn target_names() -> Vec<String> {
    (0..AT_ONCE).map(|n| format!("host-{n}")).collect()
}

async fn prepare(stack: &Stack, registry: &str) -> Result<ImageRef> {
    tiny_image::push_busybox(registry, "bench/app", "1.0.0").await?;
    let docker = settings::docker();
    let mut manifests = format!(
        "kind: Feed\nname: local\nregistry: {registry}\nplain-http: true\n---\nkind: Environment\nname: test\n---\n\
         kind: Lifecycle\nname: short\nphases: [{{name: test, environments: [test]}}]\n"
    );
    for name in target_names() {
        manifests +=
            &format!("---\nkind: Target\nname: {name}\nenvironments: [test]\nroles: [web]\ndocker: {docker}\n");
    }
    for (project, rolling) in [("one", ", rolling: {window: 1}"), ("crowd", "")] {
        let command = serde_json::to_string(&COMMAND)?;
        manifests += &format!(
            "---\nkind: Project\nname: {project}\nlifecycle: short\npackages:\n  app: {{feed: local, image: bench/app}}\n\
             steps:\n  - {{name: web, targets: {{role: web}}{rolling}, docker-run: {{package: app, command: {command}, \
             health: {{tcp: {{port: {PORT}}}}}}}}}\n"
        );
    }
    stack.apply(&manifests).await?;
    let mut image = None;
    for project in ["one", "crowd"] {
        let body = serde_json::json!({ "packages": { "app": "1.0.0" } });
        let path = format!("/api/v1/projects/{project}/releases");
        let made: slipway_domain::api::ReleaseView = stack.admin.post(&path, &body).await?;
        image = made.packages.into_values().next();
    }
    let image = image.context("an image")?;
    machine::run("docker", &["pull", &image.pinned()]).await?;
    Ok(image)
}

/// Starts `count` containers through the API, `at_once` of them at the same time; how long each took.
async fn raw(docker: &Docker, image: &ImageRef, count: usize, at_once: usize) -> Result<Vec<Duration>> {
    use futures::{StreamExt as _, TryStreamExt as _};
    let starts = futures::stream::iter((0..count).map(|_| start(docker, image)));
    let started: Vec<(String, Duration)> = starts.buffer_unordered(at_once).try_collect().await?;
    let (ids, times): (Vec<_>, Vec<_>) = started.into_iter().unzip();
    remove(docker, &ids).await?;
    Ok(sorted(times))
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort();
    times
}

async fn start(docker: &Docker, image: &ImageRef) -> Result<(String, Duration)> {
    let began = Instant::now();
    let body = ContainerCreateBody {
        image: Some(image.pinned()),
        cmd: Some(COMMAND.map(str::to_owned).to_vec()),
        ..Default::default()
    };
    let id = docker.create_container(None::<CreateContainerOptions>, body).await?.id;
    docker.start_container(&id, None::<StartContainerOptions>).await?;
    answers(docker, &id).await?;
    Ok((id, began.elapsed()))
}

/// Waits until the container's port answers.
async fn answers(docker: &Docker, id: &str) -> Result<()> {
    let seen = docker.inspect_container(id, None).await?;
    let networks = seen.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let address = networks.into_values().find_map(|network| network.ip_address).context("an address")?;
    while tokio::net::TcpStream::connect((address.as_str(), PORT)).await.is_err() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn command_line(docker: &Docker, image: &ImageRef) -> Result<Duration> {
    let mut times = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..AT_ONCE {
        let began = Instant::now();
        let id = machine::run("docker", &[&["run", "-d", &image.pinned()][..], &COMMAND].concat()).await?;
        answers(docker, id.trim()).await?;
        times.push(began.elapsed());
        ids.push(id.trim().to_owned());
    }
    remove(docker, &ids).await?;
    Ok(percentile(&sorted(times), 50))
}

async fn remove(docker: &Docker, ids: &[String]) -> Result<()> {
    for id in ids {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        docker.remove_container(id, Some(options)).await?;
    }
    Ok(())
}

/// Deploys to every target, none of which has a container before; the tasks.
async fn tasks(stack: &Stack, docker: &Docker, project: &str) -> Result<Vec<TaskView>> {
    let body = serde_json::json!({ "project": project, "version": "1.0.0", "environment": "test" });
    let id = stack.admin.post::<Accepted>("/api/v1/deployments", &body).await?.id;
    let view = wait::until("the deployment is over", || async {
        let view: DeploymentView = stack.admin.get(&format!("/api/v1/deployments/{id}")).await?;
        if view.summary.outcome.is_some() { Ok(view) } else { bail!("{view:#?}") }
    })
    .await;
    ensure!(view.summary.outcome == Some(Outcome::Succeeded), "{view:#?}");
    containers::remove_all(docker, format!("slipway.project={project}")).await?;
    Ok(view.steps.into_iter().flat_map(|step| step.tasks).collect())
}

/// How long each task took, from its claim to its end.
async fn deployed(stack: &Stack, docker: &Docker, project: &str) -> Result<Vec<Duration>> {
    let tasks = tasks(stack, docker, project).await?;
    let took = |task: &TaskView| (task.finished_at? - task.started_at?).to_std().ok();
    Ok(sorted(tasks.iter().filter_map(took).collect()))
}

/// From the first claim to the last end.
async fn wall(stack: &Stack, docker: &Docker, project: &str) -> Result<Duration> {
    let tasks = tasks(stack, docker, project).await?;
    let first = tasks.iter().filter_map(|task| task.started_at).min().context("a claim")?;
    let last = tasks.iter().filter_map(|task| task.finished_at).max().context("an end")?;
    Ok((last - first).to_std()?)
}
