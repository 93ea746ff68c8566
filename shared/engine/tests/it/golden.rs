//! Histories as earlier versions wrote them, kept for ever: each must still be read, and mean what it meant.
//!
//! `tests/golden/<name>.jsonl` has an entry a line, `<name>.view.json` what the fold makes of it. A new
//! kind of event gets a history of its own (`SLIPWAY_GOLDEN=write` writes those that do not exist yet);
//! an existing file is never changed.

use std::path::PathBuf;

use serde_json::{Value, json};
use slipway_domain::{
    event::{Address, Entry, Failure, PlanEvent, Recorded, TaskEvent, Verdict},
    id::DeploymentId,
};
use slipway_engine::{State, view};

use crate::{
    fixture::{at, person, request, targets},
    world::{World, holder, planner},
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn line(recorded: &Recorded) -> Value {
    let entry: Value = serde_json::from_slice(&recorded.entry.to_json().unwrap()).unwrap();
    json!({"seq": recorded.seq, "at": recorded.at, "address": recorded.address, "entry": entry})
}

fn read(line: &str) -> Recorded {
    let value: Value = serde_json::from_str(line).unwrap();
    let address: Address = serde_json::from_value(value["address"].clone()).unwrap();
    let entry = Entry::from_json(&address, &serde_json::to_vec(&value["entry"]).unwrap()).unwrap();
    Recorded {
        seq: value["seq"].as_u64().unwrap(),
        at: serde_json::from_value(value["at"].clone()).unwrap(),
        address,
        entry,
    }
}

/// What a history comes to: the views of its deployments, oldest first.
fn meaning(entries: &[Recorded]) -> Value {
    let mut state = State::new();
    entries.iter().for_each(|r| drop(state.apply(r)));
    let mut views: Vec<_> = state.deployments().map(|d| view::deployment(d, state.head())).collect();
    views.sort_by_key(|v| v.summary.seq);
    // As programs read it: keys that a later version adds do not count against an old history.
    serde_json::to_value(views).unwrap()
}

/// Every key and value of `old` is in `new`.
fn holds(old: &Value, new: &Value, path: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                let now = new.get(key).unwrap_or_else(|| panic!("{path}.{key} is gone"));
                holds(value, now, &format!("{path}.{key}"));
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            old.iter().zip(new).enumerate().for_each(|(i, (old, new))| holds(old, new, &format!("{path}[{i}]")));
        }
        (old, new) => assert_eq!(old, new, "{path}"),
    }
}

#[test]
fn histories_of_every_version_are_read_and_mean_what_they_meant() {
    if std::env::var("SLIPWAY_GOLDEN").is_ok_and(|v| v == "write") {
        write("v1-main", &main_story());
        write("v1-trouble", &trouble());
        write("v1-guidance", &guidance());
        write("v1-demo", &demo());
        write("v1-lanes", &lanes());
    }
    let mut names: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    names.sort();
    assert!(names.len() >= 5, "{names:?}");
    for path in names {
        let text = std::fs::read_to_string(&path).unwrap();
        let entries: Vec<_> = text.lines().map(read).collect();
        let expected = std::fs::read_to_string(path.with_extension("view.json")).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        holds(&expected, &meaning(&entries), path.file_name().unwrap().to_str().unwrap());
    }
}

fn write(name: &str, world: &World) {
    let path = folder().join(format!("{name}.jsonl"));
    if path.exists() {
        return;
    }
    let lines: Vec<_> = world.log.entries.iter().map(|r| format!("{}\n", line(r))).collect();
    std::fs::write(&path, lines.concat()).unwrap();
    let view = serde_json::to_string_pretty(&meaning(&world.log.entries)).unwrap();
    std::fs::write(path.with_extension("view.json"), view + "\n").unwrap();
}

/// Migration, approval with announcement, rolling over two targets, notice: all goes well.
fn main_story() -> World {
    let body = "variables:\n  - {name: Db, secret: db}\nsteps:\n  - {name: migrate, sql: {database: '#{Db}', package: web, path: /migrations}}\n  - {name: sign-off, needs: [migrate], approval: {teams: [ops], slack: '#ops', instructions: look}}\n  - {name: web, needs: [sign-off], targets: {role: web}, rolling: {window: 1}, docker-run: {package: web, ports: ['80'], env: {A: b}}}\n  - {name: tell, needs: [web], slack: {channel: '#ops', text: '#{Deployment.Outcome}'}, when: {result: always}}";
    let (mut world, id) = World::with(request("main", body, targets(2, 1)));
    world.settle();
    world.claim(id, "migrate@worker", 1);
    world.write(id, "migrate@worker", holder("e", 1), TaskEvent::Checkpoint { intent: "apply 1.sql".into() });
    let outputs = [("applied".to_owned(), json!(["1.sql"]))].into();
    world.write(id, "migrate@worker", holder("e", 1), TaskEvent::Succeeded { outputs });
    world.succeed(id, "sign-off@notifier");
    world.log.seconds = 60;
    world.vote(id, "sign-off", "ana", Verdict::Approve, false);
    world.succeed(id, "web@web-01");
    world.succeed(id, "web@web-02");
    world.succeed(id, "tell@notifier");
    assert_eq!(world.end(id), "succeeded");
    world
}

