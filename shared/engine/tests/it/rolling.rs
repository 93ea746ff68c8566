//! Canaries, people between them and the others, pauses, and what is taken back.

use slipway_domain::event::{Address, Entry, Envelope, PlanEvent, Recorded, SCHEMA, TaskEvent, Verdict};
use slipway_engine::{
    State,
    decide::{Events, wake},
};

use crate::{
    fixture::{at, person, request, targets},
    world::{World, holder},
};

fn body(rolling: &str) -> String {
    format!(
        "steps:\n  - {{name: web, targets: {{role: web}}, rolling: {rolling}, docker-run: {{package: web}}}}\n  \
         - {{name: tell, needs: [web], wait: 0s, when: {{result: failure}}}}"
    )
}

/// The doorbell of a due task.
fn doorbell(world: &World, id: slipway_domain::id::DeploymentId, key: &str) -> slipway_domain::order::Doorbell {
    let (step, target) = key.split_once('@').unwrap();
    let key = slipway_domain::id::TaskKey::new(step.parse().unwrap(), target.parse().unwrap());
    slipway_engine::order::doorbell(&world.state, id, &key).unwrap().unwrap()
}

fn keeps(world: &World, id: slipway_domain::id::DeploymentId, key: &str) -> bool {
    match doorbell(world, id, key).order.work {
        slipway_domain::order::Work::DockerRun(run) => run.keep_predecessor,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_others_wait_for_the_canary_and_for_the_pause_after_each_end() {
    let (mut world, id) = World::with(request("x", &body("{window: 2, canary: 1, pause: 10s}"), targets(4, 1)));
    assert_eq!(world.due(id), ["web@web-01"], "the canary alone");
    assert!(!keeps(&world, id, "web@web-01"), "nothing can be taken back here");
    world.log.seconds = 5;
    world.succeed(id, "web@web-01");
    assert!(world.due(id).is_empty());
    assert_eq!(wake(&world.state, id), Some(at(15)));
    let waits = slipway_engine::why::why(&world.state, world.state.get(id).unwrap(), at(5));
    assert!(format!("{waits:?}").contains("Pause"), "{waits:?}");
    world.log.seconds = 15;
    assert_eq!(world.due(id), ["web@web-02", "web@web-03"]);
    world.succeed(id, "web@web-02");
    assert_eq!(world.due(id), ["web@web-03"]);
    world.log.seconds = 25;
    assert_eq!(world.due(id), ["web@web-03", "web@web-04"]);
}

#[test]
fn a_canary_that_fails_keeps_the_others_from_starting_whatever_is_tolerated() {
    let rolling = "{window: 2, canary: 50%, max-failures: 3}";
    let (mut world, id) = World::with(request("x", &body(rolling), targets(4, 1)));
    assert_eq!(world.due(id), ["web@web-01", "web@web-02"]);
    world.fail(id, "web@web-01", 1);
    world.succeed(id, "web@web-02");
    assert_eq!(world.due(id), ["tell@worker"], "web has failed");
    world.succeed(id, "tell@worker");
    assert_eq!(world.end(id), "failed: step web failed on web-01: it broke");
}

const LOOK: &str = "{window: 3, canary: 1, then: {approval: {teams: [ops], timeout: 1h}}}";

#[test]
fn people_look_at_the_canary_and_let_the_others_follow() {
    let (mut world, id) = World::with(request("x", &body(LOOK), targets(3, 1)));
    assert_eq!(world.due(id), ["web@web-01"]);
    assert!(keeps(&world, id, "web@web-01"), "it may yet be taken back");
    world.succeed(id, "web@web-01");
    assert!(world.due(id).is_empty());
    assert_eq!(world.end(id), "waiting-for-person");
    world.vote(id, "web", "eve", Verdict::Approve, false);
    assert!(world.due(id).is_empty(), "eve is not of the team");
    world.vote(id, "web", "ana", Verdict::Approve, false);
    assert_eq!(world.due(id), ["web@web-02", "web@web-03"]);
    assert!(!keeps(&world, id, "web@web-02"));
    world.succeed(id, "web@web-02");
    world.succeed(id, "web@web-03");
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn a_rejected_canary_is_taken_back_before_anything_else_happens() {
    for expires in [false, true] {
        let (mut world, id) = World::with(request("x", &body(LOOK), targets(3, 1)));
        world.settle();
        world.succeed(id, "web@web-01");
        if expires {
            world.log.seconds = 3_601;
        } else {
            world.vote(id, "web", "ana", Verdict::Reject, false);
        }
        assert_eq!(world.due(id), ["web@web-01"], "only to be taken back");
        let order = doorbell(&world, id, "web@web-01");
        assert!(order.restore && order.adopt && !order.stop);
        // The executor dies over it; the next one goes on with it.
        world.claim(id, "web@web-01", 2);
        for decision in slipway_engine::expire(&world.state, &"e".parse().unwrap(), None, "gone") {
            world.log.append(&decision.address, decision.expected, decision.events, crate::world::planner()).unwrap();
        }
        assert_eq!(world.due(id), ["web@web-01"]);
        assert!(doorbell(&world, id, "web@web-01").restore);
        world.claim(id, "web@web-01", 3);
        world.write(id, "web@web-01", holder("e", 1), TaskEvent::Succeeded { outputs: Default::default() });
        assert_eq!(world.due(id), ["tell@worker"]);
        world.succeed(id, "tell@worker");
        let end = world.end(id);
        assert!(end.starts_with("failed: step web went no further than its canary: "), "{end}");
    }
}

#[test]
fn what_can_not_be_taken_back_is_tried_again_and_then_said() {
    let (mut world, id) = World::with(request("x", &body(LOOK), targets(2, 1)));
    world.settle();
    world.succeed(id, "web@web-01");
    world.vote(id, "web", "ana", Verdict::Reject, false);
    for attempt in 2..=4 {
        world.log.seconds += 60;
        assert_eq!(world.due(id), ["web@web-01"], "attempt {attempt}");
        world.fail(id, "web@web-01", attempt);
    }
    assert_eq!(world.due(id), ["tell@worker"]);
    let view = slipway_engine::view::deployment(world.state.get(id).unwrap(), 0);
    assert_eq!(view.steps[0].tasks[0].message.as_deref(), Some("it broke"));
}

#[test]
fn too_many_failures_take_back_what_the_others_did_also_after_a_cancel() {
    let rolling = "{window: 1, on-failure: restore}";
    for cancelled in [false, true] {
        let (mut world, id) = World::with(request("x", &body(rolling), targets(3, 1)));
        world.settle();
        assert!(keeps(&world, id, "web@web-01"));
        world.succeed(id, "web@web-01");
        world.settle();
        world.fail(id, "web@web-02", 1);
        if cancelled {
            world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "enough".into() });
        }
        assert_eq!(world.due(id), ["web@web-01"], "to be taken back");
        assert!(doorbell(&world, id, "web@web-01").restore);
        world.succeed_again(id, "web@web-01", 2);
        if !cancelled {
            assert_eq!(world.due(id), ["tell@worker"]);
            world.succeed(id, "tell@worker");
            assert_eq!(world.end(id), "failed: step web failed on web-02: it broke");
        } else {
            assert_eq!(world.end(id), "cancelled: cancelled by ana: enough");
        }
    }
}

#[test]
fn a_cancel_takes_back_a_canary_that_people_still_look_at() {
    let (mut world, id) = World::with(request("x", &body(LOOK), targets(3, 1)));
    world.settle();
    world.succeed(id, "web@web-01");
    world.settle();
    world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "enough".into() });
    assert_eq!(world.due(id), ["web@web-01"], "to be taken back");
    let waits = slipway_engine::why::why(&world.state, world.state.get(id).unwrap(), at(0));
    assert!(waits.iter().any(|w| w.target.as_ref().is_some_and(|t| t.as_str() == "web-01")), "{waits:?}");
    world.vote(id, "web", "ana", Verdict::Approve, false);
    assert_eq!(world.due(id), ["web@web-01"], "it is too late for a yes");
    assert_eq!(wake(&world.state, id), Some(at(600 + 30)), "nobody is waited for any more");
    world.succeed_again(id, "web@web-01", 2);
    assert_eq!(world.end(id), "cancelled: cancelled by ana: enough");
    let view = slipway_engine::view::deployment(world.state.get(id).unwrap(), 0);
    assert_eq!(view.steps[0].gate.as_ref().unwrap().decided, None, "nobody decided");
    assert_eq!(view.steps[0].tasks[0].message.as_deref(), Some("taken back: the deployment was cancelled by ana"));
}

