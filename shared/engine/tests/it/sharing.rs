//! What deployments share, and what one entry of the log may take of it.

use slipway_domain::{
    event::{Actor, Address, Failure, FailureKind, GateEvent, GateScope, PlanEvent, TaskEvent, Verdict},
    id::{DeploymentId, TaskKey},
    manifest::Queue,
    release::Request,
};
use slipway_engine::{
    decide::{Events, wake},
    deployment::TaskState,
};

use crate::{
    fixture::{at, person, request, targets},
    world::{World, holder, planner},
};

const ONE: &str = "steps:\n  - {name: a, wait: 0s}";

fn latest(name: &str) -> Request {
    let mut request = request(name, ONE, targets(1, 1));
    request.queue = Queue::LatestOnly;
    request
}

fn key(text: &str) -> TaskKey {
    let (step, target) = text.split_once('@').unwrap();
    TaskKey::new(step.parse().unwrap(), target.parse().unwrap())
}

#[test]
fn only_what_is_planned_and_not_cancelled_takes_the_place_of_another() {
    let (mut world, first) = World::with(latest("1"));
    world.settle();
    let second = world.log.request(latest("2"));
    world.settle();
    let third = world.log.request(latest("3"));
    world.fold();
    let newer = |world: &World| world.state.superseded_by(world.state.get(second).unwrap());
    assert_eq!(newer(&world), None, "nobody knows yet whether it can be planned");
    let planned = slipway_engine::decide(&world.state, third, at(0)).remove(0);
    world.raw(&planned.address, planner(), planned.events);
    assert_eq!(newer(&world), Some(third));
    let cancel = PlanEvent::CancelRequested { reason: "no".into() };
    world.raw(&Address::Plan(third), person("ana"), Events::Plan(vec![cancel]));
    assert_eq!(newer(&world), None, "the newer one was cancelled");
    world.settle();
    assert_eq!((world.end(first).as_str(), world.end(second).as_str()), ("running", "queued"));
}

#[test]
fn a_paused_deployment_does_not_start() {
    let (mut world, id) = World::with(request("x", ONE, targets(1, 1)));
    let pause = PlanEvent::Paused { reason: "look".into() };
    world.raw(&Address::Plan(id), person("ana"), Events::Plan(vec![pause]));
    world.settle();
    assert!(world.state.get(id).unwrap().started_at.is_none());
    world.plan(id, person("ana"), PlanEvent::Resumed);
    assert_eq!(world.due(id), ["a@worker"]);
}

#[test]
fn who_waits_for_a_slot_of_a_target_is_looked_at_when_one_is_free() {
    let steps = "steps:\n  - {name: a, targets: {role: web}, wait: 0s}";
    let (mut world, first) = World::with(request("1", steps, targets(1, 1)));
    let mut other = request("2", steps, targets(1, 1));
    other.release.project = "till".parse().unwrap();
    let second = world.log.request(other);
    assert_eq!(world.due(first), ["a@web-01"]);
    assert!(world.due(second).is_empty(), "the target runs one task at a time");
    world.claim(first, "a@web-01", 1);
    let (address, end) = (Address::Task(first, key("a@web-01")), TaskEvent::Succeeded { outputs: Default::default() });
    world.log.append(&address, world.log.head(&address), Events::Task(vec![end]), holder("e", 1)).unwrap();
    let applied = world.state.apply(world.log.entries.last().unwrap());
    assert!(applied.touched.contains(&second), "{:?}", applied.touched);
    assert_eq!(world.due(second), ["a@web-01"]);
}

