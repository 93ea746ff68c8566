//! Two executors that serve the same targets share the work, and no task runs twice.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use slipway_domain::api::{Accepted, DeploymentSummary, TargetView};
use slipway_integration_tests::{
    settings,
    stack::{Stack, Wanted},
    wait,
};

const TASKS: usize = 24;

#[tokio::test]
async fn two_executors_share_the_tasks_of_one_target() -> Result<()> {
    let stack = Stack::start_with(Wanted { executors: 2, ..Wanted::default() }).await?;
    let mut manifests = format!(
        "kind: Environment\nname: test\n---\nkind: Target\nname: {}\nenvironments: [test]\ndocker: {}\n---\n\
         kind: Lifecycle\nname: short\nphases:\n  - {{name: Test, environments: [test]}}\n\
         ---\nkind: Project\nname: {}\nlifecycle: short\nsteps:\n",
        stack.name("web-01"),
        settings::docker(),
        stack.name("many")
    );
    for task in 0..TASKS {
        manifests.push_str(&format!("  - {{name: pause-{task}, wait: 300ms}}\n"));
    }
    stack.apply(&manifests).await?;
    wait::until("both executors serve the targets", || async {
        let targets: Vec<TargetView> = stack.admin.get("/api/v1/target-status").await?;
        let executors = targets.first().map_or(0, |target| target.executors.len());
        anyhow::ensure!(executors == 2, "{targets:#?}");
        Ok(())
    })
    .await;
    let project = stack.name("many");
    let release = serde_json::json!({ "version": "1.0.0" });
    stack.admin.post::<serde_json::Value>(&format!("/api/v1/projects/{project}/releases"), &release).await?;
    let body = serde_json::json!({ "project": project, "version": "1.0.0", "environment": "test" });
    let accepted: Accepted = stack.admin.post("/api/v1/deployments", &body).await?;

    let path = format!("/api/v1/deployments/{}", accepted.id);
    wait::until("the deployment is over", || async {
        let one: DeploymentSummary = stack.admin.get(&path).await?;
        anyhow::ensure!(one.finished_at.is_some(), "{one:#?}");
        Ok(())
    })
    .await;

    let events = stack.admin.request(reqwest::Method::GET, &format!("{path}/events?follow=false")).send().await?;
    let mut claims: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for json in events.text().await?.lines().filter_map(|line| line.strip_prefix("data:")) {
        let event: slipway_domain::api::EventView = serde_json::from_str(json)?;
        let Some(task) = event.task else { continue };
        for claimed in event.events.as_array().into_iter().flatten().filter(|e| e["event"] == "claimed") {
            let holder = claimed["holder"].as_str().unwrap_or_default().to_owned();
            claims.entry(task.to_string()).or_default().push(holder);
        }
    }
    assert_eq!(claims.len(), TASKS, "{claims:#?}");
    assert!(claims.values().all(|holders| holders.len() == 1), "a task was claimed twice: {claims:#?}");
    let holders: BTreeSet<&String> = claims.values().flatten().collect();
    assert_eq!(holders.len(), 2, "both took part: {claims:#?}");
    Ok(())
}
