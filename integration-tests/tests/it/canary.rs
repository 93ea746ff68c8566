//! One host first, a person's look, then the others; or back.

use anyhow::Result;
use slipway_domain::{
    api::{DeploymentSummary, DeploymentView, TaskStatus, TaskView},
    event::Outcome,
};
use slipway_integration_tests::{machine, shop, shop::Shop, stack::Wanted, wait};

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

fn canary(view: &DeploymentView) -> &TaskView {
    let web = view.steps.iter().find(|step| step.name.as_str() == "web").expect("the step web");
    &web.tasks[0]
}

/// The canary has the new version, the other host the old one, and people are asked.
async fn looked_at(shop: &mut Shop, version: &str) -> Result<DeploymentSummary> {
    shop.push(version, &[]).await?;
    let one = shop.deployment(version, "production").await;
    shop.waiting(&one).await;
    shop.approve(&one).await?;
    asked(shop, &one).await;
    assert!(shop.page(1).await?.contains(&format!("shop {version}")), "the canary serves");
    Ok(one)
}

async fn is_back(shop: &Shop, version: &str) -> Result<()> {
    assert!(shop.page(1).await?.contains(&format!("shop {version}")), "the old version serves again");
    let running = shop.running_on("web-01").await?;
    assert_eq!(running.len(), 1, "{running:#?}");
    Ok(())
}

#[tokio::test]
async fn a_canary_comes_back_though_everybody_dies_over_it_and_also_after_a_cancel() -> Result<()> {
    shop::with(Wanted::default(), look, async |shop| {
        let first = looked_at(shop, "1.0.0").await?;
        let (code, text) = shop.stack.cli(&shop.ana, &["approve", &first.id.to_string(), "web"]).await?;
        assert_eq!(code, 0, "{text}");
        shop.succeeded(&first).await;

        let second = looked_at(shop, "1.1.0").await?;
        // What does not react takes its whole grace to end: time enough to die in.
        let new = shop.running_on("web-01").await?[0].id.clone().expect("an id");
        machine::run("docker", &["kill", "--signal", "STOP", &new]).await?;
        let (code, text) = shop.stack.cli(&shop.ana, &["reject", &second.id.to_string(), "web"]).await?;
        assert_eq!(code, 0, "{text}");
        wait::until("the canary is being taken back", async || {
            let view = shop.view(&second).await?;
            let task = canary(&view);
            anyhow::ensure!(task.status == TaskStatus::Restoring && task.attempt == 2, "{task:#?}");
            anyhow::Ok(())
        })
        .await;
        shop.stack.kill("executor-1").await?;
        let view = shop.view(&second).await?;
        assert_eq!(canary(&view).status, TaskStatus::Restoring, "killed in the middle: {view:#?}");
        for victim in ["planner", "release", "nats"] {
            shop.stack.kill(victim).await?;
        }
        for victim in ["nats", "release", "planner", "executor-1"] {
            shop.stack.restart(victim)?;
        }
        let view = shop.finished(&second).await;
        assert_eq!(view.summary.outcome, Some(Outcome::Failed), "{view:#?}");
        assert_eq!(canary(&view).status, TaskStatus::Failed, "{view:#?}");
        is_back(shop, "1.0.0").await?;

        let third = looked_at(shop, "1.2.0").await?;
        let id = third.id.to_string();
        let (code, text) = shop.stack.cli(&shop.stack.admin, &["deployment", "cancel", &id]).await?;
        assert_eq!(code, 0, "{text}");
        let view = shop.finished(&third).await;
        assert_eq!(view.summary.outcome, Some(Outcome::Cancelled), "{view:#?}");
        is_back(shop, "1.0.0").await
    })
    .await
}
