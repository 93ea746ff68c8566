//! `http`: calls that are made as they are written, and answers that are as expected or not.

use anyhow::Result;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use slipway_domain::{
    event::{Entry, FailureKind, TaskEvent},
    order::Work,
};
use slipway_integration_tests::{failpoints, machine, ports, process::Process, wait};

use crate::{
    run::container,
    server::{Asked, Server},
    stage::{Ask, Stage},
};

const SECRET: &str = "canary \"hunter2\" /canary";

fn call(stage: &Stage, call: Value) -> Ask {
    stage.ask("call", Work::Http(serde_json::from_value(call).expect("a call")))
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Option<Response> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    Some(answer.body(body.to_owned()).expect("an answer").into_response())
}

fn ok(_: usize, _: &Asked) -> Option<Response> {
    answer(200, &[], "ok")
}

fn json_answer(_: usize, _: &Asked) -> Option<Response> {
    let headers = [("content-type", "application/problem+json"), ("x-version", "1.2"), ("set-cookie", "session=1")];
    answer(201, &headers, r#"{"state": {"ready": true, "count": 3}, "items": [{"name": "a"}]}"#)
}

#[tokio::test]
async fn a_call_is_made_as_it_is_written_and_its_answer_is_given_on() -> Result<()> {
    let (stage, server) = (Stage::start().await?, Server::start(json_answer).await?);
    let (reference, marker) = stage.secret("token", SECRET);
    let mut ask = call(
        &stage,
        json!({
            "url": format!("{}/things?x=1", server.url), "method": "POST",
            "headers": {"Authorization": format!("Bearer {marker}"), "X-Own": "a"},
            "json": {"text": format!("<{marker}>"), "list": [1, null, true]},
            "expect": {
                "status": [200, "2xx"],
                "headers": {"X-Version": "1.2", "Content-Type": {"contains": "json"}},
                "json": {"state.ready": true, "state.count": "3", "items.0.name": "a", "/items/0": {"name": "a"}},
                "body-contains": "ready",
            },
        }),
    );
    ask.order.secrets.push(reference);
    let outputs = stage.succeed(&ask).await?;
    let [asked] = &server.asked()[..] else { panic!("{:?}", server.asked()) };
    assert_eq!((asked.method.as_str(), asked.uri.to_string().as_str()), ("POST", "/things?x=1"));
    assert_eq!(asked.header("authorization"), format!("Bearer {SECRET}"));
    assert_eq!((asked.header("x-own"), asked.header("content-type")), ("a", "application/json"));
    assert_eq!(asked.header("idempotency-key"), format!("{}/call/web-01", ask.id));
    assert_eq!(asked.header("traceparent").len(), 55, "{:?}", asked.headers);
    let sent: Value = serde_json::from_str(&asked.body)?;
    assert_eq!(sent, json!({"text": format!("<{SECRET}>"), "list": [1, null, true]}));

    assert_eq!((&outputs["status"], &outputs["tries"]), (&json!(201), &json!(1)));
    assert_eq!(outputs["headers"]["x-version"], "1.2");
    assert_eq!(outputs["headers"]["set-cookie"], Value::Null, "cookies are for the caller");
    assert_eq!(outputs["json"]["items"][0]["name"], "a");
    assert!(outputs["body"].as_str().unwrap().starts_with("{\"state\""), "{outputs:?}");
    assert!(outputs["duration_ms"].is_u64(), "{outputs:?}");
    Ok(())
}

#[tokio::test]
async fn each_expectation_that_is_not_met_is_told_with_what_was_seen() -> Result<()> {
    let (stage, server) = (Stage::start().await?, Server::start(json_answer).await?);
    for (expect, told) in [
        (json!({"status": 200}), "status: expected 200, seen 201 Created"),
        (json!({"status": [200, "4xx"]}), "status: expected 200 or 4xx, seen 201 Created"),
        (json!({"headers": {"X-Version": "1.3"}}), "header X-Version: expected \"1.3\", seen \"1.2\""),
        (json!({"headers": {"X-Version": {"contains": "3"}}}), "header X-Version: expected \"3\" in it, seen \"1.2\""),
        (json!({"headers": {"X-Other": "1"}}), "header X-Other: expected \"1\", seen none"),
        (json!({"json": {"state.ready": false}}), "json state.ready: expected false, seen true"),
        (json!({"json": {"state.gone": 1}}), "json state.gone: expected 1, seen nothing there"),
        (json!({"body-contains": "absent"}), "body: expected \"absent\" in it, not seen"),
        (json!({"status": 200, "body-contains": "absent"}), "seen 201 Created; body: expected \"absent\""),
    ] {
        let failure = stage.fail(&call(&stage, json!({"url": server.url, "expect": expect}))).await?;
        assert!(failure.message.starts_with("the answer is not as expected: "), "{}", failure.message);
        assert!(failure.message.contains(told), "{told}: {}", failure.message);
        assert!(failure.message.contains("its body begins: {\"state\": {\"ready\""), "{}", failure.message);
    }
    let plain = Server::start(|_, _| answer(503, &[], "")).await?;
    let failure = stage.fail(&call(&stage, json!({"url": plain.url, "expect": {"json": {"a": 1}}}))).await?;
    assert_eq!(
        failure.message,
        "the answer is not as expected: status: expected 2xx, seen 503 Service Unavailable; \
         json a: expected 1, seen a body that is not JSON; its body is empty"
    );
    assert_eq!(plain.asked().len(), 1, "nothing is asked again by itself");
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_reached_is_told_clearly() -> Result<()> {
    let stage = Stage::start().await?;
    let silent = Server::start(|_, _| None).await?;
    let free = ports::reserve()?;
    for (asked, told) in [
        (json!({"url": format!("http://{}/x", free.address())}), "connection refused: nothing listens at 127.0.0.1:"),
        (json!({"url": "http://no-such-host.invalid/"}), "the name no-such-host.invalid can not be resolved"),
        (json!({"url": silent.url, "timeout": "300ms"}), "no answer within 300ms"),
        (json!({"url": "https://127.0.0.1:1/"}), "https can not be spoken"),
        (json!({"url": "https://127.0.0.1:1/", "ca": "/no/such/file"}), "the certificates of `ca: /no/such/file`"),
    ] {
        let failure = stage.fail(&call(&stage, asked)).await?;
        assert_eq!(failure.kind, FailureKind::Step);
        assert!(failure.message.contains(told), "{told}: {}", failure.message);
    }
    for (url, told) in [("ftp://a.org/", "`ftp` is not spoken here"), ("a.org/x", "write a whole URL")] {
        let failure = stage.fail(&call(&stage, json!({"url": url}))).await?;
        assert_eq!(failure.kind, FailureKind::Order, "no retry can cure it");
        assert!(failure.message.contains(told), "{told}: {}", failure.message);
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_believed_if_its_authority_is_named() -> Result<()> {
    let stage = Stage::start().await?;
    let path = |name: &str| stage.folder.path().join(name).to_string_lossy().into_owned();
    let (certificate, key, port) = (path("server.pem"), path("server.key"), ports::reserve()?);
    let (authority, authority_key) = (path("ca.pem"), path("ca.key"));
    let fresh = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let own = ["-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", &authority_key, "-out", &authority];
    machine::run("openssl", &[&fresh[..], &own].concat()).await?;
    let wanted = ["-subj", "/CN=server", "-keyout", &key, "-out", &path("wanted.csr")];
    machine::run("openssl", &[&fresh[..], &wanted].concat()).await?;
    std::fs::write(path("names"), "subjectAltName=IP:127.0.0.1\n")?;
    let signed = ["x509", "-req", "-days", "2", "-CA", &authority, "-CAkey", &authority_key, "-CAcreateserial"];
    let asked = ["-in", &path("wanted.csr"), "-extfile", &path("names"), "-out", &certificate];
    machine::run("openssl", &[&signed[..], &asked].concat()).await?;
    let mut server = Process::new("https", "openssl".into(), stage.folder.path());
    for argument in ["s_server", "-www", "-accept", &port.address(), "-cert", &certificate, "-key", &key] {
        server = server.arg(argument);
    }
    server.start()?;
    let url = format!("https://{}/", port.address());
    let until = json!({"within": "20s", "every": "100ms"});
    let good = call(&stage, json!({"url": url, "ca": authority, "retry-until": until}));
    let outputs = stage.succeed(&good).await?;
    assert_eq!(outputs["status"], 200);

    let other = ["-x509", "-days", "2", "-subj", "/CN=other", "-keyout", &key, "-out", &path("other.pem")];
    machine::run("openssl", &[&fresh[..], &other].concat()).await?;
    let failure = stage.fail(&call(&stage, json!({"url": url, "ca": path("other.pem")}))).await?;
    assert!(failure.message.contains("is not believed: "), "{}", failure.message);
    assert!(failure.message.contains("as `ca`"), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn a_probe_asks_until_the_answer_is_good_and_not_for_ever() -> Result<()> {
    let stage = Stage::start().await?;
    let server =
        Server::start(|n, _| if n < 3 { answer(503, &[], "starting") } else { answer(200, &[], "up") }).await?;
    let until = json!({"within": "30s", "every": "50ms"});
    let ask = call(&stage, json!({"url": server.url, "retry-until": until}));
    let outputs = stage.succeed(&ask).await?;
    assert_eq!((&outputs["tries"], &outputs["body"]), (&json!(3), &json!("up")));
    stage.until_printed(&ask, "asking again every 50ms").await;

    let never = call(
        &stage,
        json!({"url": format!("http://{}/", ports::reserve()?.address()), "retry-until": {"within": "300ms", "every": "100ms"}}),
    );
    let failure = stage.fail(&never).await?;
    assert!(failure.message.starts_with("not as expected within 300ms, asked "), "{}", failure.message);
    assert!(failure.message.contains("connection refused"), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn a_probe_asks_the_container_of_an_earlier_step() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.page("web", "hello", true).await?;
    let web = stage.succeed(&stage.ask("web", Work::DockerRun(container(image, None)))).await?;
    let url = format!("http://127.0.0.1:{}/healthz", web["ports"]["80"]);
    let outputs = stage.succeed(&call(&stage, json!({"url": url, "expect": {"body-contains": "ok"}}))).await?;
    assert_eq!(outputs["status"], 200);
    Ok(())
}

/// The executor dies while a call is under way; what the next one does, and how often the server was asked.
async fn after_a_loss(stage: &mut Stage, asked: Value) -> Result<(TaskEvent, Vec<Asked>)> {
    let server = Server::start(|n, _| if n == 1 { None } else { answer(200, &[], "ok") }).await?;
    let mut asked = asked;
    asked["url"] = server.url.clone().into();
    asked["timeout"] = "60s".into();
    let ask = call(stage, asked);
    stage.ring(&ask).await?;
    server.until_asked(1).await;
    stage.lose_executor(&ask).await?;
    stage.start_executor().await?;
    let end = stage.perform(&ask.adopted()).await?;
    Ok((end, server.asked()))
}

#[tokio::test]
async fn what_changes_something_is_not_sent_again_after_a_loss_unless_that_does_no_harm() -> Result<()> {
    let mut stage = Stage::start().await?;
    for method in ["POST", "PATCH"] {
        let (end, asked) = after_a_loss(&mut stage, json!({"method": method})).await?;
        let TaskEvent::Unknown { reason } = end else { panic!("{method}: {end:?}") };
        assert!(reason.contains("nobody knows whether it was carried out"), "{reason}");
        assert_eq!(asked.len(), 1, "{method}");
    }
    for call in [json!({"method": "PUT"}), json!({"method": "DELETE"}), json!({"method": "POST", "idempotent": true})] {
        let (end, asked) = after_a_loss(&mut stage, call.clone()).await?;
        assert!(matches!(end, TaskEvent::Succeeded { .. }), "{call}: {end:?}");
        assert_eq!(asked.len(), 2, "{call}");
        assert_eq!(asked[0].header("idempotency-key"), asked[1].header("idempotency-key"), "{call}");
    }
    Ok(())
}

#[tokio::test]
async fn a_call_that_the_lost_holder_had_not_begun_is_made() -> Result<()> {
    let mut stage = Stage::start().await?;
    let server = Server::start(ok).await?;
    for (point, calls) in [("worker.claimed.after", 1), ("worker.checkpoint.before", 1), ("executor.http.before", 0)] {
        let before = server.asked().len();
        stage.executor.kill().await?;
        stage.executor.set(failpoints::VARIABLE, Some(point));
        stage.start_executor().await?;
        let ask = call(&stage, json!({"url": server.url, "method": "POST"}));
        stage.ring(&ask).await?;
        stage.until_dead().await;
        stage.executor.set(failpoints::VARIABLE, None);
        stage.lose_executor(&ask).await?;
        stage.start_executor().await?;
        let end = stage.perform(&ask.adopted()).await?;
        // Between checkpoint and call nobody can tell.
        assert_eq!(matches!(end, TaskEvent::Unknown { .. }), calls == 0, "{point}: {end:?}");
        assert_eq!(server.asked().len() - before, calls, "{point}");
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_attempt_is_made_again_by_retry_with_the_same_key() -> Result<()> {
    let mut stage = Stage::start().await?;
    let server = Server::start(|n, _| answer(if n == 1 { 500 } else { 200 }, &[], "")).await?;
    let ask = call(&stage, json!({"url": server.url, "method": "POST"}));
    stage.fail(&ask).await?;
    // The second attempt is lost before it calls: what the first one did has been told.
    stage.executor.kill().await?;
    stage.executor.set(failpoints::VARIABLE, Some("worker.claimed.after"));
    stage.start_executor().await?;
    let second = ask.again();
    stage.ring(&second).await?;
    stage.until_dead().await;
    stage.executor.set(failpoints::VARIABLE, None);
    stage.lose_executor(&second).await?;
    stage.start_executor().await?;
    stage.succeed(&second.adopted()).await?;
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].header("idempotency-key"), asked[1].header("idempotency-key"));
    Ok(())
}

#[tokio::test]
async fn redirects_are_followed_if_wanted_and_show_secrets_to_nobody_else() -> Result<()> {
    let stage = Stage::start().await?;
    let end = Server::start(ok).await?;
    let (to, elsewhere) = ("/there", format!("{}/there", end.url));
    let hop = elsewhere.clone();
    let server = Server::start(move |_, asked| match asked.uri.path() {
        "/within" => answer(302, &[("location", to)], ""),
        "/away" => answer(302, &[("location", &hop)], ""),
        "/circle" => answer(302, &[("location", "/circle")], ""),
        _ => answer(200, &[], "here"),
    })
    .await?;
    let ask = |path: &str, follow: bool| {
        call(&stage, json!({"url": format!("{}{path}", server.url), "follow-redirects": follow}))
    };
    let failure = stage.fail(&ask("/within", false)).await?;
    assert!(failure.message.contains("seen 302 Found to \"/there\""), "{}", failure.message);
    assert_eq!(stage.succeed(&ask("/within", true)).await?["body"], "here");
    assert_eq!(stage.succeed(&ask("/away", true)).await?["body"], "ok");
    assert!(stage.fail(&ask("/circle", true)).await?.message.contains("redirects more than 10 times"));

    let (reference, marker) = stage.secret("token", SECRET);
    let before = end.asked().len();
    for (path, good) in [("/within", true), ("/away", false)] {
        let mut ask = ask(path, true);
        let Work::Http(http) = &mut ask.order.work else { panic!() };
        http.headers.insert("X-Token".into(), marker.clone());
        ask.order.secrets.push(reference.clone());
        match stage.perform(&ask).await? {
            TaskEvent::Succeeded { .. } => assert!(good, "{path}"),
            TaskEvent::Failed { cause } => assert!(!good && cause.message.contains(&elsewhere), "{}", cause.message),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(end.asked().len(), before, "the other host was not asked");
    Ok(())
}

#[tokio::test]
async fn secrets_are_seen_by_the_server_alone() -> Result<()> {
    let stage = Stage::start().await?;
    // Says back whatever it was told, in every place, with the secret across the end of what is kept.
    let server = Server::start(|_, asked| {
        let token = asked.header("x-token");
        let said = token.replace('"', "\\\"");
        let (before, after) = ("x".repeat(65478), "y".repeat(200));
        let body = format!("{{\"said\": \"{said}\", \"long\": \"{before}{token}{after}\"}}");
        answer(200, &[("x-token", token), ("content-type", "application/json")], &body)
    })
    .await?;
    let (reference, marker) = stage.secret("token", SECRET);
    let words = |expect: Value| {
        let mut ask = call(
            &stage,
            json!({
                "url": format!("{}/{marker}?t={marker}", server.url), "method": "POST",
                "headers": {"X-Token": marker}, "body": marker, "expect": expect,
            }),
        );
        ask.order.secrets.push(reference.clone());
        ask
    };
    let good = words(json!({"headers": {"X-Token": marker}, "body-contains": "said"}));
    let outputs = stage.succeed(&good).await?;
    assert_eq!(outputs["headers"]["x-token"], "***");
    assert_eq!(outputs["truncated"], true);
    let bad = words(json!({"status": 204, "headers": {"X-Token": format!("{marker}!")}, "json": {"said": marker}}));
    let failure = stage.fail(&bad).await?;
    let asked = server.asked();
    assert_eq!((asked[0].header("x-token"), asked[0].body.as_str()), (SECRET, SECRET));

    let mut seen = format!("{}{}{}", serde_json::to_string(&outputs)?, failure.message, stage.executor.output());
    for ask in [&good, &bad] {
        seen += &format!("{:?}{:?}", stage.logs(ask).await, events(&stage, ask).await?);
    }
    assert!(seen.contains("about to") || seen.contains("Checkpoint"), "the checkpoint is looked at too");
    for part in ["hunter2", "canary", "%22hunter"] {
        assert!(!seen.contains(part), "{part}: {}", &seen[seen.find(part).unwrap().saturating_sub(300)..]);
    }
    Ok(())
}

/// What the log has about a task.
async fn events(stage: &Stage, ask: &Ask) -> Result<Vec<TaskEvent>> {
    let (mut events, mut at) = (Vec::new(), 0);
    while let Some(recorded) = stage.bus.after(&ask.address(), at).await? {
        at = recorded.seq;
        if let Entry::Task(envelope) = recorded.entry {
            events.extend(envelope.events);
        }
    }
    Ok(events)
}

#[tokio::test]
async fn a_cancel_ends_a_call_that_is_not_answered() -> Result<()> {
    let stage = Stage::start().await?;
    let server = Server::start(|_, _| None).await?;
    let ask = call(&stage, json!({"url": server.url, "timeout": "100s"}));
    let head = stage.ring(&ask).await?;
    server.until_asked(1).await;
    stage.cancel(&ask).await?;
    assert_eq!(stage.end(&ask, head).await?, TaskEvent::Cancelled);
    let stop = Ask { stop: true, ..ask.adopted() };
    assert_eq!(stage.perform(&stop).await?, TaskEvent::Cancelled);
    wait::until("the server was asked once", || async {
        let asked = server.asked().len();
        if asked == 1 { Ok(()) } else { Err(asked) }
    })
    .await;
    Ok(())
}
