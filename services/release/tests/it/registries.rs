//! Releases made by hand, and what registries say to that.

use anyhow::Result;
use reqwest::StatusCode;
use serde_json::{Value, json};
use slipway_domain::api::ReleaseView;

use crate::stage::{PASSWORD, Stage};

#[tokio::test]
async fn without_a_tag_the_newest_that_the_channel_takes_is_resolved() -> Result<()> {
    let stage = Stage::start().await?;
    stage.apply(Stage::project(&json!([]))).await?;
    let mut digests = Vec::new();
    for tag in ["1.9.0", "1.10.0", "1.11.0-rc1", "2.0.0", "latest"] {
        digests.push(stage.push(tag, tag).await?);
    }
    let release: ReleaseView = stage.api.post("/api/v1/projects/shop/releases", &json!({})).await?;
    assert_eq!(release.version, "1.10.0");
    assert_eq!(release.packages.values().next().expect("a package").digest.as_str(), digests[1]);
    Ok(())
}

#[tokio::test]
async fn a_registry_that_gives_no_digest_is_named_with_what_to_check() -> Result<()> {
    let mut stage = Stage::start().await?;
    stage.push("1.0.0", "one").await?;
    stage.verdicts("1.0.0", 1).await;
    let (guarded, _process) = stage.guarded().await?;
    let refused = async |stage: &Stage, tag: &str, status: StatusCode, code: &str, text: &str| {
        let body: Value = json!({"packages": {"web": tag}, "version": "1.0.1"});
        let refused = stage.api.refused("/api/v1/projects/shop/releases", &body).await;
        assert_eq!((refused.status, refused.problem.code.as_str()), (status, code), "{}", refused.problem.detail);
        assert!(refused.problem.detail.contains(text), "{}", refused.problem.detail);
        assert!(!refused.problem.detail.contains(PASSWORD), "{}", refused.problem.detail);
    };
    refused(&stage, "1.7.0", StatusCode::UNPROCESSABLE_ENTITY, "unknown-image", "has no shop/web:1.7.0").await;

    let feed = |credentials: Option<&str>| {
        let mut feed = json!({"kind": "Feed", "name": "local", "registry": guarded.address()});
        if let Some(secret) = credentials {
            feed["credentials"] = json!({"username": "reader", "password": {"secret": secret}});
        }
        feed
    };
    stage.apply(feed(None)).await?;
    refused(&stage, "1.0.0", StatusCode::UNPROCESSABLE_ENTITY, "registry-denied", "give the feed `credentials`").await;
    stage.api.put("/api/v1/secrets/wrong", &json!({"value": "not-it"})).await?;
    stage.api.put("/api/v1/secrets/right", &json!({"value": PASSWORD})).await?;
    stage.apply(feed(Some("wrong"))).await?;
    refused(&stage, "1.0.0", StatusCode::UNPROCESSABLE_ENTITY, "registry-denied", "the feed's `credentials`").await;
    stage.apply(feed(Some("right"))).await?;
    let release: ReleaseView = stage.api.post("/api/v1/projects/shop/releases", &json!({"version": "1.0.2"})).await?;
    assert_eq!(release.packages.values().next().expect("a package").tag, "1.0.0");

    let gone = stage.registry.port.address();
    stage.registry.process.kill().await?;
    stage.apply(json!({"kind": "Feed", "name": "local", "registry": gone})).await?;
    refused(&stage, "1.0.0", StatusCode::SERVICE_UNAVAILABLE, "registry-unreachable", "check that it runs").await;
    assert_eq!(stage.releases().await?, ["1.0.2", "1.0.0"]);
    Ok(())
}

#[tokio::test]
async fn a_registry_with_an_authority_of_its_own_is_believed_by_that_alone() -> Result<()> {
    let stage = Stage::start().await?;
    let digest = stage.push("1.0.0", "one").await?;
    stage.verdicts("1.0.0", 1).await;
    let (private, _process, ca) = stage.private_of("private").await?;
    let feed = |ca: &std::path::Path| json!({"kind": "Feed", "name": "local", "registry": private.address(), "ca": ca});
    let body = json!({"packages": {"web": "1.0.0"}, "version": "1.0.1"});
    let path = "/api/v1/projects/shop/releases";
    let stranger = stage.folder.path().join("stranger.pem");
    for (file, content, text) in [
        (&stage.folder.path().join("nowhere.pem"), None, "can not be read: No such file"),
        (&stranger, Some("nothing of the kind"), "there is none in the file"),
    ] {
        content.map(|content| std::fs::write(file, content)).transpose()?;
        stage.apply(feed(file)).await?;
        let refused = stage.api.refused(path, &body).await;
        assert_eq!(refused.problem.code, "registry-unreachable", "{}", refused.problem.detail);
        assert!(refused.problem.detail.contains(text), "{}", refused.problem.detail);
    }
    // The file is read again when it has changed: now it is an authority, and the wrong one.
    let (_other, _process, other) = stage.private_of("other").await?;
    std::fs::copy(other, &stranger)?;
    let refused = stage.api.refused(path, &body).await;
    assert_eq!(refused.problem.code, "registry-unreachable", "{}", refused.problem.detail);
    assert!(refused.problem.detail.to_lowercase().contains("certificate"), "{}", refused.problem.detail);
    std::fs::copy(&ca, &stranger)?;
    let release: ReleaseView = stage.api.post(path, &body).await?;
    assert_eq!(release.packages.values().next().expect("a package").digest.as_str(), digest);
    Ok(())
}
