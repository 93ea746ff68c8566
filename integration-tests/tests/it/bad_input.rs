//! Wrong input is answered with a clear problem and changes nothing.

use anyhow::Result;
use reqwest::Method;
use slipway_domain::api::{DeploymentSummary, PushView, ReleaseView};
use slipway_integration_tests::{
    shop,
    stack::{REGISTRY_SECRET, Stack, Wanted},
    wait,
};

#[tokio::test]
async fn a_manifest_that_is_wrong_is_refused_with_its_place_and_its_reason() -> Result<()> {
    let stack = Stack::start().await?;
    let check = async |manifests: &str, parts: &[&str]| -> Result<()> {
        let (code, text) = stack.try_apply(manifests).await?;
        assert!(code != 0, "was taken: {manifests}\n{text}");
        for part in parts {
            assert!(text.contains(part), "`{part}` is missing from:\n{text}");
        }
        let environments: Vec<serde_json::Value> = stack.admin.get("/api/v1/environments").await?;
        assert!(environments.is_empty(), "changed something: {environments:?}");
        Ok(())
    };
    let lifecycle =
        "kind: Environment\nname: test\n---\nkind: Lifecycle\nname: l\nphases: [{name: T, environments: [test]}]\n";
    check("kind: Environment\nname: test\nqueu: wait\n", &["queu", ":3"]).await?;
    check("kind: Environment\nname: Test!\n", &["Test!", "environment name"]).await?;
    check("kind: Environmint\nname: test\n", &["Environmint"]).await?;
    check("kind: Environment\nname: [\n", &["manifests-"]).await?;
    check(
        &format!("{lifecycle}---\nkind: Project\nname: p\nlifecycle: nowhere\nsteps: [{{name: a, wait: 1s}}]\n"),
        &["nowhere"],
    )
    .await?;
    let cycle = "steps:\n  - {name: a, needs: [b], wait: 1s}\n  - {name: b, needs: [a], wait: 1s}\n  \
                 - {name: c, needs: [d], wait: 1s}\n  - {name: d, needs: [c], wait: 1s}\n";
    check(&format!("{lifecycle}---\nkind: Project\nname: p\nlifecycle: l\n{cycle}"), &["a -> b -> a", "c -> d -> c"])
        .await?;
    Ok(())
}

