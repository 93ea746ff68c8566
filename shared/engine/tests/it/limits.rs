//! How many deployments run at a time, and whose turn it is.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use slipway_domain::{event::PlanEvent, id::DeploymentId, policy::Policy, release::Request};

use crate::{
    fixture::{at, person, request, targets},
    world::{World, holder, planner},
};

const BODY: &str = "steps:\n  - {name: a, wait: 0s}";

fn of(project: &str, environment: &str, name: &str) -> Request {
    let mut request = request(&format!("{project}-{environment}-{name}"), BODY, targets(1, 1));
    request.release.project = project.parse().unwrap();
    request.environment = environment.parse().unwrap();
    request
}

fn policy(total: Option<u32>, environments: &[(&str, u32)]) -> Policy {
    let environments = environments.iter().map(|(name, limit)| (name.parse().unwrap(), *limit)).collect();
    Policy { deployments: total, environments, ..Policy::default() }
}

/// What a deployment as a whole waits for.
fn waits(world: &World, id: DeploymentId) -> String {
    let why = slipway_engine::why::why(&world.state, world.state.get(id).unwrap(), world.log.now());
    let value = serde_json::to_value(&why[0]).unwrap();
    let limit = value["limit"].as_u64().map(|limit| format!(" {limit}")).unwrap_or_default();
    format!("{}{limit}", value["waits-for"].as_str().unwrap())
}