#[test]
fn nobody_is_asked_about_a_canary_that_is_cancelled_before_they_were() {
    let look = "{window: 2, canary: 1, then: {approval: {slack: '#deploys'}}}";
    let (mut world, id) = World::with(request("x", &body(look), targets(3, 1)));
    world.settle();
    world.succeed(id, "web@web-01");
    world.settle();
    assert_eq!(world.due(id), ["web@notifier"], "people are asked");
    let (mut world, id) = World::with(request("y", &body(look), targets(3, 1)));
    world.settle();
    world.succeed(id, "web@web-01");
    // The gate is open, and the cancel comes before anybody could tell people.
    let opened = world.log.entries.iter().rposition(|r| matches!(r.address, Address::Gate(..))).unwrap();
    world.log.entries.truncate(opened + 1);
    let mut state = State::new();
    world.log.entries.iter().for_each(|recorded| drop(state.apply(recorded)));
    let cancel = Envelope {
        id: uuid::Uuid::nil(),
        schema: SCHEMA,
        at: at(0),
        actor: person("ana"),
        trace: None,
        events: vec![PlanEvent::CancelRequested { reason: "enough".into() }],
    };
    let seq = opened as u64 + 2;
    state.apply(&Recorded { seq, at: at(0), address: Address::Plan(id), entry: Entry::Plan(cancel) });
    let granted = slipway_engine::decide(&state, id, at(0));
    let asks = |event: &PlanEvent| matches!(event, PlanEvent::Granted { tasks } if tasks.iter().any(|task| task.target.as_str() == "notifier"));
    let asked = granted.iter().any(|d| matches!(&d.events, Events::Plan(events) if events.iter().any(asks)));
    assert!(!asked, "{granted:?}");
}

