//! The shop of deploy/examples in a stack: its manifests under unique names, its images, its hosts.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail, ensure};
use bollard::models::ContainerSummary;
use slipway_domain::{
    api::{DeploymentSummary, DeploymentView, EventView, Status},
    event::Outcome,
};

use crate::{
    client::Client,
    containers, machine,
    ports::{self, Port},
    settings,
    stack::{REGISTRY_SECRET, Stack, Wanted},
    wait,
};

/// A stack with the shop applied, a registry that announces its pushes, and ana, who may approve.
pub struct Shop {
    /// The stack.
    pub stack: Stack,
    /// Ana, member of ops.
    pub ana: Client,
    /// The webhook URL that the registry calls.
    pub webhook: String,
    /// Host ports: staging-01, web-01, web-02.
    pub ports: Vec<Port>,
    repository: String,
}

impl Shop {
    /// Starts a stack with the shop.
    pub async fn start() -> Result<Self> {
        Self::start_with(Wanted::default(), |manifests| manifests).await
    }

    /// Starts what is wanted, with the shop's manifests changed by `edit`.
    pub async fn start_with(wanted: Wanted, edit: impl FnOnce(String) -> String) -> Result<Self> {
        let mut stack = Stack::start_with(wanted).await?;
        let registry = ports::reserve()?;
        let ports = (0..3).map(|_| ports::reserve()).collect::<Result<Vec<_>>>()?;
        let repository = format!("{}/shop/web", registry.address());
        stack.secret("registry-hook", REGISTRY_SECRET).await?;
        stack.apply(&edit(manifests(&stack, &registry, &ports)?)).await?;
        let ana = stack.person("ana", Some("ops")).await?;
        let webhook = stack.start_registry(registry, "local-pushes").await?;
        Ok(Self { stack, ana, webhook, ports, repository })
    }

    /// The project's name.
    pub fn project(&self) -> String {
        self.stack.name("shop")
    }

    /// The folder with the databases that the example migrates.
    pub fn data(&self) -> PathBuf {
        self.stack.path("data")
    }

    /// Builds the shop at a version and pushes it to the registry. `more` goes to the build script.
    pub async fn push(&mut self, version: &str, more: &[&str]) -> Result<()> {
        let image = format!("{}:{version}", self.repository);
        let script = settings::workspace().join("deploy/examples/shop/build");
        let arguments = [&[version, "--repository", &self.repository], more].concat();
        machine::run(script, &arguments).await?;
        machine::run("docker", &["push", "--quiet", &image]).await?;
        Ok(())
    }

    /// The newest deployment of a version to an environment, as soon as there is one.
    pub async fn deployment(&self, version: &str, environment: &str) -> DeploymentSummary {
        let path = format!("/api/v1/deployments?project={}&environment={environment}", self.project());
        wait::until(&format!("a deployment of {version} to {environment}"), || async {
            let all: Vec<DeploymentSummary> = self.stack.admin.get(&path).await?;
            let Some(found) = all.into_iter().find(|one| one.version == version) else {
                let pushes: serde_json::Value = self.stack.admin.get("/api/v1/pushes").await?;
                bail!("not among the deployments; what was pushed: {pushes}")
            };
            Ok(found)
        })
        .await
    }

    /// A deployment with its steps.
    pub async fn view(&self, one: &DeploymentSummary) -> Result<DeploymentView> {
        self.stack.admin.get(&format!("/api/v1/deployments/{}", one.id)).await
    }

    /// The events of a deployment so far.
    pub async fn events(&self, one: &DeploymentSummary) -> Result<Vec<EventView>> {
        let path = format!("/api/v1/deployments/{}/events?follow=false", one.id);
        let answer = self.stack.admin.request(reqwest::Method::GET, &path).send().await?.error_for_status()?;
        let text = answer.text().await?;
        text.lines().filter_map(|line| line.strip_prefix("data:")).map(|json| Ok(serde_json::from_str(json)?)).collect()
    }

