//! Steps of kind `script`: their texts, their image, and what it takes to get it.

use serde_json::json;
use slipway_domain::{
    event::TaskEvent,
    order::{RunScript, Work},
    release::{PullCredentials, Request},
};
use slipway_engine::compile::compile;

use crate::{
    fixture::{request, targets},
    world::{World, holder},
};

const STEPS: &str = "variables:
  - {name: Token, secret: db}
steps:
  - name: a
    script:
      package: web
      run: |
        x=\"${HOME}\" # {{y}} {% z %} ##{no}
        curl -H 'Authorization: #{Token}' #{Project}
      shell: '/bin/#{Project}'
      env: {A: '#{Release}'}
      files: {/x: '#{Token}'}
      workdir: '/#{Environment}'
  - {name: b, needs: [a], docker-job: {package: web, env: {X: '#{steps.a.outputs.hash}'}}}
";

fn ordered(asked: Request) -> (RunScript, Vec<slipway_domain::secret::SecretRef>) {
    let (mut world, id) = World::with(asked);
    world.settle();
    let key = slipway_engine::due(&world.state, id).remove(0);
    let order = slipway_engine::order::doorbell(&world.state, id, &key).unwrap().unwrap().order;
    let Work::Script(script) = order.work else { panic!("{:?}", order.work) };
    (script, order.secrets)
}

#[test]
fn the_texts_of_a_script_are_rendered_and_what_a_shell_reads_stays() {
    let mut asked = request("x", STEPS, targets(1, 1));
    let credentials = PullCredentials { username: "u".to_owned(), password: asked.secrets[0].clone() };
    asked.release.packages.values_mut().for_each(|package| package.credentials = Some(credentials.clone()));
    let (script, secrets) = ordered(asked);
    let marker = secrets[0].marker();
    let run = format!("x=\"${{HOME}}\" # {{{{y}}}} {{% z %}} #{{no}}\ncurl -H 'Authorization: {marker}' shop\n");
    assert_eq!(script.run, run);
    assert_eq!((script.shell.as_str(), script.workdir.as_deref()), ("/bin/shop", Some("/production")));
    assert_eq!((script.env["A"].as_str(), script.files["/x"].text.as_str()), ("1.0.0", marker.as_str()));
    assert_eq!((script.image.repository.as_str(), script.credentials), ("shop/web", Some(credentials)));
    assert_eq!(secrets.len(), 1);
}

#[test]
fn outputs_of_a_script_reach_later_steps() {
    let (mut world, id) = World::with(request("x", STEPS, targets(1, 1)));
    world.settle();
    world.claim(id, "a@worker", 1);
    let outputs = [("hash".to_owned(), json!("1a"))].into();
    world.write(id, "a@worker", holder("e", 1), TaskEvent::Succeeded { outputs });
    let key = slipway_engine::due(&world.state, id).remove(0);
    let order = slipway_engine::order::doorbell(&world.state, id, &key).unwrap().unwrap().order;
    let Work::DockerJob(job) = order.work else { panic!("{:?}", order.work) };
    assert_eq!(job.env["X"], "1a");
}

#[test]
fn an_image_by_digest_needs_no_package() {
    let digest = format!("sha256:{}", "b".repeat(64));
    let body = format!("steps:\n  - {{name: a, script: {{run: x, image: 'ghcr.io/tools/sh@{digest}'}}}}");
    let (script, secrets) = ordered(request("x", &body, targets(1, 1)));
    assert_eq!(script.image.pinned(), format!("ghcr.io/tools/sh@{digest}"));
    assert_eq!((script.credentials, secrets.len(), script.shell.as_str()), (None, 0, "/bin/sh"));
}

#[test]
fn a_name_that_is_not_known_is_found_wherever_in_a_script_it_is() {
    for keys in [
        "run: '#{X}'",
        "run: x, shell: '#{X}'",
        "run: x, env: {A: '#{X}'}",
        "run: x, files: {/a: '#{X}'}",
        "run: x, workdir: '/#{X}'",
    ] {
        let body = format!("steps:\n  - {{name: a, script: {{{keys}, package: web}}}}");
        let problems = compile(&request("x", &body, targets(1, 1))).unwrap_err();
        assert!(problems[0].contains("unknown variable `X`"), "{keys}: {problems:?}");
    }
}
