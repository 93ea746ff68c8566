//! Steps that hold until a person tells them how to end.

use slipway_domain::{
    event::{Actor, Address, Entry, Failure, PlanEvent, TaskEvent},
    id::{DeploymentId, TaskKey},
};

use crate::{
    fixture::{person, request, targets},
    world::{World, holder},
};

fn task() -> TaskKey {
    TaskKey::new("a".parse().unwrap(), "worker".parse().unwrap())
}

fn begin(step: &str) -> (World, DeploymentId) {
    let (mut world, id) = World::with(request("x", &format!("steps:\n  - {step}"), targets(1, 1)));
    world.settle();
    (world, id)
}

fn tell(world: &mut World, id: DeploymentId, fail: bool) {
    world.plan(id, person("ana"), PlanEvent::Told { task: task(), fail });
}

/// What its holders were told so far.
fn heard(world: &World, id: DeploymentId) -> Vec<bool> {
    let address = Address::Task(id, task());
    let own = world.log.entries.iter().filter(|recorded| recorded.address == address);
    let told = |recorded: &slipway_domain::event::Recorded| match &recorded.entry {
        Entry::Task(envelope) => match envelope.events.as_slice() {
            [TaskEvent::Told { fail }] => Some(*fail),
            _ => None,
        },
        _ => None,
    };
    own.filter_map(told).collect()
}

#[test]
fn what_a_person_says_reaches_the_holder_and_after_it_was_lost_the_next_one() {
    let (mut world, id) = begin("{name: a, demo: {message: 'on #{Environment}'}}");
    world.claim(id, "a@worker", 1);
    assert_eq!(heard(&world, id), Vec::<bool>::new());
    tell(&mut world, id, false);
    assert_eq!(heard(&world, id), [false]);
    world.write(id, "a@worker", crate::world::planner(), TaskEvent::LeaseExpired { reason: "gone".into() });
    assert_eq!(heard(&world, id), [false], "nobody holds it");
    world.claim(id, "a@worker", 2);
    assert_eq!(heard(&world, id), [false, false]);
    world.write(id, "a@worker", holder("e", 1), TaskEvent::Succeeded { outputs: Default::default() });
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn what_was_said_before_the_claim_is_passed_on_after_it_and_the_last_word_counts() {
    let (mut world, id) = begin("{name: a, demo: {}}");
    tell(&mut world, id, true);
    tell(&mut world, id, false);
    assert_eq!(heard(&world, id), Vec::<bool>::new());
    world.claim(id, "a@worker", 1);
    assert_eq!(heard(&world, id), [false]);
}

#[test]
fn another_attempt_waits_for_a_word_of_its_own() {
    let (mut world, id) = begin("{name: a, demo: {}, retry: {attempts: 2, backoff: 1s}}");
    world.claim(id, "a@worker", 1);
    tell(&mut world, id, true);
    world.write(id, "a@worker", holder("e", 1), TaskEvent::Failed { cause: Failure::step("told to") });
    world.log.seconds = 5;
    world.settle();
    world.claim(id, "a@worker", 2);
    assert_eq!(heard(&world, id), [true]);
}

#[test]
fn what_is_said_between_two_attempts_counts_for_neither() {
    let (mut world, id) = begin("{name: a, demo: {}, retry: {attempts: 2, backoff: 1s}}");
    world.fail(id, "a@worker", 1);
    tell(&mut world, id, true);
    world.log.seconds = 5;
    world.settle();
    world.claim(id, "a@worker", 2);
    assert_eq!(heard(&world, id), Vec::<bool>::new());
}

#[test]
fn what_is_said_of_a_task_that_is_over_changes_nothing_and_only_people_say_it() {
    let (mut world, id) = begin("{name: a, demo: {}}\n  - {name: b, needs: [a], wait: 0s}");
    world.succeed(id, "a@worker");
    tell(&mut world, id, true);
    assert_eq!(world.due(id), ["b@worker"]);
    let stranger: Actor = holder("e", 1);
    world.plan(id, stranger, PlanEvent::Told { task: task(), fail: false });
    assert!(world.end(id).starts_with("corrupt"), "{}", world.end(id));
}
