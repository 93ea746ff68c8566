//! Freezes hold starts back, whoever decides and whatever the order of things.

use slipway_domain::{
    event::PlanEvent,
    id::DeploymentId,
    manifest::{Freeze, Manifest, parse::parse},
    policy::Policy,
    release::{Ignores, Request},
};

use crate::{
    fixture::{at, request, targets},
    world::{World, planner},
};

const BODY: &str = "steps:\n  - {name: a, wait: 0s}\n  - {name: b, needs: [a], wait: 0s}";

fn of(name: &str) -> Request {
    request(name, BODY, targets(1, 1))
}

/// Frozen between two seconds after noon.
fn freeze(name: &str, from: i64, until: i64, more: &str) -> Freeze {
    let (from, until) = (at(from).to_rfc3339(), at(until).to_rfc3339());
    let text = format!("kind: Freeze\nname: {name}\nfrom: {from}\nuntil: {until}\n{more}");
    let Manifest::Freeze(freeze) = parse(None, &text).unwrap().remove(0) else { panic!("{text}") };
    *freeze
}

fn freezes(freezes: &[Freeze]) -> Policy {
    Policy { freezes: freezes.to_vec(), ..Policy::default() }
}

fn waits(world: &World, id: DeploymentId) -> serde_json::Value {
    let why = slipway_engine::why::why(&world.state, world.state.get(id).unwrap(), world.log.now());
    serde_json::to_value(&why[0]).unwrap()
}

#[test]
fn a_freeze_holds_what_was_asked_for_before_it_and_says_until_when() {
    let mut world = World::default();
    let first = world.log.request(of("1"));
    world.log.policy(freezes(&[freeze("nights", 0, 60, "")]));
    world.settle();
    assert_eq!(world.end(first), "queued");
    let why = waits(&world, first);
    assert_eq!(why["waits-for"], "freeze");
    assert_eq!((why["freeze"].as_str(), why["until"].as_str()), (Some("nights"), Some("2023-11-14T22:14:20Z")));
    assert!(world.state.startable(at(59)).is_empty());
    assert_eq!(world.state.startable(at(60)), [first]);
    world.log.seconds = 60;
    assert_eq!(world.due(first), ["a@worker"]);
}

#[test]
fn what_runs_goes_on_and_what_is_not_meant_starts() {
    let mut world = World::default();
    let first = world.log.request(of("1"));
    world.settle();
    world.log.policy(freezes(&[freeze("nights", 0, 60, "environments: [production]")]));
    world.succeed(first, "a@worker");
    assert_eq!(world.due(first), ["b@worker"]);
    let mut elsewhere = of("2");
    elsewhere.environment = "staging".parse().unwrap();
    let elsewhere = world.log.request(elsewhere);
    assert_eq!(world.due(elsewhere), ["a@worker"]);
}

#[test]
fn a_start_by_somebody_who_did_not_know_of_the_freeze_is_void() {
    let mut world = World::default();
    let first = world.log.request(of("1"));
    world.settle();
    world.succeed(first, "a@worker");
    world.succeed(first, "b@worker");
    let second = world.log.request(of("2"));
    world.log.policy(freezes(&[freeze("nights", 0, 60, "")]));
    world.settle();
    world.plan(second, planner(), PlanEvent::Started { policy: world.state.policy_seq() - 1 });
    assert_eq!(world.end(second), "queued");
    world.log.policy(freezes(&[]));
    assert_eq!(world.due(second), ["a@worker"], "and it starts when the freeze is taken back");
}

#[test]
fn an_emergency_passes_those_that_the_freeze_holds_and_only_the_freezes_that_it_names() {
    let mut world = World::default();
    world.log.policy(freezes(&[freeze("nights", 0, 60, ""), freeze("audit", 30, 90, "")]));
    let first = world.log.request(of("1"));
    let mut emergency = of("2");
    emergency.ignores = Some(Ignores { freezes: vec!["nights".parse().unwrap()], reason: "on fire".into() });
    let mut third = emergency.clone();
    third.id = DeploymentId::derive(&["3"]);
    let (second, third) = (world.log.request(emergency), world.log.request(third));
    world.settle();
    let ends = |world: &World| [first, second, third].map(|id| world.end(id)).join(" ");
    assert_eq!(ends(&world), "queued running queued");
    world.log.seconds = 30;
    world.succeed(second, "a@worker");
    world.succeed(second, "b@worker");
    assert_eq!(ends(&world), "queued succeeded queued");
    assert_eq!(waits(&world, third)["freeze"], "audit");
    let told = slipway_engine::view::event(&world.log.entries[2]).text;
    assert!(told.ends_with("ignoring freeze nights: on fire"), "{told}");
}

#[test]
fn a_frozen_deployment_takes_no_turn_from_others() {
    let mut world = World::default();
    let frozen = freeze("nights", 0, 60, "projects: [shop]");
    world.log.policy(Policy { deployments: Some(1), ..freezes(&[frozen]) });
    let first = world.log.request(of("1"));
    let mut other = of("2");
    other.release.project = "till".parse().unwrap();
    let other = world.log.request(other);
    world.settle();
    assert_eq!([first, other].map(|id| world.end(id)).join(" "), "queued running");
}
