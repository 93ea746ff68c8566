//! Who may decide, and what a decision does.

use anyhow::Result;
use reqwest::Method;
use slipway_domain::{api::TaskStatus, event::Outcome};
use slipway_integration_tests::{client::refusal, shop, stack::Wanted};

#[tokio::test]
async fn only_a_member_of_the_team_decides_and_a_rejection_changes_nothing_in_production() -> Result<()> {
    shop::with(
        Wanted::default(),
        |m| m,
        async |shop| {
            shop.push("1.0.0", &[]).await?;
            let production = shop.deployment("1.0.0", "production").await;
            shop.waiting(&production).await;
            let gate = format!("/api/v1/deployments/{}/gates/sign-off", production.id);
            let approve = serde_json::json!({ "verdict": "approve" });

            let carl = shop.stack.person("carl", None).await?;
            let refused = carl.refused(&gate, &approve).await;
            assert!(refused.status.is_client_error(), "{refused:?}");
            assert!(refused.problem.detail.contains("ops"), "says who may: {refused:?}");
            let nobody = shop.stack.admin.with_token(None);
            let refused = refusal(nobody.request(Method::POST, &gate).json(&approve)).await?;
            assert_eq!(refused.status, 401, "{refused:?}");
            let stale = serde_json::json!({ "verdict": "approve", "plan": "0000" });
            let refused = shop.ana.refused(&gate, &stale).await;
            assert!(refused.status.is_client_error(), "a vote for another plan: {refused:?}");
            let view = shop.view(&production).await?;
            assert!(view.steps.iter().filter_map(|s| s.gate.as_ref()).all(|g| g.votes.is_empty()), "{view:#?}");

            let id = production.id.to_string();
            let (code, text) = shop.stack.cli(&shop.ana, &["reject", &id, "sign-off", "--note", "not today"]).await?;
            assert_eq!(code, 0, "{text}");
            let view = shop.finished(&production).await;
            assert_eq!(view.summary.outcome, Some(Outcome::Failed), "{view:#?}");
            let text = serde_json::to_string(&view)?;
            assert!(text.contains("ana") && text.contains("not today"), "who and why: {text}");
            let started =
                view.steps.iter().flat_map(|step| &step.tasks).filter(|task| task.status == TaskStatus::Succeeded);
            assert_eq!(started.count(), 0, "{view:#?}");
            assert!(shop.running_on("web-01").await?.is_empty());
            Ok(())
        },
    )
    .await
}