#[test]
fn a_cancel_between_two_targets_takes_back_what_the_step_did_where_it_says_so() {
    for (on_failure, restored) in [("restore", true), ("stop", false)] {
        let rolling = format!("{{window: 1, pause: 60s, on-failure: {on_failure}}}");
        let (mut world, id) = World::with(request("x", &body(&rolling), targets(2, 1)));
        world.settle();
        world.succeed(id, "web@web-01");
        world.settle();
        world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "enough".into() });
        if restored {
            assert_eq!(world.due(id), ["web@web-01"], "to be taken back");
            world.succeed_again(id, "web@web-01", 2);
        }
        assert_eq!(world.end(id), "cancelled: cancelled by ana: enough");
    }
}

#[test]
fn after_the_deadline_no_target_starts_and_the_step_has_failed() {
    for (on_failure, restored) in [("stop", false), ("restore", true)] {
        let rolling = format!("{{window: 1, deadline: 60s, on-failure: {on_failure}}}");
        let (mut world, id) = World::with(request("x", &body(&rolling), targets(3, 1)));
        world.settle();
        world.log.seconds = 60;
        world.succeed(id, "web@web-01");
        assert_eq!(world.due(id), ["web@web-02"], "the deadline itself is in time");
        assert_eq!(wake(&world.state, id), Some(at(60) + chrono::TimeDelta::milliseconds(1)));
        world.log.seconds = 70;
        world.succeed(id, "web@web-02");
        if restored {
            assert_eq!(world.due(id), ["web@web-01", "web@web-02"], "to be taken back");
            world.succeed_again(id, "web@web-01", 2);
            world.succeed_again(id, "web@web-02", 2);
        }
        assert_eq!(world.due(id), ["tell@worker"], "web has failed");
        world.succeed(id, "tell@worker");
        let end = "failed: step web left out web-03: it did not start within the step's deadline of 1m";
        assert_eq!(world.end(id), end);
    }
}

#[test]
fn the_time_that_people_look_at_the_canary_does_not_count_towards_the_deadline() {
    let rolling = "{window: 1, canary: 1, deadline: 60s, then: {approval: {teams: [ops], timeout: 1h}}}";
    let (mut world, id) = World::with(request("x", &body(rolling), targets(2, 1)));
    world.settle();
    world.succeed(id, "web@web-01");
    world.settle();
    world.log.seconds = 3_000;
    assert!(world.due(id).is_empty());
    world.vote(id, "web", "ana", Verdict::Approve, false);
    assert_eq!(world.due(id), ["web@web-02"]);
    world.succeed(id, "web@web-02");
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn a_lone_target_has_no_canary_and_nobody_is_asked() {
    let (mut world, id) = World::with(request("x", &body(LOOK), targets(1, 1)));
    assert_eq!(world.due(id), ["web@web-01"]);
    assert!(!keeps(&world, id, "web@web-01"));
    world.succeed(id, "web@web-01");
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn whoever_asked_for_the_deployment_has_no_vote_where_the_approval_says_so() {
    let body = "steps:\n  - {name: ask, approval: {teams: [ops], exclude-requester: true}}\n  - {name: go, needs: [ask], wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.vote(id, "ask", "ana", Verdict::Approve, false);
    assert!(world.due(id).is_empty(), "ana asked for it");
    world.vote(id, "ask", "ben", Verdict::Approve, false);
    assert_eq!(world.due(id), ["go@worker"]);
}

#[test]
fn only_who_holds_the_task_says_that_it_is_taken_back() {
    let (mut world, id) = World::with(request("x", &body(LOOK), targets(2, 1)));
    world.settle();
    world.succeed(id, "web@web-01");
    world.vote(id, "web", "ana", Verdict::Reject, false);
    world.claim(id, "web@web-01", 2);
    let zombie = holder("z", 9);
    assert_ne!(zombie, holder("e", 1));
    world.write(id, "web@web-01", zombie, TaskEvent::Succeeded { outputs: Default::default() });
    assert!(world.end(id).starts_with("corrupt"), "{}", world.end(id));
}
