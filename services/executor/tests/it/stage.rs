//! One executor with everything that it needs, and a test in the place of planner and release service.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::Utc;
use nkeys::XKey;
use slipway_bus::{Bus, BusConfig};
use slipway_domain::{
    api::LogLine,
    duration::Span,
    event::{Actor, Address, Entry, Envelope, Failure, SCHEMA, TaskEvent},
    id::{DeploymentId, TaskKey},
    name::{EnvironmentName, ProjectName, SecretName, StepName, TargetName},
    order::{Answer, Doorbell, Order, Outputs, Work},
    presence::Role,
    secret::{SecretAnswer, SecretRef},
    text::sha256_hex,
};
use slipway_integration_tests::{
    machine,
    ports::{self, Port},
    process::Process,
    registry::{Notify, Registry},
    settings, wait,
};
use tempfile::TempDir;
use uuid::Uuid;

/// The target that the executor serves.
pub const TARGET: &str = "web-01";

/// NATS, a registry and an executor. Dropped, its containers and images are removed.
pub struct Stage {
    pub folder: TempDir,
    pub project: ProjectName,
    pub bus: Bus,
    pub executor: Process,
    pub docker: String,
    secrets: Arc<Mutex<BTreeMap<SecretName, String>>>,
    pub registry: Registry,
    port: Port,
    nats: Process,
}

/// A task to ring for.
#[derive(Clone)]
pub struct Ask {
    pub id: DeploymentId,
    pub task: TaskKey,
    pub attempt: u32,
    pub adopt: bool,
    pub stop: bool,
    pub restore: bool,
    pub order: Order,
}

impl Ask {
    /// The next attempt, after the holder of the last was lost.
    pub fn adopted(&self) -> Self {
        Self { attempt: self.attempt + 1, adopt: true, ..self.clone() }
    }

    /// The next attempt, which takes back what the last one did.
    pub fn taken_back(&self) -> Self {
        Self { restore: true, ..self.adopted() }
    }

    /// The next attempt, after the last one ended.
    pub fn again(&self) -> Self {
        Self { attempt: self.attempt + 1, adopt: false, ..self.clone() }
    }

    /// The container's name that everybody can compute.
    pub fn name(&self, beginning: &str) -> String {
        let hash = sha256_hex(self.id.to_string().as_bytes());
        format!("{beginning}-{}-{}-{}", self.order.environment, self.task.target, &hash[..8])
    }

    pub fn address(&self) -> Address {
        Address::Task(self.id, self.task.clone())
    }
}

impl Stage {
    pub async fn start() -> Result<Self> {
        slipway_service::crypto::install();
        let folder = tempfile::Builder::new().prefix("slipway-executor-").tempdir()?;
        let (nats_port, port) = (ports::reserve()?, ports::reserve()?);
        let url = format!("nats://{}", nats_port.address());
        let config = folder.path().join("nats.conf");
        std::fs::write(
            &config,
            format!(
                "listen: {}\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
                nats_port.address(),
                folder.path().join("nats")
            ),
        )?;
        let mut nats = Process::new("nats", settings::nats_server(), folder.path()).arg("-c").arg(config);
        nats.start()?;
        let notify = Notify { url: "http://127.0.0.1:9/".into(), authorization: String::new() };
        let registry = Registry::start(folder.path(), ports::reserve()?, &notify).await?;
        let bus =
            Bus::connect(&BusConfig { url: url.clone(), creds: None, role: Role::Planner, id: "planner-1".into() })
                .await?;
        bus.ensure_streams(1).await?;
        let docker = settings::docker();
        let executor = Process::new("executor", PathBuf::from(env!("CARGO_BIN_EXE_slipway-executor")), folder.path())
            .env("SLIPWAY_NATS_URL", url)
            .env("SLIPWAY_LISTEN", port.address())
            .env("SLIPWAY_TARGETS", TARGET)
            .env("SLIPWAY_WORKER", "true")
            .env("SLIPWAY_WORKER_DOCKER", &docker)
            .env("SLIPWAY_STATE_DIR", folder.path().join("state"))
            // As on a machine without CA certificates.
            .env("SSL_CERT_FILE", "/dev/null")
            .env("SSL_CERT_DIR", "/dev/null")
            .env("SLIPWAY_LOG", "info,slipway=debug");
        let project = ProjectName::new(format!("test-{}", &Uuid::new_v4().simple().to_string()[..8]))?;
        let secrets = Arc::default();
        tokio::spawn(answer_secrets(bus.clone(), Arc::clone(&secrets)));
        let mut stage = Self { folder, project, bus, executor, docker, secrets, registry, port, nats };
        stage.start_executor().await?;
        Ok(stage)
    }