/// A retry, a lost lease, a cancel, a rejection by the planner, a reject at a gate.
fn trouble() -> World {
    let body =
        "steps:\n  - {name: a, wait: 0s, retry: {attempts: 2, backoff: 1s}}\n  - {name: b, needs: [a], wait: 0s}";
    let (mut world, id) = World::with(request("trouble", body, targets(1, 1)));
    world.settle();
    world.fail(id, "a@worker", 1);
    world.log.seconds = 5;
    world.settle();
    world.claim(id, "a@worker", 2);
    world.write(id, "a@worker", planner(), TaskEvent::LeaseExpired { reason: "gone".into() });
    world.claim(id, "a@worker", 3);
    world.plan(id, person("ana"), PlanEvent::Paused { reason: "look".into() });
    world.plan(id, person("ana"), PlanEvent::Resumed);
    world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "enough".into() });
    world.write(id, "a@worker", holder("e", 1), TaskEvent::Cancelled);
    let bad = world.log.request(request(
        "bad",
        "steps:\n  - {name: a, docker-job: {package: web, env: {A: '#{Nope}'}}}",
        targets(1, 1),
    ));
    let gate = world.log.request(request("gate", "steps:\n  - {name: ok, approval: {teams: [ops]}}", targets(1, 1)));
    world.vote(gate, "ok", "ben", Verdict::Reject, false);
    let unknown = world.log.request(request("unknown", "steps:\n  - {name: a, wait: 0s}", targets(1, 1)));
    world.settle();
    world.claim(unknown, "a@worker", 1);
    world.write(unknown, "a@worker", holder("e", 1), TaskEvent::Unknown { reason: "lost the answer".into() });
    for (id, word) in [(id, "cancelled"), (bad, "rejected"), (gate, "failed"), (unknown, "failed")] {
        assert!(world.end(id).starts_with(word), "{}", world.end(id));
    }
    world
}

/// Guidance at failed tasks, a schedule, a superseded and a retried deployment.
fn guidance() -> World {
    let body = "guided-failure: {teams: [ops]}\nsteps:\n  - {name: web, targets: {role: web}, wait: 0s}";
    let (mut world, id) = World::with(request("guided", body, targets(3, 1)));
    world.settle();
    for target in ["web-01", "web-02", "web-03"] {
        let key = format!("web@{target}");
        world.claim(id, &key, 1);
        world.write(id, &key, holder("e", 1), TaskEvent::Failed { cause: Failure::step("it broke") });
    }
    world.guide(id, "web", "web-01", "ana", Verdict::Retry);
    world.claim(id, "web@web-01", 2);
    world.write(id, "web@web-01", holder("e", 1), TaskEvent::Succeeded { outputs: Default::default() });
    world.guide(id, "web", "web-02", "ana", Verdict::Ignore);
    world.guide(id, "web", "web-03", "ben", Verdict::Exclude);
    assert_eq!(world.end(id), "succeeded");
    let mut first = request("first", "steps:\n  - {name: a, wait: 0s}", targets(1, 1));
    first.not_before = Some(at(60));
    first.queue = slipway_domain::manifest::Queue::LatestOnly;
    let mut second = first.clone();
    second.id = DeploymentId::derive(&["second"]);
    let (first, second) = (world.log.request(first), world.log.request(second));
    world.settle();
    world.log.seconds = 60;
    world.settle();
    world.succeed(second, "a@worker");
    assert!(world.end(first).starts_with("superseded"), "{}", world.end(first));
    assert_eq!(world.end(second), "succeeded");
    world
}

/// A step that holds until it is told, at two holders.
fn demo() -> World {
    let body = "steps:\n  - {name: hold, demo: {message: 'on #{Environment}'}}";
    let (mut world, id) = World::with(request("demo", body, targets(1, 1)));
    world.settle();
    world.claim(id, "hold@worker", 1);
    let task = slipway_domain::id::TaskKey::new("hold".parse().unwrap(), "worker".parse().unwrap());
    world.plan(id, person("ana"), PlanEvent::Told { task, fail: false });
    world.write(id, "hold@worker", planner(), TaskEvent::LeaseExpired { reason: "gone".into() });
    world.claim(id, "hold@worker", 2);
    world.write(id, "hold@worker", holder("e", 1), TaskEvent::Succeeded { outputs: Default::default() });
    assert_eq!(world.end(id), "succeeded");
    world
}

/// Limits and a freeze, an emergency, and a lane that is given back while people are asked.
fn lanes() -> World {
    let body = "steps:\n  - {name: a, wait: 0s}\n  - {name: ok, needs: [a], approval: {teams: [ops], blocks: false}}\n  - {name: b, needs: [ok], wait: 0s}";
    let text = format!(
        "kind: Freeze\nname: nights\nprojects: [till]\nfrom: {}\nuntil: {}\n",
        at(0).to_rfc3339(),
        at(60).to_rfc3339()
    );
    let slipway_domain::manifest::Manifest::Freeze(freeze) =
        slipway_domain::manifest::parse::parse(None, &text).unwrap().remove(0)
    else {
        panic!("a freeze")
    };
    let mut world = World::default();
    world.log.policy(slipway_domain::policy::Policy {
        deployments: Some(1),
        environments: [("production".parse().unwrap(), 2)].into(),
        freezes: vec![*freeze],
    });
    let first = world.log.request(request("yields", body, targets(1, 1)));
    let mut emergency = request("emergency", "steps:\n  - {name: a, wait: 0s}", targets(1, 1));
    emergency.release.project = "till".parse().unwrap();
    emergency.ignores =
        Some(slipway_domain::release::Ignores { freezes: vec!["nights".parse().unwrap()], reason: "on fire".into() });
    let emergency = world.log.request(emergency);
    world.settle();
    world.succeed(first, "a@worker");
    world.vote(first, "ok", "ana", Verdict::Approve, false);
    world.succeed(emergency, "a@worker");
    world.succeed(first, "b@worker");
    assert_eq!((world.end(first).as_str(), world.end(emergency).as_str()), ("succeeded", "succeeded"));
    world
}
