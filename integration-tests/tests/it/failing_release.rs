//! A release whose container is not healthy: what served before serves again, and the deployment says why.

use anyhow::Result;
use slipway_domain::{api::TaskStatus, event::Outcome};
use slipway_integration_tests::{shop, stack::Wanted};

#[tokio::test]
async fn the_old_container_serves_again_and_the_reason_carries_the_output() -> Result<()> {
    let quick = |manifests: String| manifests.replace("within: 15s", "within: 3s");
    shop::with(Wanted::default(), quick, async |shop| {
        shop.push("1.0.0", &[]).await?;
        let good = shop.deployment("1.0.0", "staging").await;
        shop.succeeded(&good).await;
        let before = shop.running_on("staging-01").await?;

        shop.push("1.1.0", &["--broken"]).await?;
        let bad = shop.deployment("1.1.0", "staging").await;
        let view = shop.finished(&bad).await;

        assert_eq!(view.summary.outcome, Some(Outcome::Failed), "{view:#?}");
        assert_eq!(shop.page(0).await?, "shop 1.0.0 says hello\n", "the old one is back");
        let after = shop.running_on("staging-01").await?;
        assert_eq!(after.iter().map(|c| &c.id).collect::<Vec<_>>(), before.iter().map(|c| &c.id).collect::<Vec<_>>());

        let web = view.steps.iter().find(|step| step.name.as_str() == "web").expect("the step web");
        assert_eq!(web.tasks[0].status, TaskStatus::Failed, "{web:#?}");
        assert_eq!(web.tasks[0].attempt, 2, "the process says two attempts: {web:#?}");
        let (code, shown) = shop.stack.cli(&shop.ana, &["deployment", "show", &bad.id.to_string()]).await?;
        assert_eq!(code, 0, "{shown}");
        for part in ["failed", "/healthz", "the catalogue is empty"] {
            assert!(shown.contains(part), "`{part}` is missing from:\n{shown}");
        }

        assert!(shop.stack.admin.get::<serde_json::Value>("/api/v1/board").await.is_ok());
        let production = format!("/api/v1/deployments?project={}&environment=production", shop.project());
        let all: Vec<slipway_domain::api::DeploymentSummary> = shop.stack.admin.get(&production).await?;
        assert!(all.iter().all(|one| one.version == "1.0.0"), "what failed on staging is not promoted: {all:#?}");
        Ok(())
    })
    .await
}