#[test]
fn a_grant_of_what_runs_or_is_over_is_void() {
    let (mut world, id) =
        World::with(request("x", "steps:\n  - {name: a, wait: 0s}\n  - {name: b, wait: 0s}", targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    world.succeed(id, "b@worker");
    world.plan(id, planner(), PlanEvent::Granted { tasks: vec![key("a@worker"), key("b@worker")] });
    assert!(world.due(id).is_empty(), "one is held, one is done");
    world.write(id, "a@worker", holder("e", 1), TaskEvent::Succeeded { outputs: Default::default() });
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn a_grant_after_too_many_failures_is_void() {
    let body = "steps:\n  - {name: web, targets: {role: web}, rolling: {window: 2}, wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(4, 1)));
    world.settle();
    world.claim(id, "web@web-01", 1);
    let failed = TaskEvent::Failed { cause: Failure::step("it broke") };
    world.raw(&Address::Task(id, key("web@web-01")), holder("e", 1), Events::Task(vec![failed]));
    // As a planner that has not heard of the failure.
    let granted = PlanEvent::Granted { tasks: vec![key("web@web-03")] };
    world.raw(&Address::Plan(id), planner(), Events::Plan(vec![granted]));
    assert_eq!(world.due(id), ["web@web-02"]);
}

#[test]
fn a_planner_that_keeps_up_writes_nothing_void() {
    let slots = "steps:\n  - {name: a, targets: {role: web}, wait: 0s}\n  - {name: b, targets: {role: web}, wait: 0s}\n  - {name: c, targets: {role: web}, wait: 0s}";
    let window = "steps:\n  - {name: a, targets: {role: web}, rolling: {window: 2}, wait: 0s}";
    for (body, tasks) in [(slots, 9), (window, 3)] {
        let (mut world, id) = World::with(request("x", body, targets(3, 2)));
        let mut done = 0;
        while let Some(next) = world.due(id).first().cloned() {
            world.succeed(id, &next);
            done += 1;
        }
        assert_eq!((done, world.end(id).as_str()), (tasks, "succeeded"));
        assert_eq!(world.void, Vec::<String>::new());
    }
}

#[test]
fn a_holder_may_write_nothing_that_is_a_planners() {
    let executor = || holder("e", 1);
    check_stranger(executor(), PlanEvent::Started { policy: 0 });
    check_stranger(executor(), PlanEvent::Granted { tasks: vec![key("a@worker")] });
    check_stranger(executor(), PlanEvent::Resumed);
}

#[track_caller]
fn check_stranger(actor: Actor, event: PlanEvent) {
    let (mut world, id) = World::with(request("x", ONE, targets(1, 1)));
    world.settle();
    world.plan(id, actor, event);
    assert!(world.end(id).starts_with("corrupt"), "{}", world.end(id));
}

#[test]
fn a_deployment_by_rules_that_are_not_known_is_left_alone() {
    let mut newer = request("x", ONE, targets(1, 1));
    newer.rules_version += 1;
    let (mut world, id) = World::with(newer);
    world.settle();
    assert!(world.state.get(id).unwrap().progress.is_none());
}

#[test]
fn only_what_is_granted_is_due() {
    let (mut world, id) = World::with(request("x", ONE, targets(1, 1)));
    assert_eq!(world.due(id), ["a@worker"]);
    world.claim(id, "a@worker", 1);
    assert!(world.due(id).is_empty());
}

#[test]
fn nobody_votes_for_another_or_for_an_earlier_opening() {
    let body = "guided-failure: {teams: [ops]}\nsteps:\n  - {name: a, wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.fail(id, "a@worker", 1);
    let first = opened(&world, id);
    world.guide(id, "a", "worker", "ana", Verdict::Retry);
    world.fail(id, "a@worker", 2);
    assert_ne!(opened(&world, id), first, "asked again");
    world.answer(id, "a", "worker", first, ("ana", "ana"), Verdict::Ignore);
    assert_eq!(world.end(id), "waiting-for-person", "an answer to the first question");
    let now = opened(&world, id);
    world.answer(id, "a", "worker", now, ("eve", "ana"), Verdict::Ignore);
    assert_eq!(world.end(id), "waiting-for-person", "eve spoke as ana");
    world.answer(id, "a", "worker", now, ("ana", "ana"), Verdict::Ignore);
    assert_eq!(world.end(id), "succeeded");
}

fn opened(world: &World, id: DeploymentId) -> u64 {
    let progress = world.state.get(id).unwrap().progress.as_ref().unwrap();
    progress.task(&key("a@worker")).unwrap().guidance.opened().unwrap()
}

#[test]
fn a_gate_takes_no_answers_to_another_question() {
    let body = "steps:\n  - {name: ok, approval: {teams: [ops]}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    for verdict in [Verdict::Retry, Verdict::Ignore, Verdict::Exclude] {
        world.vote(id, "ok", "ana", verdict, false);
        assert_eq!(world.end(id), "waiting-for-person", "{verdict}");
    }
}

#[test]
fn after_a_cancel_nobody_is_asked_and_what_fails_is_not_tried_again() {
    let guided = "guided-failure: {}\nsteps:\n  - {name: a, wait: 0s}";
    let retried = "steps:\n  - {name: a, wait: 0s, retry: {attempts: 9, backoff: 1s}}";
    for (body, told) in [(guided, false), (guided, true), (retried, true)] {
        let (mut world, id) = World::with(request("x", body, targets(1, 1)));
        world.settle();
        world.claim(id, "a@worker", 1);
        let cancel = PlanEvent::CancelRequested { reason: "no".into() };
        world.raw(&Address::Plan(id), person("ana"), Events::Plan(vec![cancel]));
        if told {
            world.settle();
        }
        let failed = TaskEvent::Failed { cause: Failure::step("it broke") };
        world.raw(&Address::Task(id, key("a@worker")), holder("e", 1), Events::Task(vec![failed]));
        let progress = world.state.get(id).unwrap().progress.as_ref().unwrap();
        let state = &progress.task(&key("a@worker")).unwrap().state;
        assert!(matches!(state, TaskState::Failed(_)), "{state:?}: {body}");
    }
}

#[test]
fn an_always_step_is_neither_stopped_by_a_cancel_nor_hurried_before_what_it_follows() {
    let body = "steps:\n  - {name: a, wait: 0s}\n  - {name: b, needs: [a], wait: 0s}\n  - {name: t, needs: [b], wait: 0s, when: {result: always}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "no".into() });
    assert!(world.due(id).is_empty(), "a still stops");
    world.write(id, "a@worker", holder("e", 1), TaskEvent::Cancelled);
    world.claim(id, "t@worker", 1);
    world.settle();
    assert_eq!(world.end(id), "cancelling");
    world.write(id, "t@worker", holder("e", 1), TaskEvent::Succeeded { outputs: Default::default() });
    assert!(world.end(id).starts_with("cancelled"), "{}", world.end(id));
}

#[test]
fn a_lost_holder_that_was_told_to_stop_is_only_cleaned_up_after() {
    let (mut world, id) = World::with(request("x", ONE, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "no".into() });
    let lost = TaskEvent::LeaseExpired { reason: "gone".into() };
    world.raw(&Address::Task(id, key("a@worker")), planner(), Events::Task(vec![lost]));
    let bell = slipway_engine::order::doorbell(&world.state, id, &key("a@worker")).unwrap().unwrap();
    assert!(bell.adopt && bell.stop, "{bell:?}");
}

#[test]
fn what_was_lost_is_adopted_and_has_used_up_no_attempt() {
    let body = "steps:\n  - {name: a, wait: 0s, retry: {attempts: 2, backoff: 1s}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    world.write(id, "a@worker", planner(), TaskEvent::LeaseExpired { reason: "gone".into() });
    let bell = slipway_engine::order::doorbell(&world.state, id, &key("a@worker")).unwrap().unwrap();
    assert!(bell.adopt && !bell.stop, "{bell:?}");
    world.fail(id, "a@worker", 2);
    assert!(wake(&world.state, id).is_some_and(|retry| retry > at(0)), "one attempt is left: {}", world.end(id));
}

#[test]
fn an_order_that_can_not_be_right_is_not_tried_again() {
    let body = "steps:\n  - {name: a, wait: 0s, retry: {attempts: 9, backoff: 1s}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    let kind = FailureKind::Order;
    let cause = Failure { kind, message: "no such thing".into(), tail: Vec::new() };
    world.write(id, "a@worker", holder("e", 1), TaskEvent::Failed { cause });
    assert!(world.end(id).starts_with("failed"), "{}", world.end(id));
}

#[test]
fn a_paused_deployment_asks_nobody() {
    let body = "steps:\n  - {name: a, wait: 0s}\n  - {name: ok, needs: [a], approval: {teams: [ops]}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.plan(id, person("ana"), PlanEvent::Paused { reason: "look".into() });
    world.succeed(id, "a@worker");
    let opened = |world: &World| {
        let progress = world.state.get(id).unwrap().progress.as_ref().unwrap();
        progress.steps[1].gate.as_ref().unwrap().opened()
    };
    assert_eq!((world.end(id).as_str(), opened(&world)), ("paused", None));
    world.plan(id, person("ana"), PlanEvent::Resumed);
    assert_eq!(world.end(id), "waiting-for-person");
}

#[test]
fn a_deployment_ends_only_when_its_announcements_do() {
    let body = "steps:\n  - {name: ok, approval: {teams: [ops], slack: '#ops'}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.claim(id, "ok@notifier", 1);
    world.vote(id, "ok", "ana", Verdict::Approve, false);
    assert!(world.state.get(id).unwrap().end.is_none(), "the notifier still posts");
    world.write(id, "ok@notifier", holder("e", 1), TaskEvent::Cancelled);
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn an_approval_is_asked_for_once() {
    let body = "steps:\n  - {name: ok, approval: {teams: [ops]}}\n  - {name: b, needs: [ok], wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.vote(id, "ok", "ana", Verdict::Approve, false);
    let address = Address::Gate(id, "ok".parse().unwrap(), GateScope::All);
    let again = GateEvent::Opened { plan_digest: "x".into(), expires: at(60) };
    world.log.append(&address, world.log.head(&address), Events::Gate(vec![again]), planner()).unwrap();
    world.settle();
    assert!(world.end(id).starts_with("corrupt"), "{}", world.end(id));
}

fn rollout(rolling: &str) -> String {
    format!("steps:\n  - {{name: web, targets: {{role: web}}, rolling: {rolling}, docker-run: {{package: web}}}}")
}

#[test]
fn a_grant_behind_a_bad_canary_is_void_whatever_is_tolerated() {
    let body = rollout("{window: 2, canary: 1, max-failures: 3}");
    let (mut world, id) = World::with(request("x", &body, targets(3, 1)));
    world.settle();
    world.claim(id, "web@web-01", 1);
    let failed = TaskEvent::Failed { cause: Failure::step("it broke") };
    world.raw(&Address::Task(id, key("web@web-01")), holder("e", 1), Events::Task(vec![failed]));
    let granted = PlanEvent::Granted { tasks: vec![key("web@web-02")] };
    world.raw(&Address::Plan(id), planner(), Events::Plan(vec![granted]));
    assert!(world.due(id).is_empty());
    assert!(world.end(id).starts_with("failed"), "{}", world.end(id));
}

#[test]
fn people_look_only_when_the_whole_canary_has_ended() {
    let body = rollout("{window: 2, canary: 2, then: {approval: {teams: [ops]}}}");
    let (mut world, id) = World::with(request("x", &body, targets(4, 1)));
    world.settle();
    world.claim(id, "web@web-02", 1);
    world.succeed(id, "web@web-01");
    let opened =
        |world: &World| world.state.get(id).unwrap().progress.as_ref().unwrap().steps[0].any_gate().unwrap().opened();
    assert_eq!(opened(&world), None);
    world.write(id, "web@web-02", holder("e", 1), TaskEvent::Succeeded { outputs: Default::default() });
    assert!(opened(&world).is_some());
}

#[test]
fn what_an_earlier_deployment_did_is_not_taken_back() {
    let mut again = request("x", &rollout("{window: 1, on-failure: restore}"), targets(2, 1));
    let done = slipway_domain::release::Done { task: key("web@web-01"), outputs: Default::default() };
    again.retries =
        Some(slipway_domain::release::Retries { deployment: DeploymentId::derive(&["y"]), done: vec![done] });
    let (mut world, id) = World::with(again);
    assert_eq!(world.due(id), ["web@web-02"]);
    world.fail(id, "web@web-02", 1);
    assert!(world.due(id).is_empty());
    assert!(world.end(id).starts_with("failed: step web failed on web-02"), "{}", world.end(id));
}
