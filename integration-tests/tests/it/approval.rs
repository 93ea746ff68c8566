//! Who may decide, and what a decision does.

use anyhow::{Context as _, Result};
use reqwest::Method;
use slipway_domain::{
    api::{Accepted, DeploymentView, TaskStatus},
    event::Outcome,
};
use slipway_integration_tests::{
    client::refusal,
    shop,
    stack::{Stack, Wanted},
    wait,
};

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

#[tokio::test]
async fn whoever_asked_for_a_deployment_needs_the_yes_of_others_where_the_approval_says_so() -> Result<()> {
    let stack = Stack::start_with(Wanted::default()).await?;
    let project = stack.name("careful");
    let approval = "{teams: [ops], votes: 2, exclude-requester: true}";
    let text = format!(
        "kind: Environment\nname: live\n---\nkind: Team\nname: ops\nmembers: [ana, ben, cem]\n---\n\
         kind: Lifecycle\nname: short\nphases: [{{name: Live, environments: [live]}}]\n---\n\
         kind: Project\nname: {project}\nlifecycle: short\nsteps:\n  - {{name: sign-off, approval: {approval}}}\n  \
         - {{name: go, needs: [sign-off], wait: 0s}}\n"
    );
    stack.apply(&text).await?;
    let release = serde_json::json!({ "version": "1.0.0" });
    stack.admin.post::<serde_json::Value>(&format!("/api/v1/projects/{project}/releases"), &release).await?;
    let (ana, ben, cem) =
        (stack.person("ana", None).await?, stack.person("ben", None).await?, stack.person("cem", None).await?);
    let wish = serde_json::json!({ "project": project, "version": "1.0.0", "environment": "live" });
    let one: Accepted = ana.post("/api/v1/deployments", &wish).await?;
    let view = async || stack.admin.get::<DeploymentView>(&format!("/api/v1/deployments/{}", one.id)).await;
    let gate = async || {
        let view = view().await?;
        view.steps.first().and_then(|step| step.gate.clone()).context("it is not planned yet")
    };
    wait::until("the gate is open", async || {
        anyhow::ensure!(gate().await?.opened.is_some());
        anyhow::Ok(())
    })
    .await;

    let id = one.id.to_string();
    let (code, text) = stack.cli(&ana, &["approve", &id, "sign-off"]).await?;
    assert!(code != 0 && text.contains("ana asked for this deployment"), "{code} {text}");
    let yes = serde_json::json!({ "verdict": "approve" });
    let refused = ana.refused(&format!("/api/v1/deployments/{id}/gates/sign-off"), &yes).await;
    assert_eq!((refused.status.as_u16(), refused.problem.code.as_str()), (403, "own-deployment"), "{refused:?}");
    assert!(gate().await?.votes.is_empty());

    let (code, text) = stack.cli(&ben, &["approve", &id, "sign-off"]).await?;
    assert_eq!(code, 0, "{text}");
    wait::until("ben's vote is counted", async || {
        let gate = gate().await?;
        anyhow::ensure!(gate.votes.len() == 1 && gate.decided.is_none(), "{gate:?}");
        anyhow::Ok(())
    })
    .await;
    let (code, text) = stack.cli(&cem, &["approve", &id, "sign-off"]).await?;
    assert_eq!(code, 0, "{text}");
    wait::until("two others are enough", async || {
        let view = view().await?;
        anyhow::ensure!(view.summary.outcome == Some(Outcome::Succeeded), "{view:#?}");
        anyhow::Ok(())
    })
    .await;
    Ok(())
}
