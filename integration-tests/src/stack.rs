//! The whole of Slipway in a folder: NATS, the four services, a registry; started, killed, restarted.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, ensure};
use slipway_domain::api::{CreatedToken, CreatedWebhookToken};
use tempfile::TempDir;

use crate::{
    client::Client,
    machine,
    ports::{self, Port},
    process::Process,
    registry::{Notify, Registry},
    settings, wait,
};

/// Value of the `Authorization` header that the registry sends and the webhook expects.
pub const REGISTRY_SECRET: &str = "Bearer canary-registry-hook";

/// What to start.
#[derive(Default)]
pub struct Wanted {
    /// URL of the release service's database; SQLite in the stack's folder without.
    pub database: Option<String>,
    /// How many executors; 0 means one.
    pub executors: usize,
    /// How many planners; 0 means one. The second is `planner-2`.
    pub planners: usize,
    /// NATS as a cluster of three servers instead of one.
    pub cluster: bool,
    /// Where NATS keeps the streams, in place of a folder of the stack.
    pub nats_store: Option<PathBuf>,
    /// More environment variables for every service.
    pub variables: Vec<(String, String)>,
    /// More environment variables for the notifier.
    pub notifier: Vec<(String, String)>,
    /// More targets that every executor serves, by names that are not made unique. NATS then lets executors serve any.
    pub targets: Vec<String>,
}

/// A running stack. Dropped, its processes are killed and its folder is removed.
pub struct Stack {
    /// Unique among all stacks of the machine; part of every project name.
    pub id: String,
    /// Where everything is.
    pub folder: TempDir,
    /// The API as `admin`.
    pub admin: Client,
    /// The registry, once [`Stack::with_registry`] was called.
    pub registry: Option<Registry>,
    /// NATS; in a cluster its first server.
    pub nats: Process,
    /// The other servers of a cluster: `nats-2` and `nats-3`.
    pub nats_more: BTreeMap<String, Process>,
    services: BTreeMap<String, Process>,
    ports: BTreeMap<String, Port>,
}

impl Stack {
    /// Starts NATS, the four services with SQLite, and one executor.
    pub async fn start() -> Result<Self> {
        Self::start_with(Wanted::default()).await
    }

