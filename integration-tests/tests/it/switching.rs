//! From one container to the next behind a proxy, under load: not one request fails.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use slipway_domain::{
    api::{Accepted, DeploymentView},
    event::Outcome,
};
use slipway_integration_tests::{
    containers,
    host::{Wire, own_network},
    machine, ports,
    process::Process,
    registry::{Notify, Registry},
    settings,
    stack::Stack,
    tiny_image, wait,
};

const SWITCHES: usize = 10;
/// Says its version, and lets who is being answered finish.
const SERVE: &str = "trap 'exit 0' TERM; busybox mkdir -p /www; echo #{Release} > /www/index.html; \
    busybox httpd -p 80 -h /www; while :; do sleep 3600 & wait; done";

struct Story {
    stack: Stack,
    project: String,
    /// Where the proxy serves.
    url: String,
    admin: String,
    _wire: Wire,
    _caddy: Process,
    _registry: Registry,
}

impl Story {
    async fn start() -> Result<Self> {
        let stack = Stack::start().await?;
        let nobody = Notify { url: "http://127.0.0.1:9/".into(), authorization: String::new() };
        let registry = Registry::start(stack.folder.path(), ports::reserve()?, &nobody).await?;
        let (address, project) = (registry.port.address(), stack.name("shop"));
        for version in ["1.0.0", "1.1.0"] {
            tiny_image::push_busybox(&address, &format!("{project}/app"), version).await?;
        }
        let (caddy, wire) = caddy(&stack).await?;
        let (url, admin) = (format!("http://{}/", wire.there()), format!("http://{}:2019", wire.there()));
        let http = reqwest::Client::builder().no_proxy().build()?;
        wait::until("the proxy can be told", || async { http.get(format!("{admin}/config/")).send().await }).await;
        let story = Self { stack, project, url, admin, _wire: wire, _caddy: caddy, _registry: registry };
        story.stack.apply(&story.manifests(&address, "shop-web")).await?;
        for version in ["1.0.0", "1.1.0"] {
            let body = serde_json::json!({ "packages": { "app": version } });
            let path = format!("/api/v1/projects/{}/releases", story.project);
            story.stack.admin.post::<serde_json::Value>(&path, &body).await?;
        }
        Ok(story)
    }

    fn manifests(&self, registry: &str, id: &str) -> String {
        let (target, docker) = (self.stack.name("staging-01"), settings::docker());
        let command = serde_json::json!(["/bin/sh", "-c", SERVE]);
        format!(
            "kind: Feed\nname: local\nregistry: {registry}\nplain-http: true\n---\nkind: Environment\nname: test\n---\n\
             kind: Target\nname: {target}\nenvironments: [test]\nroles: [web]\ndocker: {docker}\n---\n\
             kind: Lifecycle\nname: short\nphases: [{{name: test, environments: [test]}}]\n---\n\
             kind: Project\nname: {project}\nlifecycle: short\npackages:\n  app: {{feed: local, image: {project}/app}}\n\
             steps:\n  - {{name: web, targets: {{role: web}}, docker-run: {{package: app, command: {command}, ports: ['80'], \
             health: {{http: {{port: 80}}}}, switch: {{proxy: {{caddy: '{admin}', id: {id}, port: 80, to: container, drain: 5s}}}}}}}}\n",
            project = self.project,
            admin = self.admin,
        )
    }

    async fn deployed(&self, version: &str) -> Result<DeploymentView> {
        let body = serde_json::json!({ "project": self.project, "version": version, "environment": "test" });
        let id = self.stack.admin.post::<Accepted>("/api/v1/deployments", &body).await?.id;
        Ok(wait::until("it is over", || async {
            let view: DeploymentView = self.stack.admin.get(&format!("/api/v1/deployments/{id}")).await?;
            if view.summary.outcome.is_some() { Ok(view) } else { bail!("{view:#?}\n{}", self.stack.tails()) }
        })
        .await)
    }