#[tokio::test]
async fn an_image_that_is_not_there_and_a_registry_that_is_not_there_are_told_apart() -> Result<()> {
    let stack = Stack::start().await?;
    let registry = slipway_integration_tests::ports::reserve()?;
    let project = stack.name("p");
    let manifests = format!(
        "kind: Feed\nname: gone\nregistry: {}\nplain-http: true\n---\nkind: Environment\nname: test\n---\n\
         kind: Lifecycle\nname: l\nphases: [{{name: T, environments: [test]}}]\n---\nkind: Project\nname: {project}\n\
         lifecycle: l\npackages: {{web: {{feed: gone, image: shop/web}}}}\nsteps: [{{name: pause, wait: 1s}}]\n",
        registry.address()
    );
    stack.apply(&manifests).await?;
    let path = format!("/api/v1/projects/{project}/releases");
    let body = serde_json::json!({ "packages": { "web": "1.0.0" } });

    let refused = stack.admin.refused(&path, &body).await;
    assert!(refused.problem.detail.contains(&registry.address()), "names the registry: {refused:?}");
    let unreachable = refused.problem.code;

    stack.secret("unused", "x").await?;
    let notify = slipway_integration_tests::registry::Notify {
        url: format!("{}/hooks/distribution/none", stack.url("release")),
        authorization: "x".to_owned(),
    };
    let _registry =
        slipway_integration_tests::registry::Registry::start(stack.folder.path(), registry, &notify).await?;
    let refused = stack.admin.refused(&path, &body).await;
    assert!(refused.status.is_client_error(), "{refused:?}");
    assert!(refused.problem.detail.contains("1.0.0"), "names the tag: {refused:?}");
    assert_ne!(refused.problem.code, unreachable);

    let releases: Vec<ReleaseView> = stack.admin.get(&path).await?;
    assert!(releases.is_empty(), "{releases:?}");
    let refused = stack.admin.refused("/api/v1/projects/nothing/releases", &body).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_webhook_is_believed_only_with_its_token_and_what_the_registry_confirms() -> Result<()> {
    shop::with(
        Wanted::default(),
        |m| m,
        async |shop| {
            let registry = shop.stack.registry.as_ref().expect("the shop has a registry").port.address();
            let event = serde_json::json!({"events": [{
                "id": "1", "timestamp": "2026-01-01T00:00:00Z", "action": "push",
                "target": {
                    "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "size": 1,
                    "digest": "sha256:0000000000000000000000000000000000000000000000000000000000000000",
                    "repository": "shop/web", "tag": "1.5.0", "url": "http://evil.example/x"
                },
                "request": {"host": registry}
            }]})
            .to_string();
            let plain = reqwest::Client::builder().no_proxy().build()?;
            let send = async |url: &str, authorization: Option<&str>, body: &str| -> Result<u16> {
                let media = "application/vnd.docker.distribution.events.v1+json";
                let mut request = plain.post(url).header("content-type", media).body(body.to_owned());
                if let Some(value) = authorization {
                    request = request.header("authorization", value);
                }
                Ok(request.send().await?.status().as_u16())
            };
            let wrong = format!("{}/hooks/distribution/wrong", shop.stack.url("release"));
            assert_eq!(send(&wrong, Some(REGISTRY_SECRET), &event).await?, 401, "a wrong token");
            assert_eq!(send(&shop.webhook, None, &event).await?, 401, "no Authorization header");
            assert_eq!(send(&shop.webhook, Some("Bearer wrong"), &event).await?, 401, "a wrong Authorization header");
            assert_eq!(send(&shop.webhook, Some(REGISTRY_SECRET), "{\"events\":").await?, 400, "malformed JSON");
            let pushes: Vec<PushView> = shop.stack.admin.get("/api/v1/pushes").await?;
            assert!(pushes.iter().all(|push| push.images.iter().all(|image| image.ignored)), "{pushes:?}");

            assert!(
                (200..300).contains(&send(&shop.webhook, Some(REGISTRY_SECRET), &event).await?),
                "a proper delivery"
            );
            wait::until("the delivery of an image that is not there is dealt with", || async {
                let pushes: Vec<PushView> = shop.stack.admin.get("/api/v1/pushes").await?;
                let told =
                    |p: &&PushView| p.done && p.images.iter().any(|i| i.tag.as_deref() == Some("1.5.0") && i.ignored);
                anyhow::ensure!(pushes.iter().any(|push| told(&push)), "{pushes:#?}");
                Ok(())
            })
            .await;
            let path = format!("/api/v1/projects/{}/releases", shop.project());
            let releases: Vec<ReleaseView> = shop.stack.admin.get(&path).await?;
            assert!(releases.is_empty(), "{releases:?}");
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn requests_that_make_no_sense_are_problems_and_change_nothing() -> Result<()> {
    let stack = Stack::start().await?;
    let nobody = stack.admin.with_token(None);
    let answer = nobody.request(Method::GET, "/api/v1/board").send().await?;
    assert_eq!(answer.status(), 401);
    let forged = stack.admin.with_token(Some("slp_forged".to_owned()));
    assert_eq!(forged.request(Method::GET, "/api/v1/board").send().await?.status(), 401);

    let malformed = stack.admin.request(Method::POST, "/api/v1/deployments").header("content-type", "application/json");
    let refused = slipway_integration_tests::client::refusal(malformed.body("{\"project\":")).await?;
    assert!(refused.status.is_client_error(), "{refused:?}");
    let unknown = serde_json::json!({ "project": "p", "version": "1", "environment": "e", "force": true });
    let refused = stack.admin.refused("/api/v1/deployments", &unknown).await;
    assert!(refused.problem.detail.contains("force"), "{refused:?}");
    let body = serde_json::json!({ "project": "p", "version": "1", "environment": "e" });
    let refused = stack.admin.refused("/api/v1/deployments", &body).await;
    assert_eq!(refused.status, 404, "{refused:?}");

    let all: Vec<DeploymentSummary> = stack.admin.get("/api/v1/deployments").await?;
    assert!(all.is_empty(), "{all:?}");
    Ok(())
}
