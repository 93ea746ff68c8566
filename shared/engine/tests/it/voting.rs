//! Approvals: whose votes count, for what, and what they decide.

use slipway_domain::event::Verdict;
use slipway_engine::decide::wake;

use crate::{
    fixture::{at, request, targets},
    world::World,
};

#[test]
fn a_gate_holds_its_successors_until_its_people_decided_on_this_plan() {
    let body = "steps:\n  - {name: ok, approval: {teams: [ops], votes: 2}}\n  - {name: b, needs: [ok], wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    assert!(world.due(id).is_empty());
    assert_eq!(world.end(id), "waiting-for-person");
    world.vote(id, "ok", "ana", Verdict::Approve, false);
    world.vote(id, "ok", "ana", Verdict::Approve, false);
    assert_eq!(world.end(id), "waiting-for-person", "one person counts once");
    world.vote(id, "ok", "ben", Verdict::Approve, true);
    world.vote(id, "ok", "eve", Verdict::Approve, false);
    assert_eq!(world.end(id), "waiting-for-person", "another plan, or a stranger, does not count");
    world.vote(id, "ok", "ben", Verdict::Approve, false);
    assert_eq!(world.due(id), ["b@worker"]);
    world.vote(id, "ok", "ben", Verdict::Reject, false);
    assert_eq!(world.due(id), ["b@worker"], "a vote after the decision changes nothing");
}

#[test]
fn a_rejected_or_expired_gate_fails_the_deployment() {
    let body = "steps:\n  - {name: ok, approval: {teams: [ops], timeout: 1h}}\n  - {name: b, needs: [ok], wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.vote(id, "ok", "ana", Verdict::Reject, false);
    assert_eq!(world.end(id), "failed: step ok was not approved: rejected by ana");

    let (mut world, id) = World::with(request("y", body, targets(1, 1)));
    world.settle();
    assert_eq!(wake(&world.state, id), Some(at(3600)));
    world.log.seconds = 3600;
    world.settle();
    assert_eq!(world.end(id), "failed: step ok was not approved: nobody decided within 1h");
}

#[test]
fn a_gate_with_a_channel_is_announced_and_an_absent_notifier_blocks_nothing() {
    let body = "steps:\n  - {name: ok, approval: {teams: [ops], slack: '#ops'}}\n  - {name: b, needs: [ok], wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    assert_eq!(world.due(id), ["ok@notifier"]);
    world.vote(id, "ok", "ana", Verdict::Approve, false);
    world.succeed(id, "b@worker");
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn whoever_approves_knowing_of_other_drift_voids_the_approvals_before() {
    let body = "steps:\n  - {name: ok, approval: {votes: 2}}\n  - {name: b, needs: [ok], wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.approve_knowing(id, "ok", "ana", None);
    world.approve_knowing(id, "ok", "ben", Some("gone"));
    assert_eq!(world.end(id), "waiting-for-person", "ana did not know");
    world.approve_knowing(id, "ok", "cleo", None);
    assert_eq!(world.end(id), "waiting-for-person", "it was as ben did not know it");
    world.approve_knowing(id, "ok", "ana", Some("gone"));
    world.approve_knowing(id, "ok", "ben", Some("gone"));
    assert_eq!(world.due(id), ["b@worker"]);
}