    /// Starts the executor (again) and waits until it is ready.
    pub async fn start_executor(&mut self) -> Result<()> {
        self.executor.start()?;
        let url = format!("http://{}/readyz", self.port.address());
        let http = reqwest::Client::builder().no_proxy().build()?;
        wait::until("the executor is ready", || async {
            http.get(&url).send().await.and_then(reqwest::Response::error_for_status)
        })
        .await;
        Ok(())
    }

    /// A value that a text may refer to; gives the marker.
    pub fn secret(&self, name: &str, value: &str) -> (SecretRef, String) {
        let reference = SecretRef { name: SecretName::new(name).expect("a valid name"), version: 1 };
        self.secrets.lock().expect("the secrets").insert(reference.name.clone(), value.to_owned());
        let marker = reference.marker();
        (reference, marker)
    }

    /// A task of a new deployment on the target.
    pub fn ask(&self, step: &str, work: Work) -> Ask {
        let order = Order {
            project: self.project.clone(),
            environment: EnvironmentName::new("staging").expect("a valid name"),
            release: "1.0.0".into(),
            docker: Some(self.docker.clone()),
            tls: None,
            timeout: Span::secs(120),
            secrets: Vec::new(),
            work,
        };
        let task =
            TaskKey::new(StepName::new(step).expect("a valid name"), TargetName::new(TARGET).expect("a valid name"));
        Ask { id: DeploymentId(Uuid::now_v7()), task, attempt: 1, adopt: false, stop: false, restore: false, order }
    }

    /// Rings until the executor claims; gives the head of the subject before the claim.
    pub async fn ring(&self, ask: &Ask) -> Result<u64> {
        let expected_seq = self.bus.head_of(&ask.address()).await?;
        let doorbell = Doorbell {
            deployment: ask.id,
            task: ask.task.clone(),
            expected_seq,
            attempt: ask.attempt,
            adopt: ask.adopt,
            stop: ask.stop,
            restore: ask.restore,
            order: ask.order.clone(),
            trace: None,
        };
        wait::until("the executor claims", || async {
            match self.bus.ring(&doorbell).await {
                Ok(Some(Answer::Claiming)) => Ok(()),
                other => Err(other),
            }
        })
        .await;
        Ok(expected_seq)
    }

    /// Rings, and waits for the end of the attempt.
    pub async fn perform(&self, ask: &Ask) -> Result<TaskEvent> {
        let head = self.ring(ask).await?;
        self.end(ask, head).await
    }

