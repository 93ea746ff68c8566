//! From requests to plans, and every way in which that fails.

use slipway_domain::plan::Runs;
use slipway_engine::compile::compile;

use crate::fixture::{request, targets};

#[track_caller]
fn check(body: &str, expected: &[&str]) {
    let problems = compile(&request("x", body, targets(2, 1))).err().unwrap_or_default();
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, part) in problems.iter().zip(expected) {
        assert!(problem.contains(part), "{problem:?} does not contain {part:?}");
    }
}

#[test]
fn steps_come_after_what_they_need_and_needless_edges_go() {
    let plan = compile(&request(
        "x",
        "steps:\n  - {name: c, needs: [b, a], wait: 0s}\n  - {name: b, needs: [a], wait: 0s}\n  - {name: a, wait: 0s}\n  - {name: d, wait: 0s}",
        targets(1, 1),
    ))
    .unwrap();
    let shape: Vec<_> = plan
        .steps
        .iter()
        .map(|s| (s.name().to_string(), s.step.needs.iter().map(|n| n.to_string()).collect::<Vec<_>>(), s.rank))
        .collect();
    let s = str::to_owned;
    assert_eq!(shape, [(s("a"), vec![], 0), (s("b"), vec![s("a")], 1), (s("c"), vec![s("b")], 2), (s("d"), vec![], 0)]);
}

#[test]
fn a_step_of_another_environment_is_left_out_and_its_needs_are_inherited() {
    let plan = compile(&request(
        "x",
        "steps:\n  - {name: a, wait: 0s}\n  - {name: b, needs: [a], wait: 0s, when: {environments: [staging]}}\n  - {name: c, needs: [b], wait: 0s}",
        targets(1, 1),
    ))
    .unwrap();
    assert_eq!(plan.steps.len(), 2);
    assert_eq!(plan.steps[1].step.needs, [plan.steps[0].name().clone()]);
}

#[test]
fn steps_run_on_targets_of_their_role_or_on_pseudo_targets() {
    let plan = compile(&request(
        "x",
        "steps:\n  - {name: web, targets: {role: web}, docker-run: {package: web}}\n  - {name: w, wait: 0s}\n  - {name: s, slack: {channel: c, text: t}}\n  - {name: g, approval: {}}",
        targets(2, 1),
    ))
    .unwrap();
    let runs: Vec<_> = plan
        .steps
        .iter()
        .map(|s| match &s.runs {
            Runs::On(targets) => targets.iter().map(|t| t.to_string()).collect::<Vec<_>>().join(","),
            Runs::Gate => "gate".to_owned(),
        })
        .collect();
    assert_eq!(runs, ["web-01,web-02", "worker", "notifier", "gate"]);
}

#[test]
fn the_same_request_gives_the_same_digest_and_another_gives_another() {
    let body = "steps:\n  - {name: web, targets: {role: web}, docker-run: {package: web, env: {A: x}}}";
    let one = compile(&request("x", body, targets(2, 1))).unwrap().digest();
    assert_eq!(one, compile(&request("x", body, targets(2, 1))).unwrap().digest());
    assert_ne!(one, compile(&request("x", &body.replace("A: x", "A: y"), targets(2, 1))).unwrap().digest());
    assert_ne!(one, compile(&request("x", body, targets(3, 1))).unwrap().digest());
}

#[test]
fn every_cycle_is_named_at_once() {
    let body = "steps:\n  - {name: a, needs: [c], wait: 0s}\n  - {name: b, needs: [a], wait: 0s}\n  - {name: c, needs: [b], wait: 0s}\n  - {name: d, needs: [d], wait: 0s}\n  - {name: e, needs: [f], wait: 0s}\n  - {name: f, needs: [e], wait: 0s}\n  - {name: g, wait: 0s}";
    let mut request = request("x", "steps:\n  - {name: g, wait: 0s}", targets(1, 1));
    request.release.steps = crate::fixture::project(body).steps;
    let problems = compile(&request).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems[0].contains("circle: a -> c -> b -> a"), "{}", problems[0]);
    assert!(problems[1].contains("d -> d"), "{}", problems[1]);
    assert!(problems[2].contains("e -> f -> e"), "{}", problems[2]);
}

#[test]
fn what_can_not_be_planned_is_said_with_what_to_do() {
    check(
        "steps:\n  - {name: web, targets: {role: wep}, docker-run: {package: web}}",
        &["has none (did you mean `web`?)"],
    );
    check(
        "steps:\n  - {name: web, docker-run: {package: web, env: {A: '#{Greting}'}}}\nvariables:\n  - {name: Greeting, value: x}",
        &["unknown variable `Greting` (did you mean `Greeting`?)"],
    );
    check(
        "steps:\n  - {name: web, docker-run: {package: web, env: {A: '#{greeting}'}}}\nvariables:\n  - {name: Greeting, value: x}",
        &["unknown variable `greeting` (did you mean `Greeting`?)"],
    );
    check(
        "steps:\n  - {name: web, docker-run: {package: web, env: {A: '#{A}'}}}\nvariables:\n  - {name: A, value: '#{B}'}\n  - {name: B, value: '#{A}'}",
        &["needs itself (A -> B -> A)"],
    );
    check(
        "steps:\n  - {name: web, docker-run: {package: web, env: {A: '#{A}'}}}\nvariables:\n  - {name: A, value: x}\n  - {name: A, value: y}",
        &["two values that fit step `web`"],
    );
    check(
        "steps:\n  - {name: web, docker-run: {package: web, env: {A: '#{A}'}}}\nvariables:\n  - {name: A, value: x, scope: {environment: staging}}",
        &["has no value for step `web`"],
    );
    check(
        "steps:\n  - {name: web, docker-run: {package: web, env: {A: '#{S}'}}}\nvariables:\n  - {name: S, secret: nope}",
        &["secret `nope`, which is not set"],
    );
    check(
        "steps:\n  - {name: a, wait: 0s}\n  - {name: b, docker-job: {package: web, env: {A: '#{steps.a.outputs.x}'}}}",
        &["add it to `needs` of `b`"],
    );
    check(
        "steps:\n  - {name: b, docker-job: {package: web, env: {A: '#{steps.c.outputs.x}'}}}",
        &["there is no step `c`"],
    );
    check("steps:\n  - {name: b, docker-job: {package: web, env: {A: '#{Project'}}}", &["syntax error"]);
    check(
        "steps:\n  - {name: b, targets: {role: web}, docker-run: {package: web, ports: ['x:80']}}",
        &["not a port mapping", "not a port mapping"],
    );
}

#[test]
fn two_containers_on_one_host_port_of_one_engine_are_refused() {
    let mut request = request(
        "x",
        "variables:\n  - {name: Port, value: '8080'}\n  - {name: Port, value: '8081', scope: {target: web-02}}\nsteps:\n  - {name: web, targets: {role: web}, docker-run: {package: web, ports: ['#{Port}:80']}}",
        targets(2, 1),
    );
    assert!(compile(&request).is_ok(), "two engines");
    for target in &mut request.targets {
        target.docker = "unix:///var/run/docker.sock".into();
    }
    assert!(compile(&request).is_ok(), "one engine, two ports");
    request.release.variables.pop();
    let problems = compile(&request).unwrap_err();
    assert!(problems[0].contains("`web-01` and step `web` on `web-02` both want port 8080/tcp"), "{problems:?}");
}
