//! Options of containers: from what is written to the order, and what planning says about them.

use slipway_domain::{
    api::TaskChange,
    id::TaskKey,
    manifest::Restart,
    order::{ContainerOptions, RunContainer, Work},
};
use slipway_engine::{compile::compile, preview};

use crate::{
    fixture::{request, targets},
    world::World,
};

/// The order of step `web` on the first target.
fn order(body: &str) -> RunContainer {
    let (mut world, id) = World::with(request("x", body, targets(1, 1)));
    assert_eq!(world.due(id), ["web@web-01"]);
    let key = TaskKey::new("web".parse().unwrap(), "web-01".parse().unwrap());
    match slipway_engine::order::doorbell(&world.state, id, &key).unwrap().unwrap().order.work {
        Work::DockerRun(run) => run,
        other => panic!("{other:?}"),
    }
}

fn body(options: &str) -> String {
    format!("steps:\n  - {{name: web, targets: {{role: web}}, docker-run: {{package: web, {options}}}}}\n")
}

/// What planning says about a step with these options and variables, on two targets of engines of their own.
#[track_caller]
fn problems(options: &str, variables: &str, expected: &[&str]) {
    let text = format!("{}{variables}", body(options));
    let found = compile(&request("x", &text, targets(2, 1))).err().unwrap_or_default();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (problem, part) in found.iter().zip(expected) {
        assert!(problem.contains(part), "{problem:?} does not contain {part:?}");
    }
}

#[test]
fn an_order_has_every_text_rendered_and_every_size_as_a_number() {
    let options = "restart: on-failure:3, create-only: true, user: 1000, hostname: '#{Host}-1', memory: '#{Size}', \
                   memory-swap: unlimited, cpus: 1.5, pids: 100, networks: {'#{Host}': {aliases: ['#{Host}']}}, \
                   volumes: ['#{Host}-data:/data:ro'], tmpfs: {/tmp: {size: 64m, mode: '1777'}}, \
                   labels: {size: '#{Size}'}, ulimits: {nofile: '10:20'}, stop-grace: 30s";
    let text =
        format!("{}variables:\n  - {{name: Host, value: shop}}\n  - {{name: Size, value: 512m}}\n", body(options));
    let run = order(&text);
    assert_eq!((run.restart, run.create_only), (Restart::OnFailure(Some(3)), true));
    let expected: ContainerOptions = serde_json::from_value(serde_json::json!({
        "user": "1000", "hostname": "shop-1", "memory": 512 << 20, "memory-swap": -1, "nano-cpus": 1_500_000_000,
        "pids": 100, "networks": {"shop": {"aliases": ["shop"]}},
        "volumes": [{"source": "shop-data", "target": "/data", "read-only": true}],
        "tmpfs": {"/tmp": {"size": 64 << 20, "mode": 0o1777}}, "labels": {"size": "512m"},
        "ulimits": {"nofile": {"soft": 10, "hard": 20}}, "stop-grace": "30s",
    }))
    .unwrap();
    assert_eq!(*run.options, expected);
    let written = serde_json::to_value(&run).unwrap();
    assert_eq!(written["memory"], 512 << 20, "options stand beside the rest");
    assert_eq!(serde_json::from_value::<RunContainer>(written).unwrap(), run);
}

#[test]
fn an_order_without_options_is_written_as_it_was_before_there_were_any() {
    let written = serde_json::to_value(order(&body("env: {A: b}"))).unwrap();
    let keys: Vec<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["env", "image", "name", "ports"]);
}

#[test]
fn variables_that_are_passed_are_those_of_the_place_and_secrets_only_when_asked_for() {
    let variables = "variables:\n  - {name: Smtp.Host, value: mail}\n  - {name: Level, value: low}\n  - {name: Level, value: high, \
                     scope: {target: web-01}}\n  - {name: Elsewhere, value: x, scope: {environment: staging}}\n  - {name: Password, \
                     secret: db}\n  - {name: Url, value: 'db://#{Password}@#{Smtp.Host}'}\n";
    let env = |options: &str| order(&format!("{}{variables}", body(options))).env;
    let plain = env("pass-variables: true, env: {Level: mine}");
    let plain: Vec<(&str, &str)> = plain.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(plain, [("Smtp__Host", "mail"), ("Level", "mine")], "what `env` says holds");
    let all = env("pass-variables: with-secrets");
    assert_eq!(all.keys().collect::<Vec<_>>(), ["Smtp__Host", "Level", "Password", "Url"]);
    assert_eq!(all["Level"], "high");
    assert!(all["Url"].starts_with("db://") && all["Url"].contains("secret:db@3"), "{}", all["Url"]);
    assert!(env("command: [a]").is_empty());
}

#[test]
fn variables_that_can_not_be_passed_are_told_when_planning() {
    problems(
        "pass-variables: true",
        "variables:\n  - {name: A.B, value: x}\n  - {name: A__B, value: y}\n",
        &["variables `A.B` and `A__B` would both be `A__B`", "on `web-02`"],
    );
    problems(
        "pass-variables: true",
        "variables:\n  - {name: A, value: '#{steps.nothing.outputs.x}'}\n",
        &["there is no step `nothing`"],
    );
    problems(
        "pass-variables: true",
        "variables:\n  - {name: A, value: x}\n  - {name: A, value: y}\n",
        &["two values", "two values"],
    );
    problems(
        "pass-variables: with-secrets",
        "variables:\n  - {name: A, secret: nope}\n",
        &["which is not set", "which is not set"],
    );
}

