//! `docker-pull`: images are there before anything is changed.

use anyhow::Result;
use serde_json::json;
use slipway_domain::order::{PullImage, PullImages, Work};
use slipway_integration_tests::machine;

use crate::stage::Stage;

#[tokio::test]
async fn images_are_pulled_once_and_one_that_is_not_there_is_named() -> Result<()> {
    let stage = Stage::start().await?;
    let (web, tool) = (stage.page("web", "x", true).await?, stage.page("tool", "y", true).await?);
    let all = |images: &[(&str, &slipway_domain::image::ImageRef)]| {
        let image = |(name, image): &(&str, &slipway_domain::image::ImageRef)| {
            (name.parse().unwrap(), PullImage { image: (*image).clone(), credentials: None })
        };
        Work::DockerPull(PullImages { images: images.iter().map(image).collect() })
    };
    let both = all(&[("web", &web), ("tool", &tool)]);
    let outputs = stage.succeed(&stage.ask("pull", both.clone())).await?;
    assert_eq!((&outputs["pulled"], &outputs["already"]), (&json!(["tool", "web"]), &json!([])));
    machine::run("docker", &["image", "inspect", &web.pinned(), &tool.pinned()]).await?;
    let outputs = stage.succeed(&stage.ask("pull", both)).await?;
    assert_eq!((&outputs["pulled"], &outputs["already"]), (&json!([]), &json!(["tool", "web"])));
    let mut gone = web.clone();
    gone.repository = format!("{}/gone", stage.project);
    let failure = stage.fail(&stage.ask("pull", all(&[("web", &gone)]))).await?;
    assert!(failure.message.contains("/gone"), "{}", failure.message);
    assert_eq!(stage.containers().await?, []);
    Ok(())
}
