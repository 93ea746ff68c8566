//! From a delivery to a verdict, a release and a deployment.

use anyhow::Result;
use reqwest::StatusCode;
use serde_json::json;
use slipway_domain::api::{PushView, ReleaseView};
use slipway_integration_tests::wait;

use crate::stage::{IMAGE, Stage, event};

const OTHER: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[tokio::test]
async fn a_pushed_image_becomes_a_release_and_is_deployed_to_the_automatic_environment() -> Result<()> {
    let stage = Stage::start().await?;
    let digest = stage.push("v1.0", "one").await?;
    let verdict = &stage.verdicts("v1.0", 1).await[0];
    assert_eq!((verdict.ignored, verdict.reason.as_str()), (false, "release v1.0 of shop"));
    let release: ReleaseView = stage.api.get("/api/v1/projects/shop/releases/v1.0").await?;
    let image = &release.packages.values().next().expect("a package");
    assert_eq!((image.digest.as_str(), image.tag.as_str()), (digest.as_str(), "v1.0"));
    assert_eq!((release.created_by.to_string(), release.channel.as_str()), ("trigger push".to_owned(), "stable"));
    let deployed = wait::until("the deployment is in the list", || async {
        let deployments = stage.deployments().await.unwrap_or_default();
        if deployments.is_empty() { Err("none") } else { Ok(deployments) }
    });
    assert_eq!(deployed.await, ["v1.0 staging by trigger lifecycle"]);
    Ok(())
}

