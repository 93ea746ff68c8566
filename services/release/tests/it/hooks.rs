//! What a sender is told, and what becomes of its token.

use anyhow::Result;
use reqwest::{Method, StatusCode, header};
use slipway_integration_tests::client::refusal;

use crate::stage::{AUTHORIZATION, Stage, event};

const ENVELOPE: &str = "application/vnd.docker.distribution.events.v1+json";

#[tokio::test]
async fn a_wrong_delivery_is_answered_by_what_is_wrong_with_it_and_not_kept() -> Result<()> {
    let stage = Stage::start().await?;
    let right = stage.hook.as_str();
    let elsewhere = right.replace("distribution", "harbor");
    let large = format!("{{\"events\": [], \"padding\": \"{}\"}}", "x".repeat(1 << 20));
    let rows: [(&str, &str, &str, &str, u16, &str); 8] = [
        ("/hooks/distribution/none", AUTHORIZATION, ENVELOPE, "{", 401, "unknown-webhook-token"),
        (&elsewhere, AUTHORIZATION, ENVELOPE, "{", 404, "wrong-webhook-source"),
        (right, "Bearer x", ENVELOPE, "{", 401, "webhook-authorization"),
        (right, "", ENVELOPE, "{", 401, "webhook-authorization"),
        (right, AUTHORIZATION, "text/plain", r#"{"events": []}"#, 415, "wrong-content-type"),
        (right, AUTHORIZATION, ENVELOPE, r#"{"events": "#, 400, "malformed-body"),
        (right, AUTHORIZATION, "application/json", "[]", 400, "malformed-body"),
        (right, AUTHORIZATION, ENVELOPE, &large, 413, "body-too-large"),
    ];
    let anonymous = stage.api.with_token(None);
    for (path, authorization, content_type, body, status, code) in rows {
        let mut request = anonymous.request(Method::POST, path).header(header::CONTENT_TYPE, content_type);
        if !authorization.is_empty() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let refused = refusal(request.body(body.to_owned())).await?;
        assert_eq!(
            (refused.status.as_u16(), refused.problem.code.as_str()),
            (status, code),
            "{content_type} {body:.40}"
        );
        assert!(!refused.problem.detail.contains("swh_"), "{}", refused.problem.detail);
    }
    assert_eq!(stage.pushes().await?, []);
    Ok(())
}

#[tokio::test]
async fn a_delivery_that_is_ignored_is_accepted_and_kept() -> Result<()> {
    let stage = Stage::start().await?;
    let mut pull = event("shop/web", "1.0.0", "sha256:0");
    pull["action"] = "pull".into();
    assert_eq!(stage.deliver(&[pull]).await?.status(), StatusCode::ACCEPTED);
    assert_eq!(stage.deliver(&[]).await?.status(), StatusCode::ACCEPTED);
    let ignored = slipway_integration_tests::wait::until("both are kept", || async {
        let pushes = stage.pushes().await.unwrap_or_default();
        if pushes.len() == 2 && pushes.iter().all(|push| push.done) { Ok(pushes) } else { Err(pushes) }
    })
    .await;
    assert_eq!(ignored[1].images[0].reason, "the action is `pull`, not `push`");
    Ok(())
}

#[tokio::test]
async fn a_replaced_token_stops_working_and_no_token_is_written_anywhere() -> Result<()> {
    let stage = Stage::start().await?;
    stage.push("1.0.0", "one").await?;
    stage.verdicts("1.0.0", 1).await;
    let _: serde_json::Value = stage.api.post("/api/v1/webhooks/pushes/token", &serde_json::json!({})).await?;
    assert_eq!(stage.deliver(&[]).await?.status(), StatusCode::UNAUTHORIZED);
    let token = stage.hook.rsplit('/').next().expect("a token").as_bytes().to_vec();
    let mut folders = vec![stage.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("registry.yml") {
                let bytes = std::fs::read(&path)?;
                assert!(!bytes.windows(token.len()).any(|part| part == token), "{} holds the token", path.display());
            }
        }
    }
    Ok(())
}
