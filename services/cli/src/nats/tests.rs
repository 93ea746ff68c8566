//! The written configuration against a real server: found by `SLIPWAY_TEST_NATS_SERVER`, else on the PATH.

mod wire;

use std::{
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use slipway_bus::{Appended, Bus, BusConfig, BusError, LogStream, LogText, StoredPush};
use slipway_domain::{
    event::{Actor, Address, Entry, Envelope, GateEvent, GateScope, PlanEvent, SCHEMA, TaskEvent, Verdict},
    id::{DeploymentId, TaskKey},
    name::{HolderName, StepName, TargetName},
    order::{Answer, Doorbell},
    presence::{Presence, Role},
    secret::{SecretAnswer, SecretRequest},
};

use self::wire::Wire;
use super::*;

const DEADLINE: Duration = Duration::from_secs(20);
const ID: &str = "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee";

/// A server with the configuration of `init`.
struct Server {
    child: Child,
    dir: tempfile::TempDir,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn holder(name: &str) -> HolderName {
    HolderName::new(name).unwrap()
}

fn settings(dir: &Path) -> Init {
    let target = |name: &str| TargetName::new(name).unwrap();
    let executors =
        vec![(holder("executor-1"), Some(vec![target("web-01"), TargetName::worker()])), (holder("executor-2"), None)];
    Init {
        dir: dir.join("nats"),
        // The server chooses a port and writes it down.
        listen: "127.0.0.1:-1".to_owned(),
        monitor: None,
        store_dir: dir.join("store"),
        services: services(executors),
        nodes: Vec::new(),
    }
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let written = init(&settings(dir.path())).unwrap();
        let program = std::env::var_os("SLIPWAY_TEST_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let child = Command::new(&program)
            .arg("-c")
            .arg(&written.configs[0])
            .arg("--ports_file_dir")
            .arg(dir.path())
            .stderr(std::fs::File::create(dir.path().join("log")).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}; set SLIPWAY_TEST_NATS_SERVER", program.to_string_lossy()));
        let mut server = Self { child, dir, address: String::new() };
        server.address = server.await_address();
        server
    }

    fn await_address(&self) -> String {
        let started = Instant::now();
        loop {
            for entry in std::fs::read_dir(self.dir.path()).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|e| e == "ports")
                    && let Ok(ports) = serde_json::from_slice::<serde_json::Value>(&std::fs::read(&path).unwrap())
                    && let Some(url) = ports["nats"][0].as_str()
                {
                    return url.trim_start_matches("nats://").to_owned();
                }
            }
            let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(started.elapsed() < DEADLINE, "nats-server does not start:\n{}", log());
            std::thread::yield_now();
        }
    }

    fn seed(&self, id: &str) -> PathBuf {
        self.dir.path().join("nats").join(format!("{id}.nk"))
    }

    fn wire(&self, id: &str) -> Wire {
        let seed = std::fs::read_to_string(self.seed(id)).unwrap();
        Wire::connect(&self.address, Some(seed.trim())).unwrap()
    }

    async fn bus(&self, role: Role, id: &str) -> Bus {
        let url = format!("nats://{}", self.address);
        let config = BusConfig { url, creds: Some(self.seed(id)), role, id: id.to_owned() };
        Bus::connect(&config).await.unwrap()
    }
}

#[test]
fn files_are_private_and_keys_are_kept_when_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = init(&settings(dir.path())).unwrap();
    let seeds = || first.seeds.iter().map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>();
    let before = seeds();
    assert_eq!(first.seeds.len(), 6);
    for file in first.seeds.iter().chain(&first.configs) {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    let again = init(&settings(dir.path())).unwrap();
    assert!(first.changed && !again.changed);
    assert_eq!(seeds(), before);
    let config = std::fs::read_to_string(&first.configs[0]).unwrap();
    assert!(config.contains("sync_interval: always"), "{config}");
    for seed in before {
        let seed = String::from_utf8(seed).unwrap();
        assert!(seed.starts_with("SU") && !config.contains(seed.trim()), "{config}");
    }
    let mut twice = settings(dir.path());
    twice.services.push(Service::Planner(holder("release-1")));
    assert!(init(&twice).unwrap_err().shown().contains("two services are called `release-1`"));
}

