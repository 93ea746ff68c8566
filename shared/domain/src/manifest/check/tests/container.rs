//! Options of containers: what is read, and what is said about the rest.

use super::{steps, text};
use crate::manifest::{
    Action, Container, DockerRun, Manifest, PassVariables, Restart,
    parse::{parse, parse_json},
};

/// Everything that a container can be told, once.
const ALL: &str = r##"
kind: Project
name: shop
lifecycle: standard
packages: {web: {feed: local, image: shop/web}}
steps:
  - name: web
    docker-run:
      package: web
      name: "#{N}"
      ports: ["#{Port}:80"]
      env: {A: b}
      pass-variables: with-secrets
      command: ["#{C}"]
      entrypoint: [/start, "#{Entry}"]
      secrets: {a: "#{S}"}
      user: 1000
      workdir: "/#{Workdir}"
      hostname: "#{Host}"
      labels: {traefik.enable: true, weight: 1.5, release: "#{Release}"}
      networks: {front: , "#{Back}": {aliases: ["#{Alias}"], ipv4: "#{Ip}"}}
      extra-hosts: ["#{Extra}"]
      dns: ["#{Dns}"]
      volumes:
        - "#{Data}:/data"
        - {source: "#{Source}", target: "#{Target}", read-only: true, driver: "#{Driver}", driver-options: {o: "#{O}"}}
      tmpfs: {/tmp: {size: "#{TmpSize}", mode: "#{TmpMode}"}, "/#{Tmp}": {}}
      shm-size: "#{Shm}"
      read-only: true
      cap-add: ["#{CapAdd}"]
      cap-drop: ["#{CapDrop}"]
      security-opt: ["#{Security}"]
      privileged: true
      devices: ["#{Device}"]
      memory: "#{Memory}"
      memory-swap: "#{Swap}"
      cpus: "#{Cpus}"
      pids: "#{Pids}"
      ulimits: {nofile: "#{Nofile}", nproc: 100}
      init: true
      stop-signal: "#{Signal}"
      stop-grace: 30s
      log: {driver: "#{LogDriver}", options: {max-size: "#{LogSize}", max-file: 3}}
      platform: "#{Platform}"
      restart: on-failure:5
      health: {exec: ["#{Exec}"], within: 5s}
"##;

fn run(text: &str) -> DockerRun {
    let manifest = parse(None, text).unwrap_or_else(|problems| panic!("{problems:#?}")).remove(0);
    let json = serde_json::to_value(&manifest).unwrap();
    assert_eq!(parse_json(&json).as_ref(), Ok(&manifest), "it is the same as JSON");
    let Manifest::Project(mut project) = manifest else { panic!("a project") };
    match project.steps.remove(0).action {
        Action::DockerRun(run) => *run,
        other => panic!("{other:?}"),
    }
}

/// One step of kind docker-run with this option, and what is said about it.
#[track_caller]
fn option(option: &str, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|message| format!("line 6: step `a`: {message}")).collect();
    let step = format!("  - {{name: a, docker-run: {{package: web, {option}}}}}");
    steps(&step, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn every_option_is_read_and_every_template_among_them_is_known() {
    let run = run(ALL);
    assert_eq!(run.container.user.as_ref().unwrap().0, "1000");
    assert_eq!(run.container.labels["traefik.enable"].0, "true");
    assert_eq!(run.container.labels["weight"].0, "1.5");
    assert_eq!(run.container.pass_variables, PassVariables::WithSecrets);
    assert_eq!(run.restart, Restart::OnFailure(Some(5)));

    let mut known: Vec<&str> = run.container.option_texts();
    known.extend(run.health.iter().flat_map(|health| health.texts()));
    // These are told by the engine, as they were before.
    known.extend(["#{N}", "#{Port}:80", "#{C}", "#{S}"]);
    fn leaves(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::String(text) => found.push(text.clone()),
            serde_json::Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
            serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| {
                found.push(key.clone());
                leaves(value, found);
            }),
            _ => {}
        }
    }
    let mut templates = Vec::new();
    leaves(&serde_json::to_value(&run).unwrap(), &mut templates);
    templates.retain(|text| text.contains("#{"));
    assert!(templates.len() > 35, "{templates:?}");
    for text in templates {
        assert!(known.contains(&text.as_str()), "{text} is rendered by nobody");
    }
}

