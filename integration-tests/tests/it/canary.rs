//! One host first, a person's look, then the others; or back.

use anyhow::Result;
use slipway_domain::{
    api::{DeploymentSummary, DeploymentView, TaskStatus},
    event::Outcome,
};
use slipway_integration_tests::{shop, shop::Shop, stack::Wanted, wait};

/// The approval stands between the first host and the second, instead of before both.
fn look(manifests: String) -> String {
    let rolling = "rolling: {window: 1, canary: 1, then: {approval: {teams: [ops], timeout: 1h}}}";
    let edited = manifests.replace("rolling: {window: 1}", rolling);
    assert!(edited.contains("canary: 1"), "{manifests}");
    edited
}

/// Waits until the step asks about its canary.
async fn asked(shop: &Shop, one: &DeploymentSummary) -> DeploymentView {
    wait::until("the look at the canary", async || {
        let view = shop.view(one).await?;
        let web = view.steps.iter().find(|step| step.name.as_str() == "web");
        let open = web.and_then(|step| step.gate.as_ref()).is_some_and(|gate| gate.opened.is_some());
        anyhow::ensure!(open, "{view:#?}");
        anyhow::Ok(view)
    })
    .await
}

#[tokio::test]
async fn a_rejected_canary_serves_the_old_version_again_and_an_approved_one_is_followed_by_the_others() -> Result<()> {
    shop::with(Wanted::default(), look, async |shop| {
        shop.push("1.0.0", &[]).await?;
        let first = shop.deployment("1.0.0", "production").await;
        shop.waiting(&first).await;
        shop.approve(&first).await?;
        asked(shop, &first).await;
        assert!(shop.page(1).await?.contains("shop 1.0.0"), "the canary serves");
        assert!(shop.page(2).await.is_err(), "the other one has not begun");
        let id = first.id.to_string();
        let (code, text) = shop.stack.cli(&shop.ana, &["deployment", "why", &id]).await?;
        assert!(code == 0 && text.contains("ops to decide"), "{text}");
        let (code, text) = shop.stack.cli(&shop.ana, &["approve", &id, "web"]).await?;
        assert_eq!(code, 0, "{text}");
        shop.succeeded(&first).await;
        assert!(shop.page(2).await?.contains("shop 1.0.0"));

        shop.push("1.1.0", &[]).await?;
        let second = shop.deployment("1.1.0", "production").await;
        shop.waiting(&second).await;
        shop.approve(&second).await?;
        asked(shop, &second).await;
        assert!(shop.page(1).await?.contains("shop 1.1.0") && shop.page(2).await?.contains("shop 1.0.0"));
        let id = second.id.to_string();
        let (code, text) = shop.stack.cli(&shop.ana, &["reject", &id, "web", "--note", "too slow"]).await?;
        assert_eq!(code, 0, "{text}");
        let view = shop.finished(&second).await;
        assert_eq!(view.summary.outcome, Some(Outcome::Failed), "{view:#?}");
        let reason = view.summary.reason.clone().unwrap_or_default();
        assert!(reason.contains("canary") && reason.contains("too slow"), "{reason}");
        let web = view.steps.iter().find(|step| step.name.as_str() == "web").expect("the step web");
        assert_eq!(web.tasks[0].status, TaskStatus::Failed, "{web:#?}");
        assert!(web.tasks[0].message.as_deref().is_some_and(|text| text.contains("taken back")), "{web:#?}");
        assert_eq!(web.tasks[1].status, TaskStatus::Skipped, "{web:#?}");
        for host in [1, 2] {
            assert!(shop.page(host).await?.contains("shop 1.0.0"), "host {host} serves the old version");
        }
        let running = [shop.running_on("web-01").await?.len(), shop.running_on("web-02").await?.len()];
        assert_eq!(running, [1, 1]);
        Ok(())
    })
    .await
}
