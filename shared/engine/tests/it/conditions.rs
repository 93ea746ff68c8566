//! A step's own condition: asked per target, when its turn has come.

use slipway_domain::{
    event::{FailureKind, PlanEvent, TaskEvent},
    id::{DeploymentId, TaskKey},
    order::Outputs,
};
use slipway_engine::{
    compile::compile,
    deployment::{StepRun, TaskState},
    order::doorbell,
};

use crate::{
    fixture::{person, request, targets},
    world::{World, holder},
};

fn world(steps: &str, count: usize) -> (World, DeploymentId) {
    World::with(request("x", &format!("steps:\n{steps}"), targets(count, 2)))
}

fn gives(world: &mut World, id: DeploymentId, key: &str, name: &str, value: serde_json::Value) {
    world.claim(id, key, 1);
    let outputs = Outputs::from([(name.to_owned(), value)]);
    world.write(id, key, holder("e", 1), TaskEvent::Succeeded { outputs });
}

fn left_out(world: &World, id: DeploymentId, step: &str, target: &str) -> String {
    let key = TaskKey::new(step.parse().unwrap(), target.parse().unwrap());
    match &world.state.get(id).unwrap().progress.as_ref().unwrap().task(&key).unwrap().state {
        TaskState::Skipped(reason) => reason.clone(),
        other => panic!("{other:?}"),
    }
}

/// The step `ask`.
fn ask(world: &World, id: DeploymentId) -> &StepRun {
    let progress = world.state.get(id).unwrap().progress.as_ref().unwrap();
    &progress.steps[progress.position(&"ask".parse().unwrap()).unwrap()]
}

#[test]
fn a_condition_is_asked_on_each_target_and_who_is_left_out_takes_no_place() {
    let steps = "  - {name: web, targets: {role: web}, rolling: {window: 1}, wait: 0s, when: {if: \"#{Target != 'web-01' and Target != 'web-03'}\"}}\n  - {name: next, needs: [web], wait: 0s}";
    let (mut world, id) = world(steps, 4);
    assert_eq!(world.due(id), ["web@web-02"]);
    let reason = left_out(&world, id, "web", "web-01");
    assert_eq!(reason, "its condition #{Target != 'web-01' and Target != 'web-03'} came out as `false`");
    world.succeed(id, "web@web-02");
    assert_eq!(world.due(id), ["web@web-04"]);
    left_out(&world, id, "web", "web-03");
    world.succeed(id, "web@web-04");
    world.succeed(id, "next@worker");
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn a_condition_looks_at_what_earlier_steps_gave() {
    for (changed, due) in [(true, "b@worker"), (false, "c@worker")] {
        let steps = "  - {name: a, wait: 0s}\n  - {name: b, needs: [a], wait: 0s, when: {result: '#{steps.a.outputs.changed}'}}\n  - {name: c, needs: [b], wait: 0s}";
        let (mut world, id) = world(steps, 1);
        world.settle();
        gives(&mut world, id, "a@worker", "changed", changed.into());
        assert_eq!(world.due(id), [due]);
    }
}

#[test]
fn a_condition_comes_on_top_of_the_result() {
    let steps = "  - {name: a, wait: 0s}\n  - {name: b, needs: [a], wait: 0s, when: {result: failure, if: \"#{Environment == 'production'}\"}}\n  - {name: c, needs: [a], wait: 0s, when: {result: failure, if: \"#{Environment == 'staging'}\"}}\n  - {name: d, needs: [a], wait: 0s, when: {if: '#{1}'}}";
    let (mut world, id) = world(steps, 1);
    world.settle();
    world.fail(id, "a@worker", 1);
    assert_eq!(world.due(id), ["b@worker"]);
}

#[test]
fn people_are_not_asked_where_the_condition_leaves_the_approval_out() {
    let steps = |value: &str| {
        format!(
            "  - {{name: a, wait: 0s}}\n  - {{name: ask, needs: [a], approval: {{teams: [ops], slack: '#ops'}}, when: {{if: \"#{{ steps.a.outputs.risk == '{value}' }}\"}}}}\n  - {{name: b, needs: [ask], wait: 0s}}"
        )
    };
    let (mut asked, id) = world(&steps("high"), 1);
    asked.settle();
    gives(&mut asked, id, "a@worker", "risk", "high".into());
    assert_eq!(asked.due(id), ["ask@notifier"]);
    let (mut skipped, id) = world(&steps("low"), 1);
    skipped.settle();
    gives(&mut skipped, id, "a@worker", "risk", "high".into());
    assert_eq!(skipped.due(id), ["b@worker"]);
    assert_eq!(ask(&skipped, id).any_gate().and_then(|gate| gate.opened()), None, "nobody was asked in between");
    assert!(skipped.void.is_empty(), "{:?}", skipped.void);
}

#[test]
fn nothing_is_left_out_during_a_pause() {
    let steps = "  - {name: a, wait: 0s}\n  - {name: b, needs: [a], wait: 0s, when: {if: '#{0}'}}\n  - {name: ask, needs: [a], approval: {}, when: {if: '#{0}'}}";
    let (mut world, id) = world(steps, 1);
    world.settle();
    world.plan(id, person("ana"), PlanEvent::Paused { reason: "lunch".to_owned() });
    world.succeed(id, "a@worker");
    assert!(world.due(id).is_empty());
    assert_eq!((world.end(id).as_str(), &ask(&world, id).skipped), ("paused", &None));
    world.plan(id, person("ana"), PlanEvent::Resumed);
    assert_eq!(world.end(id), "succeeded");
}

#[test]
fn a_condition_that_has_no_value_fails_its_task_and_names_it() {
    let steps =
        "  - {name: a, wait: 0s}\n  - {name: b, needs: [a], wait: 0s, when: {if: '#{steps.a.outputs.missing}'}}";
    let (mut world, id) = world(steps, 1);
    world.settle();
    world.succeed(id, "a@worker");
    assert_eq!(world.due(id), ["b@worker"]);
    let key = TaskKey::new("b".parse().unwrap(), "worker".parse().unwrap());
    let failure = doorbell(&world.state, id, &key).unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Order);
    assert!(failure.message.contains("undefined"), "{}", failure.message);
}

#[test]
fn a_condition_may_not_look_at_a_secret_or_at_what_nobody_gives() {
    let refused = |steps: &str| {
        let body =
            format!("variables:\n  - {{name: Db, secret: db}}\n  - {{name: Url, value: 'x#{{Db}}'}}\nsteps:\n{steps}");
        compile(&request("x", &body, targets(1, 1))).unwrap_err().join("\n")
    };
    assert_eq!(
        refused("  - {name: a, wait: 0s, when: {if: '#{Url}'}}"),
        "step `a`: in \"#{Url}\": `Db` is a secret, whose value only executors know; let a condition look at a variable with a value"
    );
    let unknown = refused("  - {name: a, wait: 0s, when: {if: '#{Environmnt}'}}");
    assert!(unknown.contains("did you mean `Environment`?"), "{unknown}");
    let later = refused("  - {name: a, wait: 0s, when: {if: '#{steps.b.outputs.x}'}}\n  - {name: b, wait: 0s}");
    assert!(later.contains("add it to `needs` of `a`"), "{later}");
}
