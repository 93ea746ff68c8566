//! A deployment that an impossible entry stopped, until a person gives it up.

use slipway_domain::event::{PlanEvent, TaskEvent, Verdict};

use crate::{
    fixture::{person, request, targets},
    world::{World, holder, planner},
};

const TWO: &str = "steps:\n  - {name: a, docker-job: {package: web}}\n  - {name: b, needs: [a], wait: 0s}";

fn abandoned() -> PlanEvent {
    PlanEvent::Abandoned { reason: "looked at the host".into() }
}

/// A deployment that stopped while a task of it was held, and one that waits for its lane.
fn stopped() -> (World, slipway_domain::id::DeploymentId, slipway_domain::id::DeploymentId) {
    let (mut world, id) = World::with(request("x", TWO, targets(1, 1)));
    let second = world.log.request(request("y", TWO, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    world.write(id, "b@worker", holder("e", 1), TaskEvent::Succeeded { outputs: Default::default() });
    assert!(world.end(id).starts_with("corrupt"), "{}", world.end(id));
    (world, id, second)
}

#[test]
fn a_person_gives_up_a_stopped_deployment_and_the_next_one_goes_on() {
    let (mut world, id, second) = stopped();
    assert_eq!(world.state.damaged().iter().map(|d| d.id()).collect::<Vec<_>>(), [id]);
    assert_eq!(world.end(second), "queued");
    world.plan(id, person("ana"), abandoned());
    assert!(world.state.damaged().is_empty());
    let view = slipway_engine::view::deployment(world.state.get(id).unwrap(), 0);
    let reason = view.summary.reason.unwrap();
    assert!(reason.starts_with("given up by ana: looked at the host (it had stopped at entry"), "{reason}");
    assert_eq!(view.summary.outcome, Some(slipway_domain::event::Outcome::Failed));
    world.settle();
    assert_eq!(world.due(second), ["a@worker"], "the lane and all that was taken is free again");
    assert!(world.state.holders().next().is_none());
}

#[test]
fn slots_of_a_deployment_that_was_given_up_are_free() {
    let body = "steps:\n  - {name: a, targets: {role: web}, docker-run: {package: web}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    let [task] = world.due(id)[..].to_vec().try_into().unwrap();
    world.claim(id, &task, 1);
    world.claim(id, &task, 2);
    let target = world.state.get(id).unwrap().request.targets[0].name.clone();
    assert_eq!(world.state.taken(&target), 1);
    world.plan(id, person("ana"), abandoned());
    assert_eq!(world.state.taken(&target), 0);
}

#[test]
fn only_a_person_gives_up_and_only_what_stopped() {
    let (mut world, id, _) = stopped();
    world.plan(id, planner(), abandoned());
    assert_eq!(world.state.damaged().len(), 1, "a planner does not give up");
    world.plan(id, person("ana"), PlanEvent::Resumed);
    assert_eq!(world.state.damaged().len(), 1, "nothing else ends it");

    let (mut world, id) = World::with(request("x", TWO, targets(1, 1)));
    world.settle();
    world.plan(id, person("ana"), abandoned());
    assert_eq!(world.due(id), ["a@worker"], "nothing is wrong with it, so it goes on");
    world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "no".into() });
    world.settle();
    let end = world.end(id);
    world.plan(id, person("ana"), abandoned());
    assert_eq!(world.end(id), end);
}

#[test]
fn an_unreadable_entry_stops_what_is_not_over() {
    let body = "steps:\n  - {name: ok, approval: {teams: [ops]}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    let next = world.state.head() + 1;
    world.state.unreadable(next, id, "a newer schema");
    assert!(world.end(id).contains("a newer schema"), "{}", world.end(id));
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.vote(id, "ok", "ana", Verdict::Approve, false);
    world.settle();
    let end = world.end(id);
    world.state.unreadable(world.state.head() + 1, id, "a newer schema");
    assert_eq!(world.end(id), end);
}