#[test]
fn nobody_connects_without_a_key() {
    let server = Server::start();
    let refused = Wire::connect(&server.address, None).err().unwrap_or_default();
    assert!(refused.contains("Authorization Violation"), "{refused}");
    let stranger = KeyPair::new_user().seed().unwrap();
    let refused = Wire::connect(&server.address, Some(&stranger)).err().unwrap_or_default();
    assert!(refused.contains("Authorization Violation"), "{refused}");
}

#[test]
fn each_service_may_publish_what_its_work_needs_and_nothing_else() {
    let server = Server::start();
    let plan = format!("deployment.{ID}.plan");
    let gate = format!("deployment.{ID}.gate.sign-off.all");
    let task = |target: &str| format!("deployment.{ID}.task.{target}.web");
    let log = |target: &str| format!("log.{ID}.{target}.web.1");
    let text = str::to_owned;
    let [create, update, delete, purge] =
        ["CREATE", "UPDATE", "DELETE", "PURGE"].map(|verb| format!("$JS.API.STREAM.{verb}.DEPLOYMENTS"));
    let presence = |who: &str| format!("$KV.PRESENCE.{who}");
    let secret = |who: &str| format!("secret.{who}");
    let allowed = vec![
        (
            "release-1",
            vec![
                plan.clone(),
                gate.clone(),
                text("push.distribution"),
                create.clone(),
                update.clone(),
                presence("release.release-1"),
            ],
        ),
        (
            "planner-1",
            vec![
                plan.clone(),
                gate.clone(),
                task("web-01"),
                text("task.web-01"),
                text("cancel.web-01"),
                text("alive.executor-1"),
                create.clone(),
                update.clone(),
            ],
        ),
        (
            "notifier-1",
            vec![
                gate.clone(),
                task("notifier"),
                log("notifier"),
                secret("notifier-1"),
                presence("notifier.notifier-1"),
            ],
        ),
        (
            "executor-1",
            vec![task("web-01"), task("worker"), log("web-01"), secret("executor-1"), presence("executor.executor-1")],
        ),
        ("executor-2", vec![task("web-01"), task("other"), log("other"), secret("executor-2")]),
        ("operator", vec![purge.clone(), plan.clone(), gate.clone(), task("web-01")]),
    ];
    let refused = vec![
        ("release-1", vec![task("web-01"), text("task.web-01"), delete.clone(), presence("executor.executor-1")]),
        ("release-1", vec![secret("executor-1")]),
        ("planner-1", vec![text("push.distribution"), log("web-01"), delete.clone(), secret("executor-1")]),
        ("notifier-1", vec![plan.clone(), task("web-01"), create.clone(), update, text("push.distribution")]),
        (
            "executor-1",
            vec![
                plan.clone(),
                gate.clone(),
                task("web-02"),
                task("notifier"),
                log("web-02"),
                create.clone(),
                delete,
                purge,
                secret("executor-2"),
                presence("executor.executor-2"),
                presence("planner.planner-1"),
                text("task.web-01"),
                text("$JS.API.CONSUMER.CREATE.DEPLOYMENTS.x"),
                text("$JS.API.STREAM.MSG.GET.DEPLOYMENTS"),
                text("_INBOX_planner_planner-1.x"),
            ],
        ),
        ("executor-2", vec![plan, gate, task("notifier"), create]),
    ];
    for (expected, table) in [(true, allowed), (false, refused)] {
        for (id, subjects) in table {
            let mut wire = server.wire(id);
            for subject in subjects {
                assert_eq!(wire.may_publish(&subject), expected, "{id} {subject}");
            }
        }
    }
}

#[test]
fn each_service_hears_only_its_own() {
    let server = Server::start();
    for (id, subject, expected) in [
        ("executor-1", "task.web-01", true),
        ("executor-1", "cancel.worker", true),
        ("executor-1", "_INBOX_executor_executor-1.>", true),
        ("executor-1", "alive.executor-1", true),
        ("executor-1", "alive.executor-2", false),
        ("executor-1", "task.web-02", false),
        ("executor-1", "secret.*", false),
        ("executor-1", "_INBOX_executor_executor-2.>", false),
        ("executor-1", "deployment.>", false),
        ("executor-1", ">", false),
        ("executor-2", "task.web-02", true),
        ("notifier-1", "task.notifier", true),
        ("notifier-1", "_INBOX_release_release-1.>", false),
        ("release-1", "secret.*", true),
        ("planner-1", "secret.*", false),
        ("operator", "deployment.>", true),
    ] {
        assert_eq!(server.wire(id).may_subscribe(subject), expected, "{id} {subject}");
    }
}

