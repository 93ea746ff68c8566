//! Steps that consist of others: on each target these follow each other, and window, canary and failures are about
//! whole series.

use slipway_domain::{
    event::{Address, PlanEvent, TaskEvent, Verdict},
    id::{DeploymentId, TaskKey},
    order::{Doorbell, Outputs, Work},
    release::{Done, Retries},
};
use slipway_engine::{decide::Events, why::why};

use crate::{
    fixture::{person, request, targets},
    world::{World, holder, planner},
};

/// A series of three, of which the second runs a container, and what comes after it.
fn body(rolling: &str) -> String {
    format!(
        "steps:
  - name: web
    targets: {{role: web}}
    {rolling}
    steps:
      - {{name: drain, wait: 0s}}
      - {{name: serve, docker-run: {{package: web}}}}
      - {{name: probe, wait: 0s}}
      - {{name: undrain, when: {{result: always}}, wait: 0s}}
  - {{name: next, needs: [web], wait: 0s}}
  - {{name: alarm, needs: [web], wait: 0s, when: {{result: failure}}}}"
    )
}

fn key(text: &str) -> TaskKey {
    let (step, target) = text.split_once('@').unwrap();
    TaskKey::new(step.parse().unwrap(), target.parse().unwrap())
}

pub fn doorbell(world: &World, id: DeploymentId, text: &str) -> Doorbell {
    slipway_engine::order::doorbell(&world.state, id, &key(text)).unwrap().unwrap()
}

fn world(rolling: &str, count: usize) -> (World, DeploymentId) {
    World::with(request("x", &body(rolling), targets(count, 4)))
}

impl World {
    /// These tasks come one after the other, each alone, and succeed.
    #[track_caller]
    fn series(&mut self, id: DeploymentId, keys: &[&str]) {
        for key in keys {
            assert_eq!(self.due(id), [*key]);
            self.succeed(id, key);
        }
    }

    /// What each thing that waits waits for, in one word.
    fn waits(&self, id: DeploymentId) -> Vec<String> {
        let waiting = why(&self.state, self.state.get(id).unwrap(), self.log.now());
        let mut words: Vec<String> = waiting
            .iter()
            .map(|one| {
                let json = serde_json::to_value(one).unwrap();
                let at = one.target.as_ref().map(|target| format!("@{target}")).unwrap_or_default();
                let of = one.step.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("{of}{at} {}", json["waits-for"].as_str().unwrap())
            })
            .collect();
        words.sort();
        words
    }
}

#[test]
fn a_window_slides_when_a_whole_series_has_ended() {
    let (mut world, id) = world("rolling: {window: 1}", 2);
    world.series(id, &["drain@web-01", "serve@web-01", "probe@web-01", "undrain@web-01"]);
    world.series(id, &["drain@web-02", "serve@web-02", "probe@web-02", "undrain@web-02", "next@worker"]);
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn without_a_window_each_target_goes_through_its_own_series() {
    let (mut world, id) = world("", 2);
    assert_eq!(world.due(id), ["drain@web-01", "drain@web-02"]);
    world.succeed(id, "drain@web-02");
    assert_eq!(world.due(id), ["drain@web-01", "serve@web-02"]);
    world.succeed(id, "serve@web-02");
    world.succeed(id, "drain@web-01");
    assert_eq!(world.due(id), ["probe@web-02", "serve@web-01"]);
}

#[test]
fn of_a_series_that_failed_only_parts_for_that_case_are_done_and_no_further_one_begins() {
    let (mut world, id) = world("rolling: {window: 1}", 2);
    world.series(id, &["drain@web-01"]);
    world.settle();
    world.fail(id, "serve@web-01", 1);
    world.series(id, &["undrain@web-01", "alarm@worker"]);
    assert_eq!(world.end(id), "failed: step web failed on web-01 at serve: it broke");
    let view = slipway_engine::view::deployment(world.state.get(id).unwrap(), 0);
    let told = |step: &str, target: usize| {
        let step = view.steps.iter().find(|one| one.name.as_str() == step).unwrap();
        assert_eq!(step.part_of.as_ref().map(|whole| whole.as_str()), Some("web"));
        step.tasks[target].message.clone().unwrap()
    };
    assert_eq!(told("probe", 0), "serve did not succeed there");
    assert_eq!(told("undrain", 1), "1 targets failed before it");
}

#[test]
fn a_part_after_a_failure_runs_only_where_something_failed() {
    let body = "steps:
  - name: web
    targets: {role: web}
    rolling: {window: 2, max-failures: 1}
    steps:
      - {name: serve, wait: 0s}
      - {name: mourn, wait: 0s, when: {result: failure}}
  - {name: next, needs: [web], wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(2, 1)));
    world.settle();
    world.fail(id, "serve@web-01", 1);
    world.settle();
    world.succeed(id, "serve@web-02");
    world.series(id, &["mourn@web-01", "next@worker"]);
    assert_eq!(world.end(id), "succeeded", "one may fail");
}