#[test]
fn what_templates_come_to_is_checked_when_planning() {
    problems(
        "memory: '#{Size}', volumes: ['#{Where}:/data'], hostname: '#{Secret}', labels: {a: '#{Secret}'}",
        "variables:\n  - {name: Size, value: lots}\n  - {name: Where, value: ../x, scope: {target: web-01}}\n  - {name: Where, \
         value: data}\n  - {name: Secret, secret: db}\n",
        &[
            "step `web` on `web-01`: `hostname`: a secret can not be part of it",
            "step `web` on `web-01`: `volumes`: source `../x` is no name",
            "step `web` on `web-01`: `memory`: `lots` is no size",
            "step `web` on `web-02`: `hostname`",
            "step `web` on `web-02`: `memory`: `lots` is no size",
        ],
    );
    problems(
        "memory: '#{Sise}'",
        "variables:\n  - {name: Size, value: 1g}\n",
        &["unknown variable `Sise` (did you mean `Size`?)"],
    );
}

#[test]
fn one_address_of_one_network_has_one_owner_on_an_engine() {
    let text = body("networks: {shop: {ipv4: '#{Ip}'}}") + "variables:\n  - {name: Ip, value: 10.0.0.5}\n";
    assert!(compile(&request("x", &text, targets(2, 1))).is_ok(), "engines of their own");
    let mut shared = targets(2, 1);
    shared[1].docker = shared[0].docker.clone();
    let found = compile(&request("x", &text, shared.clone())).unwrap_err();
    assert!(
        found[0]
            .contains("step `web` on `web-01` and step `web` on `web-02` both want address 10.0.0.5 of network shop"),
        "{found:#?}"
    );
    let apart = text + "  - {name: Ip, value: 10.0.0.6, scope: {target: web-02}}\n";
    assert!(compile(&request("x", &apart, shared)).is_ok());
}

#[test]
fn a_preview_tells_options_as_they_are_written() {
    let asked = |memory: &str| {
        let options = format!(
            "memory: {memory}, volumes: ['data:/data:ro', {{source: /srv, target: /srv}}], devices: [/dev/fuse], \
             networks: {{shop: {{aliases: [a, b]}}}}, pass-variables: true"
        );
        preview::Asked::new(request(
            "x",
            &(body(&options) + "variables:\n  - {name: Level, value: low}\n"),
            targets(1, 1),
        ))
    };
    let (before, after) = (asked("256m"), asked("512m"));
    let plan = compile(after.request()).unwrap();
    let fresh = preview::steps(&after, &plan, |_, _| None).unwrap().remove(0).tasks.remove(0);
    let fact = |what: &str| fresh.differences.iter().find(|d| d.what == what).and_then(|d| d.after.clone());
    assert_eq!(fact("volumes").as_deref(), Some("data:/data:ro /srv:/srv"));
    assert_eq!(fact("devices").as_deref(), Some("/dev/fuse:/dev/fuse:rwm"));
    assert_eq!(fact("networks.shop.aliases").as_deref(), Some("a b"));
    assert_eq!(fact("env.Level").as_deref(), Some("low"));
    assert_eq!(fresh.variables.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["Level"]);

    let earlier = (slipway_domain::id::DeploymentId::derive(&["before"]), before);
    let task = preview::steps(&after, &plan, |_, _| Some(&earlier)).unwrap().remove(0).tasks.remove(0);
    assert_eq!(task.change, TaskChange::Changed);
    let differences: Vec<_> = task.differences.iter().map(|d| d.what.as_str()).collect();
    assert_eq!(differences, ["memory"]);
}

#[test]
fn the_order_of_a_network_is_complete_and_mistakes_are_told_when_planning() {
    let body = |options: &str| {
        format!(
            "steps:\n  - {{name: net, targets: {{role: web}}, docker-network: {{name: '#{{Project}}-net', {options}}}}}\n\
             variables:\n  - {{name: Subnet, value: 10.5.0.0/16}}\n"
        )
    };
    let (mut world, id) = World::with(request("x", &body("subnet: '#{Subnet}', internal: true"), targets(1, 1)));
    assert_eq!(world.due(id), ["net@web-01"]);
    let key = TaskKey::new("net".parse().unwrap(), "web-01".parse().unwrap());
    let work = slipway_engine::order::doorbell(&world.state, id, &key).unwrap().unwrap().order.work;
    let expected = serde_json::json!({
        "kind": "docker-network", "name": "shop-net", "driver": "bridge", "subnet": "10.5.0.0/16", "internal": true,
    });
    assert_eq!(serde_json::to_value(&work).unwrap(), expected);

    let found = compile(&request("x", &body("subnet: 'x#{Subnet}'"), targets(1, 1))).unwrap_err();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("step `net` on `web-01`: `subnet`: `x10.5.0.0/16` is no range of addresses"),
        "{found:#?}"
    );
}
