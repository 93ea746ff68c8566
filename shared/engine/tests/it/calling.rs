//! Steps of kind `http`: every text in them is a template, wherever it is.

use serde_json::json;
use slipway_domain::{event::TaskEvent, manifest::Http, order::Work, secret};
use slipway_engine::{
    compile::compile,
    preview::{self, Asked},
};

use crate::{
    fixture::{request, targets},
    world::{World, holder},
};

const PROBE: &str = "variables:
  - {name: Token, secret: db}
  - {name: State, value: ready}
steps:
  - {name: web, targets: {role: web}, docker-run: {package: web}}
  - name: check
    needs: [web]
    targets: {role: web}
    http:
      url: \"http://127.0.0.1:#{steps.web.outputs.ports['80']}/#{State}\"
      method: POST
      headers: {Authorization: 'Bearer #{Token}'}
      json: {deep: [{token: '<#{Token}>', n: 1}]}
      expect:
        headers: {X-State: {contains: '#{State}'}}
        json: {state: '#{State}'}
        body-contains: '#{Release}'
";

#[test]
fn the_texts_of_a_call_are_rendered_and_its_secrets_listed() {
    let (mut world, id) = World::with(request("x", PROBE, targets(1, 1)));
    world.settle();
    world.claim(id, "web@web-01", 1);
    let outputs = [("ports".to_owned(), json!({"80": 32768}))].into();
    world.write(id, "web@web-01", holder("e", 1), TaskEvent::Succeeded { outputs });
    let key = slipway_engine::due(&world.state, id).remove(0);
    let order = slipway_engine::order::doorbell(&world.state, id, &key).unwrap().unwrap().order;
    let Work::Http(call) = order.work else { panic!("{:?}", order.work) };
    assert_eq!(call.url, "http://127.0.0.1:32768/ready");
    let marker = order.secrets[0].marker();
    assert_eq!(call.headers["Authorization"], format!("Bearer {marker}"));
    assert_eq!(call.json, Some(json!({"deep": [{"token": format!("<{marker}>"), "n": 1}]})));
    assert_eq!(call.expect.headers["X-State"].text(), "ready");
    assert_eq!(call.expect.json["state"], "ready");
    assert_eq!(call.expect.body_contains.as_deref(), Some("1.0.0"));
    assert_eq!(order.secrets.len(), 1);

    // As it goes over the bus.
    let sent = serde_json::to_string(&Work::Http(call.clone())).unwrap();
    assert_eq!(serde_json::from_str::<Work>(&sent).unwrap(), Work::Http(call));
}

#[test]
fn a_name_that_is_not_known_is_found_wherever_in_a_call_it_is() {
    for keys in [
        "url: 'http://#{X}/'",
        "url: 'http://a', headers: {A: '#{X}'}",
        "url: 'http://a', body: '#{X}'",
        "url: 'https://a', ca: '#{X}'",
        "url: 'http://a', json: [{a: '#{X}'}]",
        "url: 'http://a', expect: {headers: {A: '#{X}'}}",
        "url: 'http://a', expect: {headers: {A: {contains: '#{X}'}}}",
        "url: 'http://a', expect: {json: {a: {b: ['#{X}']}}}",
        "url: 'http://a', expect: {body-contains: '#{X}'}",
    ] {
        let body = format!("steps:\n  - {{name: a, http: {{{keys}}}}}");
        let problems = compile(&request("x", &body, targets(1, 1))).unwrap_err();
        assert!(problems[0].contains("unknown variable `X`"), "{keys}: {problems:?}");
    }
}

#[test]
fn a_plan_shows_a_call_with_its_secrets_by_name() {
    let request = request("x", PROBE, targets(1, 1));
    let plan = compile(&request).unwrap();
    let steps = preview::steps(&Asked::new(request), &plan, |_, _| None).unwrap();
    let shown: Vec<_> =
        steps[1].tasks[0].differences.iter().map(|d| (d.what.as_str(), d.after.as_deref().unwrap())).collect();
    for expected in [
        ("method", "POST"),
        ("headers.Authorization", "Bearer (secret db version 3)"),
        ("expect.json.state", "ready"),
        ("url", "http://127.0.0.1:#{steps.web.outputs.ports['80']}/#{State}"),
    ] {
        assert!(shown.contains(&expected), "{expected:?}: {shown:#?}");
    }
    assert!(shown.iter().all(|(_, text)| secret::referenced(text).is_empty()), "{shown:#?}");
}

#[test]
fn what_a_call_does_not_say_has_its_default() {
    let call: Http = serde_json::from_value(json!({"url": "http://a"})).unwrap();
    assert_eq!((call.method.as_str(), call.timeout.to_string().as_str()), ("GET", "10s"));
    assert!(call.expect.status.contains(204) && !call.expect.status.contains(302));
}
