//! What every test of the notifier needs: NATS, the local Slack, the program, and a planner's pen.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use serde_json::json;
use slipway_bus::{Bus, BusConfig};
use slipway_domain::{
    duration::Span,
    event::{
        Actor, Address, Entry, Envelope, GateEvent, GateScope, Outcome, PlanEvent, Recorded, SCHEMA, TaskEvent, Verdict,
    },
    id::{DeploymentId, TaskKey},
    name::{EnvironmentName, PersonName, ProjectName, StepName, TargetName},
    order::{AnnounceGate, Answer, Doorbell, Order, Outputs, Work},
    presence::Role,
};
use slipway_integration_tests::{
    ports::{self, Port},
    process::Process,
    settings,
    slack::{Call, LocalSlack},
    wait,
};
use tempfile::TempDir;

/// Long enough for a slow machine; what is waited for ends the wait at once.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The digest that gates and votes are bound to.
pub const PLAN: &str = "sha256:plan";

/// All of it. Ends when dropped.
pub struct Stage {
    /// Slack.
    pub slack: LocalSlack,
    /// The planner's connection.
    pub bus: Bus,
    /// The notifier.
    pub notifier: Process,
    listen: Port,
    _nats: Process,
    _nats_port: Port,
    _folder: TempDir,
}

/// A deployment that the tests lead through its life.
pub struct Story {
    /// Its id.
    pub id: DeploymentId,
    plan_head: u64,
    gate_head: u64,
    /// The sequence of the gate's `Opened`.
    pub opened: u64,
}

/// Whether the notifier is given its secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Configured {
    /// Token and signing secret.
    Yes,
    /// Neither.
    No,
}

impl Stage {
    /// Everything up and ready.
    pub async fn start(configured: Configured) -> Result<Self> {
        slipway_service::crypto::install();
        let folder = tempfile::tempdir()?;
        let nats_port = ports::reserve()?;
        let config = folder.path().join("nats.conf");
        let store = folder.path().join("nats");
        let text = format!(
            "listen: {}\njetstream {{ store_dir: {:?}, sync_interval: always, max_file_store: 20GB }}\n",
            nats_port.address(),
            store.display().to_string()
        );
        fs::write(&config, text)?;
        let mut nats = Process::new("nats", settings::nats_server(), folder.path()).arg("-c").arg(&config);
        nats.start()?;
        let url = format!("nats://{}", nats_port.address());
        let config = BusConfig { url: url.clone(), creds: None, role: Role::Planner, id: "planner-1".to_owned() };
        let bus = Bus::connect(&config).await?;
        bus.ensure_streams(1).await?;

        let slack = LocalSlack::start().await?;
        let listen = ports::reserve()?;
        let program = PathBuf::from(env!("CARGO_BIN_EXE_slipway-notifier"));
        let mut notifier = Process::new("notifier", program, folder.path())
            .env("SLIPWAY_NATS_URL", &url)
            .env("SLIPWAY_LISTEN", listen.address())
            .env("SLIPWAY_STATE_DIR", folder.path().join("state"))
            .env("SLIPWAY_SLACK_API_URL", slack.api_url())
            .env("SLIPWAY_LOG", "debug");
        if configured == Configured::Yes {
            for (variable, secret) in [
                ("SLIPWAY_SLACK_TOKEN_FILE", slack.token()),
                ("SLIPWAY_SLACK_SIGNING_SECRET_FILE", slack.signing_secret()),
            ] {
                let path = folder.path().join(variable);
                fs::write(&path, format!("{secret}\n"))?;
                notifier = notifier.env(variable, path);
            }
        }
        notifier.start()?;
        let stage = Self { slack, bus, notifier, listen, _nats: nats, _nats_port: nats_port, _folder: folder };
        stage.ready().await;
        Ok(stage)
    }