fn status(world: &World, ids: &[DeploymentId]) -> String {
    ids.iter().map(|id| world.end(*id)).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_environment_runs_as_many_deployments_as_it_may_and_says_so_to_the_others() {
    let mut world = World::default();
    world.log.policy(policy(None, &[("production", 2)]));
    let ids: Vec<_> = ["p1", "p2", "p3"].map(|p| world.log.request(of(p, "production", "1"))).into();
    let elsewhere = world.log.request(of("p4", "staging", "1"));
    world.settle();
    assert_eq!(status(&world, &ids), "running running queued");
    assert_eq!(world.end(elsewhere), "running", "another environment has its own room");
    assert_eq!(waits(&world, ids[2]), "environment-limit 2");
    world.succeed(ids[0], "a@worker");
    assert_eq!(status(&world, &ids), "succeeded running running");
}

#[test]
fn the_total_limit_counts_all_environments_and_a_raised_limit_lets_the_next_start() {
    let mut world = World::default();
    world.log.policy(policy(Some(1), &[("staging", 5)]));
    let ids: Vec<_> = [("p1", "production"), ("p2", "staging"), ("p3", "staging")]
        .map(|(p, e)| world.log.request(of(p, e, "1")))
        .into();
    world.settle();
    assert_eq!(status(&world, &ids), "running queued queued");
    assert_eq!(waits(&world, ids[1]), "total-limit 1");
    world.log.policy(policy(Some(2), &[("staging", 5)]));
    world.settle();
    assert_eq!(status(&world, &ids), "running running queued");
    world.log.policy(Policy::default());
    world.settle();
    assert_eq!(status(&world, &ids), "running running running");
}

#[test]
fn a_start_beyond_a_limit_is_void_for_everybody() {
    let mut world = World::default();
    world.log.policy(policy(Some(1), &[]));
    let (first, second) = (of("p1", "production", "1"), of("p2", "production", "1"));
    let (first, second) = (world.log.request(first), world.log.request(second));
    world.settle();
    let policy = world.state.policy_seq();
    world.plan(second, planner(), PlanEvent::Started { policy });
    assert_eq!(status(&world, &[first, second]), "running queued");
}

#[test]
fn nobody_but_the_release_service_sets_a_policy() {
    let mut world = World::default();
    let first = world.log.request(of("p1", "production", "1"));
    let set = PlanEvent::PolicySet { policy: Box::new(policy(Some(1), &[])) };
    world.plan(DeploymentId::POLICY, planner(), set.clone());
    world.plan(DeploymentId::POLICY, holder("e", 1), set.clone());
    assert_eq!(*world.state.policy(), Policy::default());
    world.plan(DeploymentId::POLICY, person("ana"), set);
    assert_eq!(world.state.policy().deployments, Some(1));
    assert_eq!(world.end(first), "running", "what runs goes on");
}

#[test]
fn projects_take_turns_however_many_deployments_one_of_them_has_waiting() {
    let mut world = World::default();
    world.log.policy(policy(Some(1), &[]));
    let greedy: Vec<_> =
        ["e1", "e2", "e3", "e4"].map(|environment| world.log.request(of("greedy", environment, "1"))).into();
    let modest: Vec<_> = ["1", "2"].map(|name| world.log.request(of("modest", "e1", name))).into();
    world.settle();
    let mut order = Vec::new();
    for _ in 0..6 {
        let all = greedy.iter().chain(&modest);
        let running: Vec<_> = all.copied().filter(|id| world.end(*id) == "running").collect();
        let [one] = running[..] else { panic!("{running:?}") };
        order.push(if greedy.contains(&one) { "greedy" } else { "modest" });
        world.succeed(one, "a@worker");
    }
    assert_eq!(order, ["greedy", "modest", "greedy", "modest", "greedy", "greedy"]);
}

#[test]
fn a_deployment_whose_turn_it_is_and_that_can_not_start_lets_others_pass() {
    let mut world = World::default();
    world.log.policy(policy(Some(1), &[]));
    let ids: Vec<_> = ["p1", "p2", "p3"].map(|p| world.log.request(of(p, "production", "1"))).into();
    world.settle();
    world.plan(ids[1], person("ana"), PlanEvent::Paused { reason: "look".into() });
    world.succeed(ids[0], "a@worker");
    assert_eq!(status(&world, &ids), "succeeded queued running");
    world.plan(ids[1], person("ana"), PlanEvent::Resumed);
    assert_eq!(waits(&world, ids[1]), "total-limit 1");
}

#[test]
fn an_entry_that_makes_room_names_who_takes_it() {
    let mut world = World::default();
    world.log.policy(policy(Some(1), &[]));
    let ids: Vec<_> = ["p1", "p2", "p3"].map(|p| world.log.request(of(p, "production", "1"))).into();
    world.settle();
    assert_eq!(world.state.startable(at(0)), []);
    world.plan(ids[0], person("ana"), PlanEvent::CancelRequested { reason: "no".into() });
    let before = world.log.entries.len();
    let end = world.log.entries.iter().rposition(|r| r.address.deployment() == ids[0]).unwrap();
    let mut state = slipway_engine::State::new();
    world.log.entries[..end].iter().for_each(|r| drop(state.apply(r)));
    assert!(before > end);
    assert!(state.apply(&world.log.entries[end]).touched.contains(&ids[1]), "or nobody would look at it");
}

/// Projects with as many waiting deployments as chance gives them, any limits, and planners that know
/// only a part of the log: limits hold at every entry, whoever always had one waiting got as many
/// turns as any other, and in the end all ran.
#[test]
fn limits_hold_for_lagging_planners_and_no_project_is_passed_over() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (total, there) = (rng.random_range(1..4), rng.random_range(1..3));
        let mut world = World::default();
        world.log.policy(policy(Some(total), &[("e0", there)]));
        let mut ids = Vec::new();
        for i in 0..rng.random_range(4..16) {
            let project = format!("p{}", [0, 0, 0, 1, 2].choose(&mut rng).unwrap());
            let environment = format!("e{}", rng.random_range(0..3));
            ids.push(world.log.request(of(&project, &environment, &i.to_string())));
        }
        for _ in 0..200 {
            // Somebody who has read a part decides on that.
            let mut lagging = slipway_engine::State::new();
            let read = rng.random_range(0..=world.log.entries.len());
            world.log.entries[..read].iter().for_each(|r| drop(lagging.apply(r)));
            for id in &ids {
                for decision in slipway_engine::decide(&lagging, *id, world.log.now()) {
                    world.log.append(&decision.address, decision.expected, decision.events, planner());
                }
            }
            world.fold();
            let running =
                |world: &World| -> Vec<_> { ids.iter().copied().filter(|id| world.end(*id) == "running").collect() };
            if let Some(id) = running(&world).choose(&mut rng)
                && rng.random_bool(0.5)
                && slipway_engine::due(&world.state, *id).len() == 1
            {
                world.succeed(*id, "a@worker");
            }
            let mut here: BTreeMap<String, u32> = BTreeMap::new();
            for id in running(&world) {
                *here.entry(world.state.get(id).unwrap().request.environment.to_string()).or_default() += 1;
            }
            assert!(here.values().sum::<u32>() <= total, "seed {seed}: {here:?} of {total}");
            assert!(here.get("e0").is_none_or(|n| *n <= there), "seed {seed}: {here:?} of {there}");
        }
        for _ in 0..ids.len() {
            world.settle();
            if let Some(id) = ids.iter().copied().find(|id| world.end(*id) == "running") {
                world.succeed(id, "a@worker");
            }
        }
        assert!(ids.iter().all(|id| world.end(*id) == "succeeded"), "seed {seed}: {}", status(&world, &ids));
    }
}