    /// Starts what is wanted and waits until all of it is ready.
    pub async fn start_with(wanted: Wanted) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("slipway-stack-").tempdir()?;
        let id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
        let executors: Vec<String> = (1..=wanted.executors.max(1)).map(|n| format!("executor-{n}")).collect();
        let planners: Vec<String> = (2..=wanted.planners).map(|n| format!("planner-{n}")).collect();
        let more = || planners.iter().chain(&executors).map(String::as_str);
        let mut ports = BTreeMap::new();
        for name in ["nats", "release", "planner", "notifier"].into_iter().chain(more()) {
            ports.insert(name.to_owned(), ports::reserve()?);
        }
        if wanted.cluster {
            for name in ["nats-2", "nats-3", "route-1", "route-2", "route-3"] {
                ports.insert(name.to_owned(), ports::reserve()?);
            }
        }
        let only = wanted.targets.is_empty().then_some(id.as_str());
        let (nats, nats_more) = nats_processes(&folder, &ports, (&executors, &planners), only, &wanted).await?;
        let admin = Client::new(format!("http://{}", ports["release"].address()), None);
        let mut stack = Self { services: BTreeMap::new(), registry: None, id, folder, admin, nats, nats_more, ports };
        stack.nats.start()?;
        stack.nats_more.values_mut().try_for_each(Process::start)?;
        for name in ["release", "planner", "notifier"].into_iter().chain(more()) {
            let process = stack.service(name, &wanted);
            stack.services.insert(name.to_owned(), process);
            stack.restart(name)?;
        }
        let token =
            wait::until("the admin token is written", || async { std::fs::read_to_string(stack.path("admin.token")) });
        let token = token.await.trim().to_owned();
        stack.admin = stack.admin.with_token(Some(token));
        stack.ready().await;
        Ok(stack)
    }

    fn service(&self, name: &str, wanted: &Wanted) -> Process {
        let role = name.split("-").next().unwrap_or(name);
        let listen = self.ports[name].address();
        let mut process = Process::new(name, settings::own(&format!("slipway-{role}")), self.folder.path())
            .env("SLIPWAY_ID", if name.contains('-') { name.to_owned() } else { format!("{name}-1") })
            .env("SLIPWAY_LISTEN", listen)
            .env("SLIPWAY_NATS_URL", self.nats_url())
            .env("SLIPWAY_NATS_REPLICAS", if self.nats_more.is_empty() { "1" } else { "3" })
            .env("SLIPWAY_NATS_CREDS", self.seed(name))
            .env("SLIPWAY_LOG", "info,slipway=debug");
        let sqlite = format!("sqlite://{}?mode=rwc", self.path("release.db").display());
        let own: Vec<(&str, String)> = match role {
            "release" => vec![
                ("SLIPWAY_DATABASE_URL", wanted.database.clone().unwrap_or(sqlite)),
                ("SLIPWAY_MASTER_KEY_FILE", self.path("master.key").display().to_string()),
                ("SLIPWAY_ADMIN_TOKEN_FILE", self.path("admin.token").display().to_string()),
            ],
            "executor" => vec![
                ("SLIPWAY_TARGETS", [self.target_names(), wanted.targets.clone()].concat().join(",")),
                ("SLIPWAY_WORKER", "true".to_owned()),
                ("SLIPWAY_WORKER_DOCKER", settings::docker()),
                ("SLIPWAY_STATE_DIR", self.path(&format!("state-{name}")).display().to_string()),
            ],
            "notifier" => vec![("SLIPWAY_STATE_DIR", self.path("state-notifier").display().to_string())],
            _ => Vec::new(),
        };
        for (variable, value) in own {
            process = process.env(variable, value);
        }
        for (variable, value) in &wanted.variables {
            process = process.env(variable, value);
        }
        if role == "notifier" {
            for (variable, value) in &wanted.notifier {
                process = process.env(variable, value);
            }
        }
        process
    }

    /// The targets that every executor of the stack serves: `staging-01`, `web-01` and `web-02`, made unique.
    pub fn target_names(&self) -> Vec<String> {
        ["staging-01", "web-01", "web-02"].iter().map(|name| self.name(name)).collect()
    }

    /// A name made unique for this stack.
    pub fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.id)
    }

    /// A path in the stack's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The NATS seed file of a service, or of `operator`.
    pub fn seed(&self, service: &str) -> PathBuf {
        let alone = ["release", "planner", "notifier"].contains(&service);
        self.path("nats").join(if alone { format!("{service}-1.nk") } else { format!("{service}.nk") })
    }

    /// `nats://127.0.0.1:<port>`; in a cluster all of them, separated by commas.
    pub fn nats_url(&self) -> String {
        let servers = ["nats"].into_iter().chain(self.nats_more.keys().map(String::as_str));
        servers.map(|name| format!("nats://{}", self.ports[name].address())).collect::<Vec<_>>().join(",")
    }

    /// `http://127.0.0.1:<port>` of a service.
    pub fn url(&self, service: &str) -> String {
        format!("http://{}", self.ports[service].address())
    }

    /// A service's process.
    pub fn process(&mut self, name: &str) -> &mut Process {
        if name == "nats" {
            return &mut self.nats;
        }
        let one = self.services.get_mut(name).or(self.nats_more.get_mut(name));
        one.expect("a process of the stack")
    }

    /// Starts a service that does not run.
    pub fn restart(&mut self, name: &str) -> Result<()> {
        self.process(name).start()
    }

    /// `kill -9` of a service or of `nats`.
    pub async fn kill(&mut self, name: &str) -> Result<()> {
        self.process(name).kill().await
    }

    /// The names of all processes but the registry.
    pub fn names(&self) -> Vec<String> {
        self.services.keys().cloned().chain(["nats".to_owned()]).collect()
    }

    /// Waits until every service says that it is usable.
    pub async fn ready(&self) {
        for name in self.services.keys() {
            self.service_ready(name).await;
        }
    }

    /// Waits until one service says that it is usable.
    pub async fn service_ready(&self, name: &str) {
        wait::until(&format!("{name} is ready\n{}", self.services[name].tail()), || self.is_ready(name)).await;
    }

    /// Whether a service says that it is usable; what it says if not.
    pub async fn is_ready(&self, name: &str) -> std::result::Result<(), String> {
        if name == "nats" {
            return Ok(());
        }
        let probe = Client::new(self.url(name), None);
        let answer = probe.request(reqwest::Method::GET, "/readyz").send().await.map_err(|e| e.to_string())?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(answer.text().await.unwrap_or_default()),
        }
    }

    /// The last lines that each process printed; for a test that fails.
    pub fn tails(&self) -> String {
        self.services.values().chain([&self.nats]).map(Process::tail).collect::<Vec<_>>().join("\n")
    }

    /// Everything that every process printed.
    pub fn outputs(&self) -> BTreeMap<String, String> {
        let registry = self.registry.iter().map(|registry| &registry.process);
        let all = self.services.values().chain([&self.nats]).chain(registry);
        all.map(|process| (process.name().to_owned(), process.output())).collect()
    }

    /// Runs the CLI as `client`; what it printed and its exit code.
    pub async fn cli(&self, client: &Client, arguments: &[&str]) -> Result<(i32, String)> {
        let mut command = tokio::process::Command::new(settings::own("slipway"));
        command.args(arguments).env("SLIPWAY_SERVER", client.base()).env("HOME", self.folder.path());
        command.env("SLIPWAY_TOKEN", client.token().unwrap_or_default());
        let output = machine::output(command).await?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok((output.status.code().unwrap_or(-1), text))
    }

    /// Writes manifests into a folder and applies them with the CLI; they must be taken.
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        let (code, text) = self.try_apply(manifests).await?;
        ensure!(code == 0, "slipway apply: exit {code}\n{text}\n{}", self.tails());
        Ok(text)
    }

    /// Writes manifests into a folder and applies them with the CLI; exit code and what it printed.
    pub async fn try_apply(&self, manifests: &str) -> Result<(i32, String)> {
        let file = self.path(&format!("manifests-{}.yml", uuid::Uuid::new_v4().simple()));
        std::fs::write(&file, manifests)?;
        self.cli(&self.admin, &["apply", "-f", file.to_str().context("a plain path")?]).await
    }

    /// The API as a person.
    pub async fn person(&self, person: &str, team: Option<&str>) -> Result<Client> {
        let body = serde_json::json!({ "person": person, "team": team, "right": "deploy" });
        let created: CreatedToken = self.admin.post("/api/v1/tokens", &body).await?;
        Ok(self.admin.with_token(Some(created.token)))
    }

    /// Stores a secret.
    pub async fn secret(&self, name: &str, value: &str) -> Result<()> {
        self.admin.put(&format!("/api/v1/secrets/{name}"), &serde_json::json!({ "value": value })).await
    }

    /// Starts a registry on `port` whose pushes go to the Webhook manifest of that name.
    pub async fn start_registry(&mut self, port: Port, webhook: &str) -> Result<String> {
        let path = format!("/api/v1/webhooks/{webhook}/token");
        let created: CreatedWebhookToken = self.admin.post(&path, &serde_json::json!({})).await?;
        let url = format!("{}{}", self.url("release"), created.path);
        let notify = Notify { url: url.clone(), authorization: REGISTRY_SECRET.to_owned() };
        self.registry = Some(Registry::start(self.folder.path(), port, &notify).await?);
        Ok(url)
    }
}