#[tokio::test]
async fn what_the_channel_does_not_take_is_ignored_with_the_rule_that_says_so() -> Result<()> {
    let stage = Stage::start().await?;
    for (tag, reason) in [
        ("latest", "shop: channel stable does not take it: `latest` is not a version"),
        ("2.0", "2.0 is not in the range [1.0,2.0)"),
        ("1.1-rc1", "the pre-release `rc1` does not match ^$"),
    ] {
        stage.push(tag, tag).await?;
        let verdict = &stage.verdicts(tag, 1).await[0];
        assert!(verdict.ignored && verdict.reason.contains(reason), "{tag}: {}", verdict.reason);
    }
    assert_eq!(stage.releases().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn nothing_is_believed_before_the_registry_confirmed_it() -> Result<()> {
    let stage = Stage::start().await?;
    let digest = stage.push("1.0.0", "one").await?;
    stage.verdicts("1.0.0", 1).await;
    for (repository, tag, announced, reason) in [
        (IMAGE, "1.9.9", digest.as_str(), "has no shop/web:1.9.9"),
        (IMAGE, "1.0.0", OTHER, "tag was moved: the registry now has"),
        ("other/app", "1.3.0", digest.as_str(), "no project has a push trigger for other/app"),
        (IMAGE, "1.5/../../x", digest.as_str(), "is not a version"),
    ] {
        let answer = stage.deliver(&[event(repository, tag, announced)]).await?;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let verdict = stage.verdicts(tag, 1).await.pop().expect("a verdict");
        let verdict = if tag == "1.0.0" { stage.verdicts(tag, 2).await.pop().expect("a verdict") } else { verdict };
        assert!(verdict.ignored && verdict.reason.contains(reason), "{tag}: {}", verdict.reason);
    }
    assert_eq!(stage.releases().await?, ["1.0.0"]);
    Ok(())
}

#[tokio::test]
async fn the_same_image_again_changes_nothing_and_a_moved_tag_changes_no_release() -> Result<()> {
    let stage = Stage::start().await?;
    let first = stage.push("1.0.0", "one").await?;
    stage.verdicts("1.0.0", 1).await;
    stage.deliver(&[event(IMAGE, "1.0.0", &first)]).await?;
    let again = stage.verdicts("1.0.0", 2).await.pop().expect("a verdict");
    assert_eq!(again.reason, "shop: release 1.0.0 is there already, with this image");
    stage.push("1.0.0", "two").await?;
    let moved = stage.verdicts("1.0.0", 3).await.pop().expect("a verdict");
    assert!(moved.reason.starts_with(&format!("shop: tag was moved: release 1.0.0 has {first}")), "{}", moved.reason);
    let release: ReleaseView = stage.api.get("/api/v1/projects/shop/releases/1.0.0").await?;
    assert_eq!(release.packages.values().next().expect("a package").digest.as_str(), first);
    assert_eq!(stage.deployments().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn versions_that_count_on_count_each_image_once_also_at_the_same_moment() -> Result<()> {
    let stage = Stage::start().await?;
    let mut project = Stage::project(&json!([{"on": "push", "packages": ["web"], "channel": "stable"}]));
    project["version"] = "#{Last.Major}.#{Last.Minor}.#{Next.Patch}".into();
    stage.apply(project).await?;
    let first = stage.push("1.0.0", "one").await?;
    assert_eq!(stage.verdicts("1.0.0", 1).await[0].reason, "release 0.0.1 of shop");
    stage.deliver(&[event(IMAGE, "1.0.0", &first)]).await?;
    assert!(stage.verdicts("1.0.0", 2).await.iter().all(|verdict| verdict.reason == "release 0.0.1 of shop"));
    for (tag, content, version) in [("1.0.1", "two", "0.0.2"), ("1.0.2", "three", "0.0.3")] {
        stage.push(tag, content).await?;
        assert_eq!(stage.verdicts(tag, 1).await[0].reason, format!("release {version} of shop"));
    }
    let make = async |tag: &str| -> Result<ReleaseView> {
        stage.api.post("/api/v1/projects/shop/releases", &json!({ "packages": { "web": tag } })).await
    };
    let (one, two) = tokio::try_join!(make("1.0.0"), make("1.0.1"))?;
    let mut versions = [one.version, two.version];
    versions.sort();
    assert_eq!(versions, ["0.0.4", "0.0.5"]);
    assert_eq!(stage.releases().await?.len(), 5);
    Ok(())
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_asked_again_also_after_a_crash() -> Result<()> {
    let mut stage = Stage::start().await?;
    let digest = stage.push("1.0.0", "one").await?;
    stage.verdicts("1.0.0", 1).await;
    stage.registry.process.kill().await?;
    stage.deliver(&[event(IMAGE, "1.1.0", &digest)]).await?;
    wait::until("a try is told", || async {
        let open = stage.pushes().await.unwrap_or_default().into_iter().find(|push| !push.done);
        open.filter(|push| push.images[0].reason.contains("could not be asked")).map(|_| ()).ok_or("no try yet")
    })
    .await;
    stage.restart().await?;
    stage.registry.process.start()?;
    wait::until("the image can be pushed", || stage.push("1.1.0", "one")).await;
    let verdicts = stage.verdicts("1.1.0", 2).await;
    assert!(verdicts.iter().any(|verdict| !verdict.ignored), "{verdicts:#?}");
    assert_eq!(stage.releases().await?, ["1.1.0", "1.0.0"]);
    Ok(())
}

#[tokio::test]
async fn a_replay_works_a_delivery_again_by_the_manifests_as_they_are_now() -> Result<()> {
    let stage = Stage::start().await?;
    stage.apply(Stage::project(&json!([]))).await?;
    stage.push("1.0.0", "one").await?;
    let ignored = &stage.verdicts("1.0.0", 1).await[0];
    assert_eq!(ignored.reason, "no project has a push trigger for shop/web");
    stage.apply(Stage::project(&json!([{"on": "push"}]))).await?;
    let of_tag = |push: &&PushView| push.images.iter().any(|i| i.reason == ignored.reason);
    let seq = stage.pushes().await?.iter().find(of_tag).expect("the delivery").seq;
    let replayed: PushView = stage.api.post(&format!("/api/v1/pushes/{seq}/replay"), &json!({})).await?;
    assert!(replayed.done && replayed.images.iter().any(|i| i.reason == "release 1.0.0 of shop"), "{replayed:#?}");
    assert_eq!(stage.releases().await?, ["1.0.0"]);
    let unknown = stage.api.refused("/api/v1/pushes/9999/replay", &json!({})).await;
    assert_eq!((unknown.status, unknown.problem.code.as_str()), (StatusCode::NOT_FOUND, "unknown-push"));
    Ok(())
}
