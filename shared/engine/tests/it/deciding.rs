//! What happens next, story by story.

use slipway_domain::{
    event::{Address, PlanEvent, TaskEvent, Verdict},
    id::TaskKey,
    name::HolderName,
    release::PullCredentials,
};
use slipway_engine::{
    decide,
    decide::{Events, News, Promised, decide_about, wake, wake_about},
    expire, expire_adoptable,
};
use uuid::Uuid;

use crate::{
    fixture::{at, person, request, targets},
    world::{World, holder, planner},
};

const CHAIN: &str = "steps:\n  - {name: a, wait: 0s}\n  - {name: b, needs: [a], wait: 0s}\n  - {name: c, wait: 0s}";

#[test]
fn steps_run_after_their_needs_and_the_end_is_success() {
    let (mut world, id) = World::with(request("x", CHAIN, targets(1, 1)));
    assert_eq!(world.due(id), ["a@worker", "c@worker"]);
    world.succeed(id, "a@worker");
    assert_eq!(world.due(id), ["b@worker", "c@worker"]);
    world.succeed(id, "b@worker");
    world.succeed(id, "c@worker");
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn a_failure_skips_what_needs_it_runs_the_always_steps_and_decides_the_outcome() {
    let body = "steps:\n  - {name: a, wait: 0s}\n  - {name: b, needs: [a], wait: 0s}\n  - {name: f, needs: [b], wait: 0s, when: {result: failure}}\n  - {name: t, needs: [b], wait: 0s, when: {result: always}}\n  - {name: o, wait: 0s, when: {result: failure}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.fail(id, "a@worker", 1);
    assert_eq!(world.due(id), ["f@worker", "o@worker", "t@worker"]);
    for key in ["f@worker", "o@worker", "t@worker"] {
        world.succeed(id, key);
    }
    assert_eq!(world.end(id), "failed: step a failed on worker: it broke");

    let (mut world, id) = World::with(request("y", body, targets(1, 1)));
    world.settle();
    for key in ["a@worker", "b@worker", "t@worker"] {
        world.succeed(id, key);
    }
    assert_eq!(world.end(id), "succeeded", "failure steps are skipped");
}

#[test]
fn what_looks_back_at_everything_does_not_wait_for_what_comes_after_it() {
    let body = "steps:\n  - {name: a, wait: 0s}\n  - {name: f, wait: 0s, when: {result: failure}}\n  - {name: t, wait: 0s, when: {result: always}}\n  - {name: b, needs: [f], wait: 0s}\n  - {name: c, needs: [t, b], wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    assert_eq!(world.due(id), ["a@worker"]);
    world.succeed(id, "a@worker");
    assert_eq!(world.due(id), ["b@worker", "t@worker"], "nothing failed, so `f` is left out");
    for key in ["b@worker", "t@worker", "c@worker"] {
        world.succeed(id, key);
    }
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn the_rolling_window_slides_and_stops_at_the_first_failure() {
    let body = "steps:\n  - {name: web, targets: {role: web}, rolling: {window: 2}, docker-run: {package: web}}";
    let (mut world, id) = World::with(request("x", body, targets(4, 1)));
    assert_eq!(world.due(id), ["web@web-01", "web@web-02"]);
    world.succeed(id, "web@web-02");
    assert_eq!(world.due(id), ["web@web-01", "web@web-03"]);
    world.fail(id, "web@web-03", 1);
    assert_eq!(world.due(id), ["web@web-01"], "web-04 never starts");
    world.succeed(id, "web@web-01");
    assert!(world.end(id).starts_with("failed: step web failed on web-03"), "{}", world.end(id));
}

#[test]
fn tolerated_failures_let_the_window_go_on() {
    let body = "steps:\n  - {name: web, targets: {role: web}, rolling: {window: 1, max-failures: 1}, docker-run: {package: web}}";
    let (mut world, id) = World::with(request("x", body, targets(3, 1)));
    world.settle();
    world.fail(id, "web@web-01", 1);
    assert_eq!(world.due(id), ["web@web-02"]);
    world.succeed(id, "web@web-02");
    world.succeed(id, "web@web-03");
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn a_failed_attempt_is_granted_again_after_its_pause_until_attempts_are_used_up() {
    let body = "steps:\n  - {name: a, wait: 0s, retry: {attempts: 2, backoff: 10s}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.fail(id, "a@worker", 1);
    assert!(world.due(id).is_empty());
    let retry = wake(&world.state, id).unwrap();
    assert!(retry >= at(10) && retry <= at(11), "{retry}");
    world.log.seconds = 12;
    assert_eq!(world.due(id), ["a@worker"]);
    world.fail(id, "a@worker", 2);
    assert!(world.end(id).starts_with("failed"));
}

#[test]
fn deployments_of_one_environment_take_turns() {
    let (mut world, first) = World::with(request("x", "steps:\n  - {name: a, wait: 0s}", targets(1, 1)));
    let second = world.log.request(request("y", "steps:\n  - {name: a, wait: 0s}", targets(1, 1)));
    assert_eq!(world.due(first), ["a@worker"]);
    assert!(world.due(second).is_empty());
    assert_eq!(world.end(second), "queued");
    world.succeed(first, "a@worker");
    assert_eq!(world.due(second), ["a@worker"]);
}

#[test]
fn a_target_runs_no_more_tasks_than_its_parallelism_over_all_deployments() {
    let body = "steps:\n  - {name: a, targets: {role: web}, wait: 0s}\n  - {name: b, targets: {role: web}, wait: 0s}";
    let (mut world, first) = World::with(request("x", body, targets(1, 1)));
    let mut other = request("y", body, targets(1, 1));
    other.release.project = "other".parse().unwrap();
    let second = world.log.request(other);
    assert_eq!((world.due(first).len(), world.due(second).len()), (1, 0));
    world.succeed(first, "a@web-01");
    assert_eq!(world.due(first).len() + world.due(second).len(), 1);
}

#[test]
fn a_cancel_stops_what_runs_ends_what_waits_and_still_runs_always_steps() {
    let body = "steps:\n  - {name: a, wait: 0s}\n  - {name: n, wait: 0s}\n  - {name: b, needs: [a], wait: 0s}\n  - {name: t, needs: [b], wait: 0s, when: {result: always}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "wrong one".into() });
    assert!(world.due(id).is_empty(), "n was never claimed and is over");
    world.write(id, "a@worker", holder("e", 1), TaskEvent::Cancelled);
    assert_eq!(world.due(id), ["t@worker"]);
    world.succeed(id, "t@worker");
    assert_eq!(world.end(id), "cancelled: cancelled by ana: wrong one");
}

#[test]
fn a_lost_lease_is_granted_for_adoption_and_does_not_use_up_attempts() {
    let (mut world, id) = World::with(request("x", "steps:\n  - {name: a, wait: 0s}", targets(1, 1)));
    world.settle();
    for attempt in 1..=5 {
        world.claim(id, "a@worker", attempt);
        let name: HolderName = "e".parse().unwrap();
        assert!(expire(&world.state, &name, Some(Uuid::from_u128(1)), "x").is_empty(), "the same boot is alive");
        assert_eq!(expire(&world.state, &name, Some(Uuid::from_u128(2)), "x").len(), 1);
        world.write(id, "a@worker", planner(), TaskEvent::LeaseExpired { reason: "gone".into() });
    }
    assert!(world.end(id).contains("lost 5 times"), "{}", world.end(id));
}

#[test]
fn a_connection_that_is_gone_ends_only_what_the_next_holder_adopts() {
    let body = "steps:\n  - {name: a, wait: 0s}\n  - {name: b, slack: {channel: '#ops', text: hello}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    world.claim(id, "b@notifier", 1);
    let name: HolderName = "e".parse().unwrap();
    let ended: Vec<_> = expire_adoptable(&world.state, &name, "gone").into_iter().map(|d| d.address).collect();
    assert_eq!(ended.len(), 1);
    assert!(matches!(&ended[0], Address::Task(_, key) if key.step.as_str() == "a"), "{ended:?}");
    assert_eq!(expire(&world.state, &name, None, "gone").len(), 2);
}

#[test]
fn news_of_a_task_lead_to_the_same_decisions_as_a_look_at_everything() {
    let body = "steps:\n  - {name: a, targets: {role: web}, retry: {attempts: 2}, wait: 0s}\n  - {name: b, needs: [a], wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(3, 1)));
    world.settle();
    world.claim(id, "a@web-01", 1);
    world.succeed(id, "a@web-02");
    let address = Address::Task(id, TaskKey::new("a".parse().unwrap(), "web-01".parse().unwrap()));
    let cause = slipway_domain::event::Failure::step("it broke");
    world.raw(&address, holder("e", 1), Events::Task(vec![TaskEvent::Failed { cause }]));
    let recorded = world.log.entries.last().unwrap();
    let news = News::of(recorded, id);
    assert_eq!(news, News::at(&address));
    let decisions = decide_about(&world.state, id, &news, at(0), &Promised::new());
    assert_eq!(decisions.len(), 1, "its retry is scheduled");
    assert_eq!(decisions, decide(&world.state, id, at(0)));
    world.settle();
    assert_eq!(wake_about(&world.state, id, &news), wake(&world.state, id), "its retry is the next to come");
    assert!(wake_about(&world.state, id, &News::shared()).is_none());
}

#[test]
fn a_slot_that_is_promised_is_not_asked_for() {
    let body = "steps:\n  - {name: a, targets: {role: web}, wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    while !world.state.get(id).is_some_and(|d| d.is_running()) {
        world.fold();
        for decision in decide(&world.state, id, at(0)) {
            world.log.append(&decision.address, decision.expected, decision.events, planner());
        }
        world.fold();
    }
    let promised = Promised::from([("web-01".parse().unwrap(), 1)]);
    assert!(decide_about(&world.state, id, &News::All, at(0), &promised).is_empty());
    assert_eq!(decide_about(&world.state, id, &News::All, at(0), &Promised::new()).len(), 1);
}

#[test]
fn a_task_that_nobody_takes_or_ends_fails_after_its_timeout_and_grace() {
    let (mut world, id) = World::with(request("x", "steps:\n  - {name: a, wait: 0s, timeout: 1m}", targets(1, 1)));
    world.settle();
    world.log.seconds = 89;
    world.settle();
    assert_eq!(world.end(id), "running");
    world.log.seconds = 90;
    world.settle();
    assert!(world.end(id).contains("no executor took it"), "{}", world.end(id));
}

#[test]
fn what_can_not_be_planned_is_rejected_with_all_problems() {
    let (mut world, id) = World::with(request(
        "x",
        "steps:\n  - {name: a, docker-job: {package: web, env: {A: '#{Nope}'}}}",
        targets(1, 1),
    ));
    world.settle();
    assert!(world.end(id).starts_with("rejected: step `a`"), "{}", world.end(id));
}

#[test]
fn an_impossible_fact_stops_the_deployment_and_keeps_its_lane() {
    let (mut world, id) = World::with(request(
        "x",
        "steps:\n  - {name: a, wait: 0s}\n  - {name: b, needs: [a], wait: 0s}",
        targets(1, 1),
    ));
    let second = world.log.request(request("y", "steps:\n  - {name: a, wait: 0s}", targets(1, 1)));
    world.settle();
    world.write(id, "b@worker", holder("e", 1), TaskEvent::Succeeded { outputs: Default::default() });
    assert!(world.end(id).starts_with("corrupt: entry"), "{}", world.end(id));
    assert_eq!(world.end(second), "queued");
}

#[test]
fn outputs_reach_later_steps_and_secrets_stay_markers() {
    let body = "variables:\n  - {name: Db, secret: db}\nsteps:\n  - {name: a, docker-job: {package: web}}\n  - {name: b, needs: [a], docker-job: {package: web, env: {X: 'v=#{steps.a.outputs.port}', D: 'pg://#{Db}'}}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    let outputs = [("port".to_owned(), serde_json::json!(8080))].into();
    world.write(id, "a@worker", holder("e", 1), TaskEvent::Succeeded { outputs });
    let key = slipway_engine::due(&world.state, id).remove(0);
    let doorbell = slipway_engine::order::doorbell(&world.state, id, &key).unwrap().unwrap();
    let slipway_domain::order::Work::DockerJob(work) = doorbell.order.work else { panic!() };
    assert_eq!(work.env["X"], "v=8080");
    assert_eq!(slipway_domain::secret::referenced(&work.env["D"]), doorbell.order.secrets);
    assert_eq!(doorbell.order.secrets[0].version, 3);
}

#[test]
fn a_start_or_grant_without_room_at_its_place_in_the_log_is_void() {
    let (mut world, first) = World::with(request("x", CHAIN, targets(1, 1)));
    let second = world.log.request(request("y", CHAIN, targets(1, 1)));
    world.settle();
    world.plan(second, planner(), PlanEvent::Started { policy: 0 });
    assert_eq!(world.end(second), "queued");
    let key = slipway_domain::id::TaskKey::new("b".parse().unwrap(), "worker".parse().unwrap());
    world.plan(first, planner(), PlanEvent::Granted { tasks: vec![key] });
    assert_eq!(world.due(first), ["a@worker", "c@worker"]);
}

#[test]
fn only_the_holder_of_the_claim_may_end_its_attempt() {
    for stranger in [holder("e", 2), holder("other", 1), planner()] {
        let (mut world, id) = World::with(request("x", CHAIN, targets(1, 1)));
        world.settle();
        world.claim(id, "a@worker", 1);
        world.write(id, "a@worker", stranger, TaskEvent::Succeeded { outputs: Default::default() });
        assert!(world.end(id).starts_with("corrupt"), "{}", world.end(id));
    }
}

#[test]
fn nothing_changes_a_deployment_that_is_over() {
    let body = "steps:\n  - {name: ok, approval: {teams: [ops]}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "no".into() });
    let before = slipway_engine::view::deployment(world.state.get(id).unwrap(), 0);
    assert!(before.summary.outcome.is_some());
    world.vote(id, "ok", "ana", Verdict::Approve, false);
    assert!(slipway_engine::view::deployment(world.state.get(id).unwrap(), 0) == before);
}

#[test]
fn a_claim_of_a_held_task_is_damage() {
    let (mut world, id) = World::with(request("x", CHAIN, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    world.claim(id, "a@worker", 2);
    assert!(world.end(id).starts_with("corrupt"), "{}", world.end(id));
}

#[test]
fn a_paused_deployment_starts_nothing_new_until_it_is_resumed() {
    let (mut world, id) = World::with(request("x", CHAIN, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    world.plan(id, person("ana"), PlanEvent::Paused { reason: "look".into() });
    world.write(id, "a@worker", holder("e", 1), TaskEvent::Succeeded { outputs: Default::default() });
    assert_eq!(world.due(id), ["c@worker"], "what was granted stays granted");
    assert_eq!(world.end(id), "paused");
    world.plan(id, person("ana"), PlanEvent::Resumed);
    assert_eq!(world.due(id), ["b@worker", "c@worker"]);
}

#[test]
fn skipped_steps_are_not_planned_and_unknown_ones_are_a_problem() {
    let mut skipping = request("x", CHAIN, targets(1, 1));
    skipping.skip = vec!["a".parse().unwrap()];
    let (mut world, id) = World::with(skipping);
    assert_eq!(world.due(id), ["b@worker", "c@worker"]);
    let mut unknown = request("y", CHAIN, targets(1, 1));
    unknown.skip = vec!["zz".parse().unwrap()];
    let (mut world, id) = World::with(unknown);
    world.settle();
    assert!(world.end(id).starts_with("rejected: step `zz` can not be skipped"), "{}", world.end(id));
    let mut required = request("z", &CHAIN.replace("a, wait", "a, required: true, wait"), targets(1, 1));
    required.skip = vec!["a".parse().unwrap()];
    let (mut world, id) = World::with(required);
    world.settle();
    assert_eq!(world.end(id), "rejected: step `a` can not be skipped: it says `required: true`");
}

#[test]
fn a_pull_without_names_has_every_image_and_what_it_takes_to_get_them() {
    let body = "steps:\n  - {name: pull, targets: {role: web}, docker-pull: {}}";
    let mut asked = request("x", body, targets(1, 1));
    let db = asked.secrets[0].clone();
    let credentials = PullCredentials { username: "u".to_owned(), password: db.clone() };
    asked.release.packages.values_mut().for_each(|package| package.credentials = Some(credentials.clone()));
    let (mut world, id) = World::with(asked);
    assert_eq!(world.due(id), ["pull@web-01"]);
    let key = TaskKey::new("pull".parse().unwrap(), "web-01".parse().unwrap());
    let order = slipway_engine::order::doorbell(&world.state, id, &key).unwrap().unwrap().order;
    assert_eq!(order.secrets, [db]);
    let slipway_domain::order::Work::DockerPull(pull) = order.work else { panic!() };
    assert_eq!(pull.images.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["web"]);
}

#[test]
fn a_scheduled_deployment_waits_for_its_time_and_lets_others_pass() {
    let mut later = request("x", CHAIN, targets(1, 1));
    later.not_before = Some(at(60));
    let (mut world, first) = World::with(later);
    let second = world.log.request(request("y", "steps:\n  - {name: a, wait: 0s}", targets(1, 1)));
    assert!(world.due(first).is_empty());
    assert_eq!(wake(&world.state, first), Some(at(60)));
    assert_eq!(world.due(second), ["a@worker"], "it does not wait for what is not due");
    world.log.seconds = 60;
    assert!(world.due(first).is_empty(), "the other holds the lane");
    let third = world.log.request(request("z", "steps:\n  - {name: a, wait: 0s}", targets(1, 1)));
    assert!(world.due(third).is_empty(), "and lets nobody pass who could start at once");
    world.succeed(second, "a@worker");
    assert_eq!(world.due(first), ["a@worker", "c@worker"]);
}

#[test]
fn where_only_the_latest_counts_a_newer_one_takes_the_place_of_those_that_wait() {
    let latest = |name: &str| {
        let mut request = request(name, CHAIN, targets(1, 1));
        request.queue = slipway_domain::manifest::Queue::LatestOnly;
        request
    };
    let (mut world, first) = World::with(latest("1"));
    world.settle();
    let second = world.log.request(latest("2"));
    let third = world.log.request(latest("3"));
    world.settle();
    assert_eq!((world.end(first).as_str(), world.end(third).as_str()), ("running", "queued"));
    assert_eq!(world.end(second), format!("superseded: deployment {third} took its place in the queue"));
}

#[test]
fn a_queue_that_takes_no_second_one_refuses_it() {
    let (mut world, first) = World::with(request("1", CHAIN, targets(1, 1)));
    let mut second = request("2", CHAIN, targets(1, 1));
    second.queue = slipway_domain::manifest::Queue::Reject;
    let second = world.log.request(second);
    world.settle();
    assert_eq!(world.end(first), "running");
    assert!(world.end(second).starts_with("rejected: deployment"), "{}", world.end(second));
}

#[test]
fn a_deployment_over_its_time_is_stopped_and_has_failed() {
    let body =
        "timeout: 1h\nsteps:\n  - {name: a, wait: 0s, timeout: 2h}\n  - {name: t, wait: 0s, when: {result: always}}";
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    world.log.seconds = 3600;
    world.settle();
    world.write(id, "a@worker", holder("e", 1), TaskEvent::Cancelled);
    world.succeed(id, "t@worker");
    assert_eq!(world.end(id), "failed: its time-out of 1h passed");
}

#[test]
fn a_retry_does_only_what_was_not_done_and_keeps_outputs_and_approvals() {
    let body = "steps:\n  - {name: a, docker-job: {package: web}}\n  - {name: ok, approval: {teams: [ops]}}\n  - {name: b, needs: [a, ok], docker-job: {package: web, env: {X: '#{steps.a.outputs.n}'}}}";
    let mut again = request("y", body, targets(1, 1));
    let done = |step: &str, target: &str, outputs| slipway_domain::release::Done {
        task: slipway_domain::id::TaskKey::new(step.parse().unwrap(), target.parse().unwrap()),
        outputs,
    };
    again.retries = Some(slipway_domain::release::Retries {
        deployment: slipway_domain::id::DeploymentId::derive(&["x"]),
        done: vec![
            done("a", "worker", [("n".to_owned(), serde_json::json!(7))].into()),
            done("ok", "notifier", Default::default()),
        ],
    });
    let (mut world, id) = World::with(again);
    assert_eq!(world.due(id), ["b@worker"]);
    let key = slipway_engine::due(&world.state, id).remove(0);
    let doorbell = slipway_engine::order::doorbell(&world.state, id, &key).unwrap().unwrap();
    let slipway_domain::order::Work::DockerJob(work) = doorbell.order.work else { panic!() };
    assert_eq!(work.env["X"], "7");
    world.succeed(id, "b@worker");
    assert_eq!(world.end(id), "succeeded");
}

const GUIDED: &str = "guided-failure: {teams: [ops]}\nsteps:\n  - {name: web, targets: {role: web}, wait: 0s}\n  - {name: next, needs: [web], targets: {role: web}, wait: 0s}";

#[track_caller]
fn guided(verdict: Verdict) -> (World, slipway_domain::id::DeploymentId) {
    let (mut world, id) = World::with(request("x", GUIDED, targets(2, 1)));
    world.settle();
    world.succeed(id, "web@web-02");
    world.fail(id, "web@web-01", 1);
    assert_eq!(world.end(id), "waiting-for-person");
    assert!(world.due(id).is_empty());
    world.guide(id, "web", "web-01", "eve", verdict);
    assert_eq!(world.end(id), "waiting-for-person", "a stranger does not count");
    world.guide(id, "web", "web-01", "ana", verdict);
    (world, id)
}

#[test]
fn a_person_may_have_a_failed_task_tried_again_as_often_as_it_takes() {
    let (mut world, id) = guided(Verdict::Retry);
    assert_eq!(world.due(id), ["web@web-01"]);
    world.fail(id, "web@web-01", 2);
    assert_eq!(world.end(id), "waiting-for-person", "asked again");
    world.guide(id, "web", "web-01", "ana", Verdict::Retry);
    world.claim(id, "web@web-01", 3);
    world.write(id, "web@web-01", holder("e", 1), TaskEvent::Succeeded { outputs: Default::default() });
    assert_eq!(world.due(id), ["next@web-01", "next@web-02"]);
}

#[test]
fn a_person_may_ignore_a_failure_exclude_its_target_or_leave_it_failed() {
    let (mut world, id) = guided(Verdict::Ignore);
    assert_eq!(world.due(id), ["next@web-01", "next@web-02"]);

    let (mut world, id) = guided(Verdict::Exclude);
    assert_eq!(world.due(id), ["next@web-02"]);
    world.succeed(id, "next@web-02");
    assert_eq!(world.end(id), "succeeded");

    let (world, id) = guided(Verdict::Reject);
    assert!(world.end(id).starts_with("failed: step web failed on web-01"), "{}", world.end(id));
}

#[test]
fn guidance_that_nobody_gives_leaves_the_task_failed_and_a_cancel_ends_the_question() {
    let (mut world, id) = World::with(request("x", GUIDED, targets(1, 1)));
    world.settle();
    world.fail(id, "web@web-01", 1);
    assert_eq!(wake(&world.state, id), Some(at(24 * 3600)));
    world.log.seconds = 24 * 3600;
    world.settle();
    assert!(world.end(id).starts_with("failed"), "{}", world.end(id));

    let (mut world, id) = World::with(request("y", GUIDED, targets(1, 1)));
    world.settle();
    world.fail(id, "web@web-01", 1);
    world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "no".into() });
    assert!(world.end(id).starts_with("cancelled"), "{}", world.end(id));
}

#[test]
fn everything_that_waits_says_for_what() {
    let body = "steps:\n  - {name: a, wait: 0s}\n  - {name: ok, approval: {teams: [ops]}}\n  - {name: web, targets: {role: web}, rolling: {window: 1}, wait: 0s}\n  - {name: b, needs: [a, ok], wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(2, 1)));
    let second = world.log.request(request("y", body, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    let words = |world: &World, id| {
        let deployment = world.state.get(id).unwrap();
        let why = slipway_engine::why::why(&world.state, deployment, world.log.now());
        let word = |w: &slipway_domain::api::Waiting| {
            serde_json::to_value(w).unwrap()["waits-for"].as_str().unwrap().to_owned()
        };
        why.iter()
            .map(|w| format!("{} {}", w.step.as_ref().map_or("-".into(), ToString::to_string), word(w)))
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&world, id), ["a running", "ok people", "web executor", "web window", "b needs"]);
    assert_eq!(words(&world, second), ["- lane"]);
}