    async fn succeeded(&self, version: &str) -> Result<()> {
        let view = self.deployed(version).await?;
        ensure!(view.summary.outcome == Some(Outcome::Succeeded), "{view:#?}\n{}", self.stack.tails());
        let page = self.page().await?;
        ensure!(page.trim() == version, "{page}");
        Ok(())
    }

    async fn page(&self) -> Result<String> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(http.get(&self.url).send().await?.error_for_status()?.text().await?)
    }
}

/// A proxy whose handler `shop-web` has nobody behind it yet, in a network that hands connections on when a port is
/// opened anew.
async fn caddy(stack: &Stack) -> Result<(Process, Wire)> {
    let config = serde_json::json!({
        "admin": {"listen": ":2019", "config": {"persist": false}},
        "apps": {"http": {"servers": {"shop": {
            "listen": [":80"], "automatic_https": {"disable": true},
            "routes": [{"handle": [{"@id": "shop-web", "handler": "reverse_proxy"}]}],
        }}}},
    });
    let file = stack.path("caddy.json");
    std::fs::write(&file, config.to_string())?;
    let home = stack.path("caddy").display().to_string();
    let inside = format!(
        "ip link set lo up && echo 1 > /proc/sys/net/ipv4/tcp_migrate_req && exec caddy run --config {}",
        file.display()
    );
    let mut caddy = Process::new("caddy", "unshare".into(), stack.folder.path());
    for argument in ["--net", "sh", "-c", &inside] {
        caddy = caddy.arg(argument);
    }
    caddy = caddy.env("HOME", &home).env("XDG_DATA_HOME", &home).env("XDG_CONFIG_HOME", &home);
    caddy.start()?;
    let pid = caddy.id().context("the proxy runs")?;
    own_network(pid).await?;
    Ok((caddy, Wire::to(pid).await?))
}

#[tokio::test]
async fn ten_switches_behind_a_proxy_under_load_fail_no_request() -> Result<()> {
    let story = Story::start().await?;
    let told = tell(&story).await;
    containers::remove_all(&containers::engine()?, format!("slipway.project={}", story.project)).await?;
    told.with_context(|| story.stack.tails())
}

async fn tell(story: &Story) -> Result<()> {
    story.succeeded("1.0.0").await?;
    let mut load = tokio::process::Command::new("ab");
    load.args(["-q", "-r", "-c", "4", "-t", "600", "-n", "100000000", &story.url]);
    let load = load.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    for n in 0..SWITCHES {
        story.succeeded(["1.1.0", "1.0.0"][n % 2]).await?;
    }
    let pid = load.id().context("the load goes on")?.to_string();
    machine::run("kill", &["-INT", &pid]).await?;
    let output = load.wait_with_output().await?;
    let report = format!("{}{}", String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    let figure = |name: &str| -> Option<u64> {
        report.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
    };
    let answered = figure("Complete requests:").context(report.clone())?;
    ensure!(answered > 100 && figure("Failed requests:") == Some(0), "{report}");
    ensure!(figure("Non-2xx responses:").is_none(), "{report}");

    a_proxy_that_does_not_do_it_changes_nothing(story).await
}

/// A handler that is not there: the old container serves on, the new one goes.
async fn a_proxy_that_does_not_do_it_changes_nothing(story: &Story) -> Result<()> {
    let registry = story._registry.port.address();
    story.stack.apply(&story.manifests(&registry, "of-nobody")).await?;
    let body = serde_json::json!({ "version": "1.2.0", "packages": { "app": "1.1.0" } });
    let path = format!("/api/v1/projects/{}/releases", story.project);
    story.stack.admin.post::<serde_json::Value>(&path, &body).await?;
    let view = story.deployed("1.2.0").await?;
    ensure!(view.summary.outcome == Some(Outcome::Failed), "{view:#?}");
    let told = format!("{view:?}");
    ensure!(told.contains("of-nobody") && told.contains("still serves"), "{view:#?}");
    ensure!(story.page().await?.trim() == "1.0.0");
    let label = [format!("slipway.project={}", story.project)];
    let left = containers::labelled(&containers::engine()?, &label).await?;
    ensure!(left.len() == 1, "{left:#?}");
    Ok(())
}