    /// What a deployment printed.
    pub async fn logs(&self, one: &DeploymentSummary) -> Result<String> {
        let path = format!("/api/v1/deployments/{}/logs?follow=false", one.id);
        let answer = self.stack.admin.request(reqwest::Method::GET, &path).send().await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    /// Waits until a deployment waits for a person.
    pub async fn waiting(&self, one: &DeploymentSummary) -> DeploymentView {
        self.until_status(one, Status::WaitingForPerson).await
    }

    /// Waits until a deployment is over.
    pub async fn finished(&self, one: &DeploymentSummary) -> DeploymentView {
        self.until_status(one, Status::Finished).await
    }

    /// Waits until a deployment is over, which must be with success.
    pub async fn succeeded(&self, one: &DeploymentSummary) -> DeploymentView {
        let view = self.finished(one).await;
        assert_eq!(view.summary.outcome, Some(Outcome::Succeeded), "{view:#?}\n{}", self.stack.tails());
        view
    }

    async fn until_status(&self, one: &DeploymentSummary, wanted: Status) -> DeploymentView {
        let what = format!("deployment of {} to {} is {}", one.version, one.environment, wanted.as_str());
        let end = tokio::time::Instant::now() + wait::PATIENCE * 2;
        wait::until_within(wait::PATIENCE * 2 + Duration::from_secs(5), &what, || async {
            let view = match self.view(one).await {
                Ok(view) if view.summary.status == wanted => return Ok(view),
                Ok(view) => format!("{view:#?}"),
                Err(error) => format!("{error:#}"),
            };
            if tokio::time::Instant::now() > end { Err(format!("{view}\n{}", self.stack.tails())) } else { Err(view) }
        })
        .await
    }

    /// Ana's vote.
    pub async fn approve(&self, one: &DeploymentSummary) -> Result<()> {
        let (code, text) = self.stack.cli(&self.ana, &["approve", &one.id.to_string(), "sign-off"]).await?;
        ensure!(code == 0, "slipway approve: exit {code}: {text}");
        Ok(())
    }

    /// What the web server of a host answers; `host` 0 is staging-01, 1 web-01, 2 web-02.
    pub async fn page(&self, host: usize) -> Result<String> {
        let url = format!("http://{}/", self.ports[host].address());
        Ok(reqwest::Client::builder().no_proxy().build()?.get(url).send().await?.error_for_status()?.text().await?)
    }

    /// The containers of the shop that run on a target, which is named as in the example.
    pub async fn running_on(&self, target: &str) -> Result<Vec<ContainerSummary>> {
        let labels = [self.label(), format!("slipway.target={}", self.stack.name(target))];
        containers::running(&containers::engine()?, &labels).await
    }

    /// All containers of the shop, running or not.
    pub async fn all_containers(&self) -> Result<Vec<ContainerSummary>> {
        containers::labelled(&containers::engine()?, &[self.label()]).await
    }

    fn label(&self) -> String {
        format!("slipway.project={}", self.project())
    }

    /// Removes the containers and images that the test made. To be called at the end of a test, also of a failed one:
    /// see [`with`].
    pub async fn clean(&self) -> Result<()> {
        containers::remove_all(&containers::engine()?, self.label()).await?;
        // By name, not by id: other stacks may have built the very same image.
        for format in ["{{.Repository}}:{{.Tag}}", "{{.Repository}}@{{.Digest}}"] {
            let names = machine::run("docker", &["images", "--digests", "--format", format, &self.repository]).await?;
            for name in names.lines().filter(|name| !name.contains("<none>")) {
                if let Err(error) = machine::run("docker", &["rmi", name]).await {
                    eprintln!("an image stays: {error:#}");
                }
            }
        }
        Ok(())
    }
}

/// Starts a shop, tells its story, and cleans up whatever came of it.
pub async fn with<F>(wanted: Wanted, edit: impl FnOnce(String) -> String, story: F) -> Result<()>
where
    F: AsyncFnOnce(&mut Shop) -> Result<()>,
{
    use futures::FutureExt;
    let mut shop = Shop::start_with(wanted, edit).await?;
    let told = std::panic::AssertUnwindSafe(story(&mut shop)).catch_unwind().await;
    shop.clean().await?;
    match told {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => bail!("{error:?}\n{}", shop.stack.tails()),
        Err(panic) => {
            eprintln!("{}", shop.stack.tails());
            std::panic::resume_unwind(panic)
        }
    }
}

fn manifests(stack: &Stack, registry: &Port, ports: &[Port]) -> Result<String> {
    let folder = settings::workspace().join("deploy/examples/shop/manifests");
    let house = std::fs::read_to_string(folder.join("house.yml"))?;
    let project = std::fs::read_to_string(folder.join("shop.yml"))?;
    let data = stack.path("data");
    std::fs::create_dir_all(&data)?;
    let mut text = format!("{house}\n---\n{project}");
    let hosts = ["staging-01", "web-01", "web-02"];
    for ((host, port), example) in hosts.iter().zip(ports).zip(["8080", "8081", "8082"]) {
        text = replace(&text, &format!("\"{example}\""), &format!("\"{}\"", port.number()))?;
        text = replace(&text, host, &stack.name(host))?;
    }
    text = replace(&text, "name: shop\n", &format!("name: {}\n", stack.name("shop")))?;
    text = replace(&text, "127.0.0.1:5000", &registry.address())?;
    text = replace(&text, "unix:///var/run/docker.sock", &settings::docker())?;
    replace(&text, "/var/lib/shop", &data.display().to_string())
}

fn replace(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "the example has no `{from}` any more");
    Ok(text.replace(from, to))
}