/// One server, or the three of a cluster: the first, and the others by name. With the id of the stack, executors may
/// serve the targets of that stack only.
async fn nats_processes(
    folder: &TempDir,
    ports: &BTreeMap<String, Port>,
    (executors, planners): (&[String], &[String]),
    id: Option<&str>,
    wanted: &Wanted,
) -> Result<(Process, BTreeMap<String, Process>)> {
    let out = folder.path().join("nats");
    let (out_text, listen) = (out.display().to_string(), ports["nats"].address());
    let slipway = settings::own("slipway");
    let mut arguments = vec!["nats", "init", "--dir", &out_text, "--listen", &listen];
    let rights = |executor: &String| match id {
        Some(id) => format!("{executor}=staging-01-{id},web-01-{id},web-02-{id},worker"),
        None => executor.clone(),
    };
    let executors: Vec<String> = executors.iter().map(rights).collect();
    for executor in &executors {
        arguments.extend(["--executor", executor.as_str()]);
    }
    for planner in planners {
        arguments.extend(["--planner", planner.as_str()]);
    }
    let store = wanted.nats_store.as_ref().map(|store| store.display().to_string());
    arguments.extend(store.iter().flat_map(|store| ["--store-dir", store.as_str()]));
    let servers: Vec<&str> =
        ["nats", "nats-2", "nats-3"].into_iter().filter(|name| ports.contains_key(*name)).collect();
    let nodes: Vec<String> = (1..=servers.len())
        .zip(&servers)
        .filter(|_| servers.len() > 1)
        .map(|(n, name)| format!("nats-{n}={}/{}", ports[*name].address(), ports[&format!("route-{n}")].number()))
        .collect();
    for node in &nodes {
        arguments.extend(["--node", node.as_str()]);
    }
    machine::run(slipway, &arguments).await?;
    let process = |n: usize, name: &str| {
        let config = if servers.len() > 1 { format!("nats-{n}.conf") } else { "nats.conf".to_owned() };
        Process::new(name, settings::nats_server(), folder.path()).arg("-c").arg(out.join(config))
    };
    let more = (2..).zip(&servers[1..]).map(|(n, name)| ((*name).to_owned(), process(n, name))).collect();
    Ok((process(1, "nats"), more))
}