fn envelope<E>(event: E) -> Envelope<E> {
    let actor = Actor::Planner { id: "planner-1".to_owned() };
    Envelope {
        id: uuid::Uuid::new_v4(),
        schema: SCHEMA,
        at: crate::times::now(),
        actor,
        trace: None,
        events: vec![event],
    }
}

fn checkpoint() -> Entry {
    Entry::Task(envelope(TaskEvent::Checkpoint { intent: "test".to_owned() }))
}

fn presence(role: Role, id: &str) -> Presence {
    let boot = uuid::Uuid::new_v4();
    Presence {
        role,
        id: holder(id),
        boot,
        version: "0".to_owned(),
        targets: Vec::new(),
        draining: false,
        archived: None,
    }
}

fn stored(appended: std::result::Result<Appended, BusError>) -> u64 {
    appended.unwrap().seq().expect("nobody else writes there")
}

#[tokio::test]
async fn all_that_the_services_do_on_the_bus_works_with_these_rights() {
    let server = Server::start();
    let release = server.bus(Role::Release, "release-1").await;
    let planner = server.bus(Role::Planner, "planner-1").await;
    release.ensure_streams(1).await.unwrap();
    planner.ensure_streams(1).await.unwrap();
    let executor = server.bus(Role::Executor, "executor-1").await;
    let notifier = server.bus(Role::Notifier, "notifier-1").await;
    executor.await_streams().await.unwrap();
    notifier.await_streams().await.unwrap();

    let id: DeploymentId = ID.parse().unwrap();
    let step = StepName::new("web").unwrap();
    let (plan, gate) = (Address::Plan(id), Address::Gate(id, step.clone(), GateScope::All));
    let task = TaskKey::new(step.clone(), TargetName::new("web-01").unwrap());
    let cancel = || Entry::Plan(envelope(PlanEvent::CancelRequested { reason: String::new() }));
    let vote = || {
        Entry::Gate(envelope(GateEvent::Voted {
            opened: 1,
            plan_digest: String::new(),
            person: "ana".parse().unwrap(),
            verdict: Verdict::Approve,
            note: None,
            drift: None,
        }))
    };
    let first = stored(release.append(&plan, 0, &cancel()).await);
    stored(planner.append(&plan, first, &cancel()).await);
    let voted = stored(release.append(&gate, 0, &vote()).await);
    stored(notifier.append(&gate, voted, &vote()).await);
    assert_eq!(release.head_of(&gate).await.unwrap(), 4);
    // The loser of a race reads who won, each in the way that it may.
    assert!(matches!(release.append(&gate, 0, &vote()).await.unwrap(), Appended::Lost { .. }));
    let own = Address::Task(id, task.clone());
    let claimed = stored(executor.append_direct(&own, 0, &checkpoint()).await);
    stored(planner.append(&own, claimed, &checkpoint()).await);
    assert!(matches!(executor.append_direct(&own, claimed, &checkpoint()).await.unwrap(), Appended::Lost { .. }));
    assert!(executor.after_direct(&own, claimed, claimed + 1).await.unwrap().is_some());
    let notice = Address::Task(id, TaskKey::new(step.clone(), TargetName::notifier()));
    stored(notifier.append_direct(&notice, 0, &checkpoint()).await);
    for bus in [&release, &planner, &notifier] {
        assert_eq!(bus.head().await.unwrap(), 7);
        assert_eq!(bus.fold(1).next().await.unwrap().seq, 1);
    }
    let denied = executor.append_direct(&plan, 2, &cancel()).await.unwrap_err();
    assert!(matches!(denied, BusError::Denied { .. }), "{denied}");

    rings_and_secrets(&planner, &release, &executor, &task).await;

    executor.announce(&presence(Role::Executor, "executor-1")).await.unwrap();
    notifier.announce(&presence(Role::Notifier, "notifier-1")).await.unwrap();
    planner.announce(&presence(Role::Planner, "planner-1")).await.unwrap();
    release.announce(&presence(Role::Release, "release-1")).await.unwrap();
    for bus in [&planner, &release] {
        let mut watch = bus.watch_presence();
        let mut seen = 0;
        while !matches!(watch.next().await, slipway_bus::PresenceEvent::Drained) {
            seen += 1;
        }
        assert_eq!(seen, 4);
    }
    executor.withdraw(Role::Executor, &holder("executor-1")).await.unwrap();

    let line = LogText { at: crate::times::now(), stream: LogStream::Out, text: "hello".to_owned() };
    executor.log(id, &task, 1, std::slice::from_ref(&line)).await.unwrap();
    assert_eq!(release.read_logs(id, 0, 10).await.unwrap().len(), 1);
    let push = StoredPush { webhook: "w".to_owned(), content_type: String::new(), body: b"{}".to_vec(), trace: None };
    assert_eq!(release.store_push("distribution", &push).await.unwrap(), 1);
    assert_eq!(release.pushes(1).next().await.0, 1);
}

