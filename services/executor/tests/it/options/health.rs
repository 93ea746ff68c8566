//! Proofs that come from inside of the container.

use anyhow::Result;

use super::inspect;
use crate::stage::Stage;

#[tokio::test]
async fn a_command_in_the_container_says_when_it_is_good() -> Result<()> {
    let stage = Stage::start().await?;
    let (ask, _) = stage
        .run_with("health: {exec: [/bin/sh, -c, 'test -e /tmp/ready || { touch /tmp/ready; exit 1; }'], within: 10s}")
        .await?;
    stage.until_printed(&ask, "good after").await;
    let bad = stage.with("health: {exec: [/bin/sh, -c, 'echo no space left >&2; exit 7'], within: 1s}").await?;
    let failure = stage.fail(&bad).await?;
    let expected = "not good within 1s: `/bin/sh` ended with exit code 7: no space left";
    assert!(failure.message.contains(expected), "{}", failure.message);
    let missing = stage.with("health: {exec: [/no/such/program], within: 1s}").await?;
    let failure = stage.fail(&missing).await?;
    assert!(failure.message.contains("/no/such/program"), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn a_healthcheck_of_the_step_stands_in_for_the_images_and_its_last_words_are_told() -> Result<()> {
    let stage = Stage::start().await?;
    let check = |script: &str, retries: u32| {
        format!(
            "health: {{within: 4s, healthcheck: {{command: [/bin/sh, -c, '{script}'], interval: 300ms, timeout: 2s, \
             retries: {retries}, start-period: 1s}}}}"
        )
    };
    let (ask, seen) = stage.run_with(&check("echo fine", 2)).await?;
    let expected = serde_json::json!({
        "Test": ["CMD", "/bin/sh", "-c", "echo fine"], "Interval": 300_000_000, "Timeout": 2_000_000_000_u64,
        "Retries": 2, "StartPeriod": 1_000_000_000,
    });
    assert_eq!(seen["Config"]["Healthcheck"], expected);
    assert_eq!(inspect(&ask.name("shop-web")).await?["State"]["Health"]["Status"], "healthy");

    let failure = stage.fail(&stage.with(&check("echo no space left; exit 1", 1)).await?).await?;
    assert!(failure.message.contains("its HEALTHCHECK says: no space left"), "{}", failure.message);
    let failure = stage.fail(&stage.with(&check("echo still loading; exit 1", 1000)).await?).await?;
    assert!(failure.message.contains("has not passed so far, and says: still loading"), "{}", failure.message);
    Ok(())
}