#[test]
fn what_is_left_out_is_not_written() {
    let run = run(
        "kind: Project\nname: p\nlifecycle: l\npackages: {web: {feed: f, image: i}}\nsteps:\n  - {name: a, docker-run: {package: web}}\n",
    );
    assert_eq!(serde_json::to_string(&run).unwrap(), r#"{"package":"web"}"#);
    let Container { pass_variables, networks, .. } = run.container;
    assert!(pass_variables.is_none() && networks.is_none());
}

#[test]
fn limits_that_are_nonsense_are_refused() {
    option(
        "memory: 512, cpus: lots, pids: 0, shm-size: 1q",
        &[
            "`shm-size`: `1q` is no size: write it like 512m, 1g, 1.5g, 64k or 100b",
            "`memory`: `512` is no size: write it like 512m, 1g, 1.5g, 64k or 100b",
            "`cpus`: `lots` is no number of processors: write it like 2, 1.5 or 0.25, and no less than 0.01",
            "`pids`: `0` is no number of processes: write a whole number above 0, or unlimited",
        ],
    );
    option("memory-swap: 1g", &["`memory-swap`: it is memory and swap together, so it needs `memory`"]);
    option(
        "memory: 1g, memory-swap: 512m",
        &["`memory-swap`: it is memory and swap together, so it can not be less than `memory`"],
    );
    option("memory: \"#{M}\", memory-swap: \"#{S}\", cpus: 0.5, pids: 10, ulimits: {nofile: 1024}", &[]);
    option("ulimits: {nofile: 20:10}", &["`ulimits.nofile`: `20:10`: what holds is above what it may be raised to"]);
    option(
        "stop-grace: 10m",
        &["`stop-grace: 10m` is as long as the step's time-out of 10m: give it a longer `timeout`"],
    );
}

#[test]
fn networks_volumes_and_labels_are_looked_at() {
    option("networks: [shop, shop]", &["`networks`: `shop` is there twice: keep one"]);
    option("networks: [host]", &["`networks`: `host` is a mode: write `network-mode: host`"]);
    option(
        "networks: {shop: {aliases: [a b], ipv4: x}}",
        &[
            "`networks.shop.aliases`: `a b` is no host name: use letters, digits, `-` and `.`, 63 characters at most",
            "`networks.shop.ipv4`: `x` is no IPv4 address",
        ],
    );
    option(
        "networks: [shop], network-mode: host, ports: ['80']",
        &[
            "`network-mode`: it stands in the place of `networks`: keep one of the two",
            "`ports`: with `network-mode: host` a container has no ports of its own to publish",
        ],
    );
    option(
        "network-mode: \"container:web\", hostname: x, health: {tcp: {port: 1}}",
        &[
            "`health`: a container without a network of its own is not reached from outside: use `exec`",
            "`hostname`: a container in another one's network has that one's: leave it out",
        ],
    );
    option(
        "volumes: [data:/x, {source: /srv, target: /x}]",
        &["`volumes`: two things are to be mounted at `/x`: keep one"],
    );
    option("volumes: [data:/x, other:/y:ro], tmpfs: {/tmp: {size: 64m, mode: '1777'}}", &[]);
    option(
        "labels: {slipway.step: x}",
        &["`labels`: `slipway.step`: labels that begin with `slipway.` are Slipway's: choose another name"],
    );
    option(
        "files: {/data/x: y}, volumes: [d:/data]",
        &["`files`: `/data/x` lies in `/data`, where something else is mounted"],
    );
    option(
        "files: {/etc/x: y}, read-only: true",
        &[
            "`files`: Docker puts none into a container that is `read-only`: give them as `secrets`, or mount them with `volumes`",
        ],
    );
}

#[test]
fn health_is_proved_in_one_way_and_not_where_nothing_runs() {
    option(
        "health: {exec: [a], healthcheck: {command: [b]}}",
        &["`health` has both `exec` and `healthcheck`: keep one"],
    );
    option("health: {exec: []}", &["`health.exec` has no command: write it as a list, such as [pg_isready]"]);
    option(
        "health: {healthcheck: {command: [a], interval: 0s, retries: 0}}",
        &[
            "`health.healthcheck.interval` is 0: Docker needs 1ms at least",
            "`health.healthcheck.retries` is 0: write 1 or more",
        ],
    );
    option(
        "create-only: true, health: {exec: [a]}",
        &["`health`: with `create-only` nothing runs that could be good: take one of them out"],
    );
}

#[test]
fn keys_and_words_that_are_not_known_are_told_with_their_line() {
    let project = |step: &str| {
        format!(
            "kind: Project\nname: p\nlifecycle: l\npackages: {{web: {{feed: f, image: i}}}}\nsteps:\n  - name: a\n{step}\n"
        )
    };
    text(
        &project("    docker-run:\n      package: web\n      restart: sometimes\n"),
        &["line 9: `restart: sometimes` is not known: write no, always, unless-stopped, on-failure or on-failure:5"],
    );
    text(
        &project("    docker-run:\n      package: web\n      health: {http: {prot: 80}}\n"),
        &["line 9: unknown key `prot` (did you mean `port`?); known here: port, path"],
    );
    text(
        &project("    docker-run:\n      package: web\n      networks: {shop: {alias: [a]}}\n"),
        &["line 9: expected a list of names, or names with what is said about each: {NAME: {aliases: [..], ipv4: IP}}"],
    );
    text(
        &project("    docker-run:\n      package: web\n      volumes: [{sorce: a, target: /b}]\n"),
        &["line 9: expected SOURCE:TARGET, SOURCE:TARGET:ro, or {source, target, read-only, no-copy, driver, \
           driver-options} with no other keys"],
    );
    text(
        &project("    docker-run:\n      package: web\n      pass-variables: all\n"),
        &["line 9: `pass-variables: all` is not known: write true, or with-secrets to pass secrets too"],
    );
    text(&project("    docker-run:\n      name: web\n"), &["line 8: key `package` is missing"]);
    text(
        &project("    docker-run:\n      package: web\n      name: x\n      name: y\n"),
        &["line 10: key `name` is there twice: keep one"],
    );
    for key in ["restart: always", "create-only: true", "ports: ['80']", "health: {}"] {
        let problems =
            parse(None, &project(&format!("    docker-job:\n      package: web\n      {key}\n"))).unwrap_err();
        let word = key.split(':').next().unwrap();
        assert!(problems[0].message.starts_with(&format!("unknown key `{word}`")), "{problems:?}");
        assert_eq!(problems[0].line, Some(9));
    }
}

#[test]
fn a_network_has_a_name_of_its_own_and_addresses_that_belong_together() {
    let network = |options: &str| format!("  - {{name: a, docker-network: {{{options}}}}}");
    steps(&network("name: shop, subnet: 10.5.0.0/16, ip-range: 10.5.1.0/24, gateway: 10.5.0.1, labels: {a: 1}"), &[]);
    steps(&network("name: \"#{N}\", subnet: \"#{S}\", gateway: 10.5.0.1"), &[]);
    steps(
        &network("name: host, subnet: 10.5.0.0, labels: {slipway.kind: x}"),
        &[
            "line 6: step `a`: `name`: `host` is a network of Docker's own: choose another name",
            "line 6: step `a`: `subnet`: `10.5.0.0` is no range of addresses: write it like 10.5.0.0/16",
            "line 6: step `a`: `labels`: `slipway.kind`: labels that begin with `slipway.` are Slipway's: choose another \
             name",
        ],
    );
    steps(
        &network("name: shop, gateway: 10.5.0.1"),
        &["line 6: step `a`: `gateway`: it lies in the `subnet`: say which that is"],
    );
}