async fn rings_and_secrets(planner: &Bus, release: &Bus, executor: &Bus, task: &TaskKey) {
    let id: DeploymentId = ID.parse().unwrap();
    let doorbell: Doorbell = serde_json::from_value(serde_json::json!({
        "deployment": id, "task": task, "expected_seq": 0, "attempt": 1, "adopt": false, "stop": false,
        "order": {"project": "p", "environment": "e", "release": "1", "timeout": "1m", "work": {"kind": "wait", "span": "1s"}}
    }))
    .unwrap();
    assert_eq!(planner.ring(&doorbell).await.unwrap(), None);
    let mut doorbells = executor.doorbells(&task.target).await.unwrap();
    let mut nudges = executor.nudges(&task.target).await.unwrap();
    let answer = tokio::spawn(async move { doorbells.next().await.expect("a ring").answer(Answer::Busy).await });
    let started = Instant::now();
    while planner.ring(&doorbell).await.unwrap() != Some(Answer::Busy) {
        assert!(started.elapsed() < DEADLINE, "the executor's answer does not come back");
    }
    answer.await.unwrap();
    let nudged = async {
        loop {
            planner.nudge_cancel(id, task).await.unwrap();
            if tokio::time::timeout(Duration::from_millis(200), nudges.next()).await.is_ok_and(|n| n.is_some()) {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, nudged).await.expect("a nudge arrives");

    let mut requests = release.secret_requests().await.unwrap();
    tokio::spawn(async move {
        while let Some((_, replier)) = requests.next().await {
            replier.answer(&SecretAnswer::Later).await;
        }
    });
    let request = SecretRequest {
        deployment: id,
        task: task.clone(),
        epoch: 1,
        holder: holder("executor-1"),
        secrets: Vec::new(),
    };
    let started = Instant::now();
    while !matches!(executor.ask_secrets(&request).await.unwrap(), Some(SecretAnswer::Later)) {
        assert!(started.elapsed() < DEADLINE, "the release service's answer does not come back");
    }
}

#[test]
fn the_servers_of_a_cluster_know_one_another_and_keep_their_password() {
    let dir = tempfile::tempdir().unwrap();
    let node = |n: u16| super::Node {
        name: HolderName::new(format!("nats-{n}")).unwrap(),
        listen: format!("10.0.0.{n}:4222"),
        route: format!("10.0.0.{n}:6222"),
    };
    let wanted = Init { nodes: vec![node(1), node(2), node(3)], ..settings(dir.path()) };
    let first = init(&wanted).unwrap();
    assert_eq!(first.configs.len(), 3);
    let text = std::fs::read_to_string(&first.configs[1]).unwrap();
    for part in
        ["server_name: \"nats-2\"", "no_advertise: true", "@10.0.0.1:6222", "@10.0.0.3:6222", "sync_interval: always"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("@10.0.0.2:6222"), "not itself: {text}");
    let second = init(&wanted).unwrap();
    assert!(!second.changed, "keys and password are kept");
}