#[test]
fn a_canary_is_good_when_its_whole_series_is_and_people_look_then() {
    let (mut world, id) = world("rolling: {window: 2, canary: 1, then: {approval: {teams: [ops]}}, pause: 10s}", 3);
    world.series(id, &["drain@web-01", "serve@web-01"]);
    assert_eq!(
        world.waits(id),
        [
            "alarm needs",
            "next needs",
            "probe@web-01 executor",
            "undrain@web-01 series",
            "web@web-02 canary",
            "web@web-03 canary"
        ]
    );
    world.series(id, &["probe@web-01", "undrain@web-01"]);
    assert!(world.due(id).is_empty(), "people look");
    world.vote(id, "web", "ana", Verdict::Approve, false);
    assert!(world.due(id).is_empty(), "the pause after the canary's series");
    world.log.seconds = 10;
    assert_eq!(world.due(id), ["drain@web-02", "drain@web-03"]);
}

#[test]
fn a_canary_that_fails_at_any_part_stops_the_step() {
    let (mut world, id) = world("rolling: {window: 2, canary: 1, max-failures: 3}", 3);
    world.series(id, &["drain@web-01", "serve@web-01"]);
    world.settle();
    world.fail(id, "probe@web-01", 1);
    world.series(id, &["undrain@web-01", "alarm@worker"]);
    assert_eq!(world.end(id), "failed: step web failed on web-01 at probe: it broke");
}

#[test]
fn what_ran_is_taken_back_from_the_end_of_the_series_also_where_it_failed_itself() {
    let body = "steps:
  - name: web
    targets: {role: web}
    rolling: {window: 1, on-failure: restore}
    steps:
      - {name: one, docker-run: {package: web}}
      - {name: two, docker-run: {package: web}}
      - {name: probe, wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(2, 4)));
    world.settle();
    let keeps = |world: &World, key: &str| match doorbell(world, id, key).order.work {
        Work::DockerRun(run) => run.keep_predecessor,
        other => panic!("{other:?}"),
    };
    assert!(keeps(&world, "one@web-01"), "it may be needed again");
    world.series(id, &["one@web-01", "two@web-01", "probe@web-01", "one@web-02", "two@web-02"]);
    world.settle();
    world.fail(id, "probe@web-02", 1);
    assert_eq!(world.due(id), ["two@web-01", "two@web-02"], "the last first");
    assert_eq!(
        world.waits(id),
        ["one@web-01 series", "one@web-02 series", "two@web-01 executor", "two@web-02 executor"]
    );
    assert!(doorbell(&world, id, "two@web-01").restore);
    world.succeed_again(id, "two@web-01", 2);
    assert_eq!(world.due(id), ["one@web-01", "two@web-02"]);
    for key in ["two@web-02", "one@web-01", "one@web-02"] {
        world.settle();
        world.succeed_again(id, key, 2);
    }
    assert_eq!(world.end(id), "failed: step web failed on web-02 at probe: it broke");
}

#[test]
fn a_series_is_not_taken_back_before_its_end() {
    let (mut world, id) = world("rolling: {window: 2, on-failure: restore}", 2);
    for key in ["drain@web-01", "drain@web-02", "serve@web-01", "serve@web-02"] {
        world.settle();
        world.succeed(id, key);
    }
    world.settle();
    world.fail(id, "probe@web-01", 1);
    assert_eq!(world.due(id), ["probe@web-02", "undrain@web-01"], "who is under way goes on");
    world.succeed(id, "undrain@web-01");
    assert_eq!(world.due(id), ["probe@web-02", "serve@web-01"]);
    world.succeed(id, "probe@web-02");
    assert_eq!(world.due(id), ["serve@web-01", "undrain@web-02"]);
    world.succeed(id, "undrain@web-02");
    assert_eq!(world.due(id), ["serve@web-01", "serve@web-02"], "to be taken back");
}