    /// The end of the attempt that was claimed after this head.
    pub async fn end(&self, ask: &Ask, head: u64) -> Result<TaskEvent> {
        let address = ask.address();
        let mut at = head;
        let deadline = tokio::time::Instant::now() + wait::PATIENCE;
        loop {
            match self.bus.after(&address, at).await? {
                Some(recorded) => {
                    at = recorded.seq;
                    let Entry::Task(envelope) = recorded.entry else { continue };
                    for event in envelope.events {
                        match event {
                            TaskEvent::Succeeded { .. }
                            | TaskEvent::Failed { .. }
                            | TaskEvent::Cancelled
                            | TaskEvent::Unknown { .. } => return Ok(event),
                            _ => {}
                        }
                    }
                }
                None => {
                    ensure!(
                        tokio::time::Instant::now() < deadline,
                        "the attempt does not end\n{}\n{:#?}",
                        self.executor.tail(),
                        self.logs(ask).await
                    );
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    pub async fn succeed(&self, ask: &Ask) -> Result<Outputs> {
        match self.perform(ask).await? {
            TaskEvent::Succeeded { outputs } => Ok(outputs),
            other => anyhow::bail!("{other:#?}\n{:#?}", self.logs(ask).await),
        }
    }

    pub async fn fail(&self, ask: &Ask) -> Result<Failure> {
        match self.perform(ask).await? {
            TaskEvent::Failed { cause } => Ok(cause),
            other => anyhow::bail!("{other:#?}"),
        }
    }

    /// Writes an event of the planner on the task's subject.
    pub async fn append(&self, ask: &Ask, event: TaskEvent) -> Result<()> {
        let envelope = Envelope {
            id: Uuid::new_v4(),
            schema: SCHEMA,
            at: Utc::now(),
            actor: Actor::Planner { id: "planner-1".into() },
            trace: None,
            events: vec![event],
        };
        let entry = Entry::Task(envelope);
        wait::until("the planner's event is stored", || async {
            let head = self.bus.head_of(&ask.address()).await.map_err(|e| e.to_string())?;
            let appended = self.bus.append(&ask.address(), head, &entry).await.map_err(|e| e.to_string())?;
            appended.seq().ok_or_else(|| format!("{appended:?}"))
        })
        .await;
        Ok(())
    }

    /// Kills the executor, as if its host had failed, and tells the log.
    pub async fn lose_executor(&mut self, ask: &Ask) -> Result<()> {
        self.executor.kill().await?;
        self.append(ask, TaskEvent::LeaseExpired { reason: "the test killed it".into() }).await
    }

    /// Waits until the executor has died by itself.
    pub async fn until_dead(&mut self) {
        let executor = tokio::sync::Mutex::new(&mut self.executor);
        wait::until("the executor dies", || async {
            let mut executor = executor.lock().await;
            if executor.is_running() { Err(executor.tail()) } else { Ok(()) }
        })
        .await;
    }

    /// Waits until the claim is in the log.
    pub async fn until_claimed(&self, ask: &Ask) {
        self.until_claimed_after(ask, 0).await;
    }

    /// Waits until a claim is in the log after this head of the subject.
    pub async fn until_claimed_after(&self, ask: &Ask, before: u64) {
        wait::until("the claim is in the log", || async {
            match self.bus.head_of(&ask.address()).await {
                Ok(head) if head > before => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }

    /// Cancels the task while it is held.
    pub async fn cancel(&self, ask: &Ask) -> Result<()> {
        self.append(ask, TaskEvent::CancelIssued).await?;
        Ok(self.bus.nudge_cancel(ask.id, &ask.task).await?)
    }

    /// What the task has printed so far.
    pub async fn logs(&self, ask: &Ask) -> Vec<LogLine> {
        self.bus.read_logs(ask.id, 0, 1000).await.unwrap_or_default()
    }

    /// Waits until the task has printed a line with this text.
    pub async fn until_printed(&self, ask: &Ask, text: &str) {
        wait::until(&format!("`{text}` is printed"), || async {
            let lines: Vec<_> = self.logs(ask).await.into_iter().map(|line| line.text).collect();
            if lines.iter().any(|line| line.contains(text)) { Ok(()) } else { Err(lines) }
        })
        .await;
    }

    /// All containers of the project, as `<name> <state> <id>`.
    pub async fn containers(&self) -> Result<Vec<(String, String, String)>> {
        let filter = format!("label=slipway.project={}", self.project);
        let format = "{{.Names}} {{.State}} {{.ID}}";
        let list = machine::run("docker", &["ps", "-a", "--no-trunc", "--filter", &filter, "--format", format]).await?;
        Ok(list
            .lines()
            .filter_map(|line| {
                let mut words = line.split(' ').map(str::to_owned);
                Some((words.next()?, words.next()?, words.next()?))
            })
            .collect())
    }
}

/// What a page says.
pub async fn get(port: u64) -> Result<String> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    Ok(http.get(format!("http://127.0.0.1:{port}/")).send().await?.text().await?)
}

/// The release service's part: seals the values to the key of the claim.
async fn answer_secrets(bus: Bus, values: Arc<Mutex<BTreeMap<SecretName, String>>>) -> Result<()> {
    let mut requests = bus.secret_requests().await?;
    while let Some((request, replier)) = requests.next().await {
        let address = Address::Task(request.deployment, request.task.clone());
        let Some(recorded) = bus.after(&address, request.epoch - 1).await? else { continue };
        let Entry::Task(envelope) = recorded.entry else { continue };
        let Some(TaskEvent::Claimed { key, .. }) = envelope.events.first() else { continue };
        let list: Vec<String> = {
            let values = values.lock().expect("the secrets");
            request.secrets.iter().map(|secret| values[&secret.name].clone()).collect()
        };
        let sender = XKey::new();
        let sealed = sender.seal(&serde_json::to_vec(&list)?, &XKey::from_public_key(key)?)?;
        let answer = SecretAnswer::Sealed { sender: sender.public_key(), sealed: BASE64_STANDARD.encode(sealed) };
        replier.answer(&answer).await;
    }
    Ok(())
}

impl Drop for Stage {
    fn drop(&mut self) {
        let clean = format!(
            "docker ps -aq --filter label=slipway.project={0} | xargs -r docker rm -f -v >/dev/null 2>&1
             docker volume ls -q --filter label=slipway.project={0} | xargs -r docker volume rm >/dev/null 2>&1
             docker images -q --filter 'reference=*/{0}/*' | sort -u | xargs -r docker rmi -f >/dev/null 2>&1",
            self.project
        );
        let _ = std::process::Command::new("sh").arg("-c").arg(clean).env("DOCKER_HOST", &self.docker).status();
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.executor.tail(), self.nats.tail());
        }
    }
}
