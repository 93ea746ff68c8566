//! A deployment gives its lane back while people are asked at a gate that does not block.

use slipway_domain::{
    event::{Address, PlanEvent, Verdict},
    id::DeploymentId,
    manifest::Queue,
    policy::Policy,
    release::Request,
};

use slipway_engine::decide::Events;

use crate::{
    fixture::{person, request, targets},
    world::{World, planner},
};

const ASIDE: &str = "steps:
  - {name: a, wait: 0s}
  - {name: ok, needs: [a], approval: {teams: [ops], blocks: false}}
  - {name: b, needs: [ok], wait: 0s}
  - {name: t, needs: [b], wait: 0s, when: {result: always}}";

fn of(name: &str) -> Request {
    request(name, ASIDE, targets(1, 1))
}

fn waits(world: &World, id: DeploymentId) -> Vec<String> {
    let why = slipway_engine::why::why(&world.state, world.state.get(id).unwrap(), world.log.now());
    why.iter().map(|w| serde_json::to_value(w).unwrap()["waits-for"].as_str().unwrap().to_owned()).collect()
}

fn ends(world: &World, ids: &[DeploymentId]) -> String {
    ids.iter().map(|id| world.end(*id)).collect::<Vec<_>>().join(" ")
}

/// Two deployments, of which the first waits for people and gave its lane back.
fn overtaken(queue: Queue) -> (World, DeploymentId, DeploymentId) {
    let mut first = of("1");
    first.queue = queue;
    let (mut world, first) = World::with(first);
    world.succeed_due(first);
    assert_eq!(waits(&world, first), ["yielded", "people"]);
    let mut second = of("2");
    second.queue = queue;
    let second = world.log.request(second);
    world.settle();
    (world, first, second)
}

impl World {
    fn succeed_due(&mut self, id: DeploymentId) {
        for key in self.due(id) {
            self.succeed(id, &key);
        }
    }
}

#[test]
fn the_next_deployment_starts_while_people_are_asked_and_the_first_takes_its_turn_again() {
    let (mut world, first, second) = overtaken(Queue::Wait);
    assert_eq!(world.due(second), ["a@worker"]);
    world.vote(first, "ok", "ana", Verdict::Approve, false);
    assert_eq!(ends(&world, &[first, second]), "queued running");
    assert_eq!(waits(&world, first), ["yielded", "lane"]);
    assert!(world.due(first).is_empty(), "nothing of it runs without the lane");
    world.succeed_due(second);
    assert_eq!(world.due(first), ["b@worker"], "the second gave it back in turn");
    assert_eq!(ends(&world, &[first, second]), "running waiting-for-person");
    world.succeed_due(first);
    world.succeed_due(first);
    world.vote(second, "ok", "ana", Verdict::Approve, false);
    world.succeed_due(second);
    world.succeed_due(second);
    assert_eq!(ends(&world, &[first, second]), "succeeded succeeded");
}

#[test]
fn of_two_that_wait_for_the_lane_the_older_one_goes_first() {
    let (mut world, first, second) = overtaken(Queue::Wait);
    let third = world.log.request(of("3"));
    world.settle();
    world.vote(first, "ok", "ana", Verdict::Approve, false);
    world.succeed_due(second);
    assert_eq!(ends(&world, &[first, second, third]), "running waiting-for-person queued");
}

/// A planner writes what it should not, and nobody has decided anything since.
fn says_that_it_yields(world: &mut World, id: DeploymentId) {
    world.raw(&Address::Plan(id), planner(), Events::Plan(vec![PlanEvent::Yielded]));
}

#[test]
fn a_gate_that_blocks_keeps_the_lane() {
    let blocking = request("1", &ASIDE.replace(", blocks: false", ""), targets(1, 1));
    let (mut world, first) = World::with(blocking);
    world.succeed_due(first);
    let second = world.log.request(of("2"));
    world.settle();
    assert_eq!(ends(&world, &[first, second]), "waiting-for-person queued");
    says_that_it_yields(&mut world, first);
    assert!(world.state.get(first).unwrap().yielded.is_none(), "a word of a planner changes nothing");
    assert_eq!(ends(&world, &[first, second]), "waiting-for-person queued");
}

#[test]
fn a_deployment_keeps_its_lane_as_long_as_anything_else_of_it_goes_on() {
    let more = format!("{ASIDE}\n  - {{name: side, wait: 0s}}");
    let (mut world, first) = World::with(request("1", &more, targets(1, 1)));
    world.settle();
    world.succeed(first, "a@worker");
    says_that_it_yields(&mut world, first);
    assert!(world.state.get(first).unwrap().yielded.is_none(), "step side is granted");
    world.succeed(first, "side@worker");
    assert!(world.state.get(first).unwrap().yielded.is_some());
}

#[test]
fn people_are_told_before_the_lane_is_given_back() {
    let told = ASIDE.replace("blocks: false", "blocks: false, slack: '#ops'");
    let (mut world, first) = World::with(request("1", &told, targets(1, 1)));
    world.settle();
    world.succeed(first, "a@worker");
    assert_eq!(world.due(first), ["ok@notifier"]);
    assert!(world.state.get(first).unwrap().yielded.is_none());
    world.succeed(first, "ok@notifier");
    assert!(world.state.get(first).unwrap().yielded.is_some());
}

#[test]
fn where_only_the_latest_counts_one_that_was_passed_is_superseded() {
    let (world, first, second) = overtaken(Queue::LatestOnly);
    assert_eq!(world.end(first), format!("superseded: deployment {second} took its place in the queue"));
    assert_eq!(world.end(second), "running");
}

#[test]
fn a_queue_that_takes_no_second_one_takes_it_while_the_first_asks_aside() {
    let (mut world, first, second) = overtaken(Queue::Reject);
    assert_eq!(ends(&world, &[first, second]), "waiting-for-person running");
    let mut third = of("3");
    third.queue = Queue::Reject;
    let third = world.log.request(third);
    world.settle();
    assert!(world.end(third).starts_with("rejected"), "{}", world.end(third));
}

#[test]
fn a_rejection_and_a_cancel_end_it_with_its_always_steps_in_its_turn() {
    let (mut world, first, second) = overtaken(Queue::Wait);
    world.vote(first, "ok", "ana", Verdict::Reject, false);
    assert_eq!(ends(&world, &[first, second]), "queued running");
    world.succeed_due(second);
    assert_eq!(world.due(first), ["t@worker"]);
    world.succeed_due(first);
    assert!(world.end(first).starts_with("failed: step ok was not approved"), "{}", world.end(first));
    world.plan(second, person("ana"), PlanEvent::CancelRequested { reason: "enough".into() });
    assert_eq!(world.due(second), ["t@worker"]);
    world.succeed_due(second);
    assert!(world.end(second).starts_with("cancelled"), "{}", world.end(second));
}

#[test]
fn it_gives_back_its_place_under_a_limit_and_waits_for_one_again() {
    let mut world = World::default();
    world.log.policy(Policy { deployments: Some(1), ..Policy::default() });
    let first = world.log.request(of("1"));
    let mut other = of("2");
    other.release.project = "till".parse().unwrap();
    let other = world.log.request(other);
    world.settle();
    world.succeed_due(first);
    assert_eq!(ends(&world, &[first, other]), "waiting-for-person running");
    world.vote(first, "ok", "ana", Verdict::Approve, false);
    assert_eq!(waits(&world, first), ["yielded", "total-limit"]);
    world.succeed_due(other);
    assert_eq!(ends(&world, &[first, other]), "running waiting-for-person");
}