#[test]
fn a_cancel_stops_a_series_and_still_does_what_is_always_done_where_it_began() {
    let (mut world, id) = world("rolling: {window: 1, on-failure: restore}", 2);
    world.series(id, &["drain@web-01", "serve@web-01"]);
    world.settle();
    world.claim(id, "probe@web-01", 1);
    world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "enough".into() });
    assert!(world.due(id).is_empty(), "the probe is told to stop");
    world.write(id, "probe@web-01", holder("e", 1), TaskEvent::Cancelled);
    world.series(id, &["undrain@web-01"]);
    assert_eq!(world.due(id), ["serve@web-01"], "to be taken back");
    world.succeed_again(id, "serve@web-01", 2);
    assert_eq!(world.end(id), "cancelled: cancelled by ana: enough");
    let view = slipway_engine::view::deployment(world.state.get(id).unwrap(), 0);
    let states: Vec<&str> = view.steps[1..5].iter().map(|step| step.tasks[1].status.as_str()).collect();
    assert_eq!(states, ["skipped"; 4], "nothing was done on the other target");
}

#[test]
fn after_a_cancel_no_series_begins_and_one_of_an_always_step_goes_on() {
    let body = |when: &str| {
        format!(
            "steps:
  - name: web
    targets: {{role: web}}
    rolling: {{window: 1}}
    when: {{result: {when}}}
    steps:
      - {{name: note, wait: 0s, when: {{result: always}}}}
      - {{name: serve, wait: 0s}}"
        )
    };
    let (mut world, id) = World::with(request("x", &body("success"), targets(2, 1)));
    world.series(id, &["note@web-01"]);
    world.settle();
    world.claim(id, "serve@web-01", 1);
    let done = TaskEvent::Succeeded { outputs: Outputs::new() };
    world.raw(&Address::Task(id, key("serve@web-01")), holder("e", 1), Events::Task(vec![done]));
    let cancel = PlanEvent::CancelRequested { reason: "enough".into() };
    world.raw(&Address::Plan(id), person("ana"), Events::Plan(vec![cancel]));
    let tasks = vec![key("note@web-02")];
    world.raw(&Address::Plan(id), planner(), Events::Plan(vec![PlanEvent::Granted { tasks }]));
    assert_eq!(world.void.pop().unwrap_or_default(), "grant of note@web-02: its time has not come");

    let (mut world, id) = World::with(request("z", &body("always"), targets(2, 1)));
    world.settle();
    world.plan(id, person("ana"), PlanEvent::CancelRequested { reason: "enough".into() });
    world.series(id, &["note@web-01", "serve@web-01", "note@web-02", "serve@web-02"]);
}

#[test]
fn what_a_cancel_cuts_short_between_two_parts_counts_as_stopped() {
    let (mut world, id) = world("rolling: {window: 1}", 2);
    world.settle();
    world.claim(id, "drain@web-01", 1);
    let cancel = PlanEvent::CancelRequested { reason: "enough".into() };
    world.raw(&Address::Plan(id), person("ana"), Events::Plan(vec![cancel]));
    let done = TaskEvent::Succeeded { outputs: Outputs::new() };
    world.write(id, "drain@web-01", holder("e", 1), done);
    world.series(id, &["undrain@web-01"]);
    let view = slipway_engine::view::deployment(world.state.get(id).unwrap(), 0);
    let states: Vec<&str> = view.steps[1..5].iter().map(|step| step.tasks[0].status.as_str()).collect();
    assert_eq!(states, ["succeeded", "cancelled", "cancelled", "succeeded"]);
}