    /// The notifier's HTTP address.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen.address())
    }

    /// Waits until the notifier says that it is ready.
    pub async fn ready(&self) {
        wait::until_within(DEADLINE, "the notifier is ready", async || {
            let answer = reqwest::get(format!("{}/readyz", self.url())).await.map_err(|e| e.to_string())?;
            if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
        })
        .await;
    }

    /// SIGTERM, and a new process.
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(self.notifier.terminate().await? == Some(0), "{}", self.notifier.tail());
        self.notifier.start()?;
        self.ready().await;
        Ok(())
    }

    /// Requests a deployment whose approval step is open. `name` tells deployments apart.
    pub async fn open(&self, name: &str) -> Result<Story> {
        let id = DeploymentId::derive(&[name]);
        let mut story = Story { id, plan_head: 0, gate_head: 0, opened: 0 };
        let trigger = Actor::Trigger { name: "push".to_owned() };
        self.plan(&mut story, trigger, PlanEvent::Requested { request: serde_json::from_value(request(id))? }).await?;
        let expires = Utc::now() + Duration::from_secs(3600);
        let opened = GateEvent::Opened { plan_digest: PLAN.to_owned(), expires };
        story.opened = self.gate(&mut story, planner(), opened).await?;
        Ok(story)
    }

    async fn plan(&self, story: &mut Story, actor: Actor, event: PlanEvent) -> Result<()> {
        let address = Address::Plan(story.id);
        story.plan_head = self.append(&address, story.plan_head, Entry::Plan(envelope(actor, event))).await?;
        Ok(())
    }

    async fn gate(&self, story: &mut Story, actor: Actor, event: GateEvent) -> Result<u64> {
        let address = Address::Gate(story.id, step(), GateScope::All);
        story.gate_head = self.append(&address, story.gate_head, Entry::Gate(envelope(actor, event))).await?;
        Ok(story.gate_head)
    }

    async fn append(&self, address: &Address, expected: u64, entry: Entry) -> Result<u64> {
        self.bus.append(address, expected, &entry).await?.seq().with_context(|| format!("lost at {address:?}"))
    }

    /// Rings for a task of the notifier and waits for its end.
    pub async fn perform(&self, story: &Story, step: &str, work: Work, timeout: Span) -> Result<TaskEvent> {
        let task = TaskKey::new(StepName::new(step)?, TargetName::notifier());
        let address = Address::Task(story.id, task.clone());
        let head = self.bus.head_of(&address).await?;
        let order = Order {
            project: ProjectName::new("shop")?,
            environment: EnvironmentName::new("production")?,
            release: "1.2.0".to_owned(),
            docker: None,
            tls: None,
            timeout,
            secrets: Vec::new(),
            work,
        };
        let (deployment, trace) = (story.id, None);
        let doorbell = Doorbell {
            deployment,
            task,
            expected_seq: head,
            attempt: 1,
            adopt: false,
            stop: false,
            restore: false,
            order,
            trace,
        };
        let answer = wait::until_within(DEADLINE, "the notifier takes the task", async || {
            match self.bus.ring(&doorbell).await {
                Ok(Some(answer)) => Ok(answer),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        ensure!(answer == Answer::Claiming, "{answer:?}");
        Ok(wait::until_within(DEADLINE, "the task ends", async || {
            let events = self.events(&address, head).await.map_err(|e| e.to_string())?;
            let ends = |event: &TaskEvent| !matches!(event, TaskEvent::Claimed { .. } | TaskEvent::Checkpoint { .. });
            events.iter().find(|event| ends(event)).cloned().ok_or_else(|| format!("{events:?}"))
        })
        .await)
    }

    /// Announces the gate, as the planner would have it done; the message as Slack got it.
    pub async fn announce(&self, story: &Story) -> Result<Call> {
        let work = Work::Announce(AnnounceGate {
            channel: "#deploys".to_owned(),
            opened: story.opened,
            plan_digest: PLAN.to_owned(),
            text: "Check staging first".to_owned(),
        });
        let before = self.slack.accepted("chat.postMessage").len();
        let end = self.perform(story, "sign-off", work, Span::secs(60)).await?;
        ensure!(matches!(end, TaskEvent::Succeeded { .. }), "{end:?}\n{}", self.notifier.tail());
        self.slack.accepted("chat.postMessage").into_iter().nth(before).context("nothing was posted")
    }

    /// The planner decides.
    pub async fn decide(&self, story: &mut Story, verdict: Verdict, reason: &str) -> Result<()> {
        let address = Address::Gate(story.id, step(), GateScope::All);
        story.gate_head = self.bus.head_of(&address).await?;
        self.gate(story, planner(), GateEvent::Decided { verdict, reason: reason.to_owned() }).await?;
        Ok(())
    }

    /// The deployment is over.
    pub async fn finish(&self, story: &mut Story, outcome: Outcome) -> Result<()> {
        self.plan(story, planner(), PlanEvent::Finished { outcome, reason: None }).await
    }

    /// The votes at the gate: who, what, and the actor that wrote it.
    pub async fn votes(&self, story: &Story) -> Result<Vec<(String, Verdict, Actor)>> {
        let address = Address::Gate(story.id, step(), GateScope::All);
        let (mut votes, mut after) = (Vec::new(), story.opened);
        while let Some(Recorded { seq, entry: Entry::Gate(envelope), .. }) = self.bus.after(&address, after).await? {
            after = seq;
            for event in envelope.events {
                if let GateEvent::Voted { person, verdict, .. } = event {
                    votes.push((person.to_string(), verdict, envelope.actor.clone()));
                }
            }
        }
        Ok(votes)
    }

    async fn events(&self, address: &Address, mut after: u64) -> Result<Vec<TaskEvent>> {
        let mut events = Vec::new();
        while let Some(Recorded { seq, entry: Entry::Task(envelope), .. }) = self.bus.after(address, after).await? {
            after = seq;
            events.extend(envelope.events);
        }
        Ok(events)
    }
}

/// What a vote through Slack must look like in the log.
pub fn by_slack(person: &str, verdict: Verdict) -> (String, Verdict, Actor) {
    let name = PersonName::new(person).expect("a name");
    (person.to_owned(), verdict, Actor::Person { name, via: "slack".to_owned() })
}

/// The outputs of a task that succeeded.
pub fn outputs(end: TaskEvent) -> Result<Outputs> {
    match end {
        TaskEvent::Succeeded { outputs } => Ok(outputs),
        other => anyhow::bail!("it did not succeed: {other:?}"),
    }
}

/// The message of a task that failed.
pub fn failure(end: TaskEvent) -> Result<String> {
    match end {
        TaskEvent::Failed { cause } => Ok(cause.message),
        other => anyhow::bail!("it did not fail: {other:?}"),
    }
}

fn planner() -> Actor {
    Actor::Planner { id: "planner-1".to_owned() }
}

fn step() -> StepName {
    StepName::new("sign-off").expect("a name")
}

fn envelope<E>(actor: Actor, event: E) -> Envelope<E> {
    let id = slipway_domain::id::derive(&[&format!("{:?}", std::time::Instant::now())]);
    Envelope { id, schema: SCHEMA, at: Utc::now(), actor, trace: None, events: vec![event] }
}

fn request(id: DeploymentId) -> serde_json::Value {
    json!({
        "id": id,
        "environment": "production",
        "release": {
            "project": "shop", "version": "1.2.0", "channel": "stable", "packages": {}, "variables": [],
            "created_at": DateTime::<Utc>::UNIX_EPOCH,
            "steps": [
                {"name": "sign-off", "approval": {"teams": ["ops"], "slack": "#deploys"}},
                {"name": "tell", "needs": ["sign-off"], "slack": {"channel": "#deploys", "text": "done"}},
            ],
        },
        "targets": [], "secrets": [],
        "teams": {
            "ops": [{"name": "ana", "slack": "U0ANA"}, {"name": "ben", "slack": "U0BEN"}],
            "other": [{"name": "dan", "slack": "U0DAN"}],
        },
        "requested_by": {"kind": "trigger", "name": "push"},
        "body_digest": "sha256:body",
        "rules_version": 1,
    })
}
