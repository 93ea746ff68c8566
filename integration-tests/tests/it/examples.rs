//! The example is what the documents say: its manifests are valid on their own.

use anyhow::Result;
use slipway_integration_tests::{machine, settings};

#[tokio::test]
async fn the_manifests_of_the_shop_are_valid() -> Result<()> {
    let folder = settings::workspace().join("deploy/examples/shop/manifests").display().to_string();
    machine::run(settings::own("slipway"), &["check", "-f", &folder]).await?;
    Ok(())
}