#[test]
fn a_grant_out_of_the_series_or_beyond_the_window_is_void_at_its_place_in_the_log() {
    let (mut world, id) = world("rolling: {window: 1}", 2);
    world.settle();
    let grant = |world: &mut World, text: &str| {
        let tasks = vec![key(text)];
        world.raw(&Address::Plan(id), planner(), Events::Plan(vec![PlanEvent::Granted { tasks }]));
        world.void.pop().unwrap_or_default()
    };
    assert_eq!(grant(&mut world, "drain@web-02"), "grant of drain@web-02: the rolling window is full");
    assert_eq!(
        grant(&mut world, "serve@web-01"),
        "grant of serve@web-01: its turn in the series on its target has not come"
    );
    world.claim(id, "drain@web-01", 1);
    let done = TaskEvent::Succeeded { outputs: Outputs::new() };
    world.raw(&Address::Task(id, key("drain@web-01")), holder("e", 1), Events::Task(vec![done]));
    assert_eq!(
        grant(&mut world, "drain@web-02"),
        "grant of drain@web-02: the rolling window is full",
        "between two parts"
    );
    assert_eq!(world.due(id), ["serve@web-01"]);
}

#[test]
fn conditions_leave_out_a_whole_series_or_a_part_of_one() {
    let body = "steps:
  - name: web
    targets: {role: web}
    rolling: {window: 1}
    when: {if: \"#{Target != 'web-02'}\"}
    steps:
      - {name: drain, when: {if: \"#{Target != 'web-03'}\"}, wait: 0s}
      - {name: serve, when: {if: \"#{steps.drain.outputs.x == 1}\"}, wait: 0s}
      - {name: probe, wait: 0s}";
    let (mut world, id) = World::with(request("x", body, targets(3, 1)));
    assert_eq!(world.due(id), ["drain@web-01"]);
    world.claim(id, "drain@web-01", 1);
    let outputs = Outputs::from([("x".to_owned(), serde_json::json!(1))]);
    world.write(id, "drain@web-01", holder("e", 1), TaskEvent::Succeeded { outputs });
    world.series(id, &["serve@web-01", "probe@web-01"]);
    assert_eq!(world.due(id), ["serve@web-03"]);
    let serve = slipway_engine::order::doorbell(&world.state, id, &key("serve@web-03")).unwrap().unwrap_err().message;
    assert!(serve.contains("can not be ordered"), "web-02 is left out, and there is no output on web-03: {serve}");
}

#[test]
fn people_say_what_becomes_of_a_part_that_failed() {
    for (verdict, due) in [
        (Verdict::Retry, vec!["serve@web-01"]),
        (Verdict::Ignore, vec!["probe@web-01"]),
        (Verdict::Exclude, vec!["drain@web-02"]),
        (Verdict::Reject, vec!["undrain@web-01"]),
    ] {
        let body = format!("guided-failure: {{teams: [ops]}}\n{}", body("rolling: {window: 1}"));
        let (mut world, id) = World::with(request("x", &body, targets(2, 1)));
        world.series(id, &["drain@web-01"]);
        world.settle();
        world.fail(id, "serve@web-01", 1);
        assert!(world.due(id).is_empty(), "the target keeps its place while people are asked");
        world.guide(id, "serve", "web-01", "ana", verdict);
        assert_eq!(world.due(id), due, "{verdict}");
    }
}

#[test]
fn a_retry_goes_through_the_series_again_that_did_not_end_well_and_no_other() {
    let mut again = request("x", &body("rolling: {window: 1, canary: 1}"), targets(2, 4));
    let done = |step: &str| Done { task: key(&format!("{step}@web-01")), outputs: Outputs::new() };
    let done = ["drain", "serve", "undrain"].map(done).to_vec();
    again.retries = Some(Retries { deployment: DeploymentId::derive(&["y"]), done });
    let (mut world, id) = World::with(again);
    world.series(id, &["drain@web-02", "serve@web-02", "probe@web-02", "undrain@web-02", "next@worker"]);
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn a_deadline_is_for_the_beginning_of_a_series() {
    let (mut world, id) = world("rolling: {window: 1, deadline: 60s}", 2);
    world.series(id, &["drain@web-01", "serve@web-01"]);
    world.log.seconds = 100;
    world.series(id, &["probe@web-01", "undrain@web-01", "alarm@worker"]);
    let end = "failed: step web left out web-02: it did not start within the step's deadline of 1m";
    assert_eq!(world.end(id), end);
}
