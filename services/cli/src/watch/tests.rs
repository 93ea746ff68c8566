//! Views, and what is shown of them.

use serde_json::{Value, json};

use super::*;

fn now() -> chrono::DateTime<chrono::Utc> {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn task(target: &str, status: &str, more: Value) -> Value {
    let mut task = json!({"target": target, "status": status, "attempt": 0});
    task.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    task
}

fn view(status: &str, outcome: Option<&str>, steps: Value) -> DeploymentView {
    let mut view = json!({
        "id": "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", "seq": 5, "project": "shop", "environment": "production",
        "version": "1.1.0", "status": status, "requested_by": {"kind": "person", "name": "ana", "via": "api"},
        "requested_at": "2026-11-21T11:50:00Z", "started_at": "2026-11-21T11:58:00Z", "at_seq": 9, "packages": {},
        "steps": steps
    });
    if let Some(outcome) = outcome {
        view["outcome"] = json!(outcome);
        view["reason"] = json!("step web failed on web-01");
        view["finished_at"] = json!("2026-11-21T11:59:30Z");
    }
    serde_json::from_value(view).unwrap()
}

fn step(name: &str, kind: &str, tasks: Value) -> Value {
    json!({"name": name, "kind": kind, "needs": [], "rank": 0, "tasks": tasks})
}

fn gate(opened: bool, decided: Option<&str>) -> Value {
    let mut step = step("sign-off", "approval", json!([]));
    step["gate"] = json!({
        "teams": ["ops"], "votes_needed": 1, "votes": [], "instructions": "Check staging first",
        "expires": "2026-11-21T16:00:00Z"
    });
    if opened {
        step["gate"]["opened"] = json!(7);
    }
    if let Some(verdict) = decided {
        step["gate"]["decided"] = json!(verdict);
        step["gate"]["votes"] = json!([{"person": "ana", "verdict": verdict, "at": "2026-11-21T11:59:00Z"}]);
    }
    step
}

#[test]
fn the_table_has_a_row_for_each_task_and_gate() {
    let view = view(
        "running",
        None,
        json!([
            step(
                "migrate",
                "sql",
                json!([task(
                    "worker",
                    "succeeded",
                    json!({
                "attempt": 1, "started_at": "2026-11-21T11:58:01Z", "finished_at": "2026-11-21T11:58:03Z"})
                )])
            ),
            gate(true, None),
            step(
                "web",
                "docker-run",
                json!([
                    task(
                        "web-01",
                        "running",
                        json!({"attempt": 2, "holder": "executor-1", "started_at": "2026-11-21T11:59:55Z"})
                    ),
                    task("web-02", "pending", json!({})),
                ])
            ),
        ]),
    );
    assert_eq!(
        draw::table(&view, now()),
        "shop 1.1.0 to production (0192aaaa-bbbb)  running\n   \
            STEP      TARGET  STATE      TIME\n\
         ✓  migrate   worker  succeeded  2s\n\
         ◆  sign-off          waits            for ops, expires in 4h\n\
         ●  web       web-01  running    5s    attempt 2, on executor-1\n\
         ○  web       web-02  pending\n"
    );
}

fn part(name: &str, tasks: Value) -> Value {
    let mut part = step(name, "docker-job", tasks);
    part["part_of"] = json!("web");
    part
}

#[test]
fn what_a_step_consists_of_is_drawn_below_it_for_each_target_in_turn() {
    let tasks =
        |first: &str, second: &str| json!([task("web-01", first, json!({})), task("web-02", second, json!({}))]);
    let steps = json!([
        step("web", "steps", json!([])),
        part("drain", tasks("succeeded", "running")),
        part("serve", tasks("succeeded", "pending")),
        step("tell", "slack", json!([task("notifier", "pending", json!({}))])),
    ]);
    assert_eq!(
        draw::table(&view("running", None, steps), now()),
        "shop 1.1.0 to production (0192aaaa-bbbb)  running\n   \
            STEP     TARGET    STATE      TIME\n   \
            web\n\
         ✓    drain  web-01    succeeded\n\
         ✓    serve  web-01    succeeded\n\
         ●    drain  web-02    running\n\
         ○    serve  web-02    pending\n\
         ○  tell     notifier  pending\n"
    );
    let many: Vec<Value> = (0..30).map(|n| task(&format!("web-{n}"), "pending", json!({}))).collect();
    let steps = json!([step("web", "steps", json!([])), part("drain", json!(many))]);
    let table = draw::table(&view("running", None, steps), now());
    assert!(table.ends_with("   web\n○    drain  30 targets  30 pending\n"), "{table}");
}

#[test]
fn many_tasks_are_shown_as_one_row_per_step() {
    let tasks: Vec<Value> =
        (0..30).map(|n| task(&format!("web-{n}"), if n == 0 { "running" } else { "pending" }, json!({}))).collect();
    let table = draw::table(&view("running", None, json!([step("web", "docker-run", json!(tasks))])), now());
    assert!(table.ends_with("●  web   30 targets  1 running, 29 pending\n"), "{table}");
}

#[test]
fn each_change_is_one_line() {
    let running = json!({"attempt": 1, "holder": "executor-1", "started_at": "2026-11-21T11:59:00Z"});
    let mut failed = running.clone();
    failed["finished_at"] = json!("2026-11-21T11:59:04Z");
    failed["message"] = json!("not healthy within 60s\nmore");
    let first = view(
        "running",
        None,
        json!([gate(false, None), step("web", "docker-run", json!([task("web-01", "granted", json!({}))]))]),
    );
    let second = view(
        "waiting-for-person",
        None,
        json!([gate(true, None), step("web", "docker-run", json!([task("web-01", "running", running)]))]),
    );
    let third = view(
        "finished",
        Some("failed"),
        json!([gate(true, Some("approve")), step("web", "docker-run", json!([task("web-01", "failed", failed)]))]),
    );
    assert_eq!(draw::changes(None, &first), ["shop 1.1.0 to production (0192aaaa-bbbb)", "deployment running"]);
    assert_eq!(draw::changes(Some(&first), &first), [""; 0]);
    assert_eq!(
        draw::changes(Some(&first), &second),
        [
            "◆ sign-off waits for ops: Check staging first",
            "● web@web-01 running on executor-1",
            "deployment waiting for a person"
        ]
    );
    assert_eq!(
        draw::changes(Some(&second), &third),
        ["  ana approved sign-off", "✓ sign-off approved", "✗ web@web-01 failed after 4s: not healthy within 60s"]
    );
    assert!(draw::waits(&second).contains("`slipway approve 0192aaaa-bbbb sign-off`"));
}

#[test]
fn a_failure_is_shown_with_its_reason_and_the_last_lines() {
    let failed = json!({"attempt": 1, "message": "exit code 3", "tail": ["starting", "no database"]});
    let view =
        view("finished", Some("failed"), json!([step("web", "docker-run", json!([task("web-01", "failed", failed)]))]));
    assert_eq!(
        draw::end(&view, now()),
        "shop 1.1.0 to production (0192aaaa-bbbb) failed after 1m 30s\n\
         why: step web failed on web-01\n\
         ✗ web@web-01: exit code 3\n  \
           the last lines it printed:\n    \
             | starting\n    \
             | no database\n"
    );
    let shown = details(&view, false, now());
    assert!(shown.contains("requested  10m ago by ana") && shown.contains("| no database"), "{shown}");
}
