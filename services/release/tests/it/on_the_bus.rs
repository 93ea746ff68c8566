//! What others see of the release service on NATS, and what it sees of the log.

use anyhow::Result;
use reqwest::StatusCode;
use serde_json::{Value, json};
use slipway_bus::PresenceEvent;
use slipway_domain::{
    api::{Accepted, Board},
    event::{Actor, Address, Entry, Envelope, PlanEvent, SCHEMA},
    id::DeploymentId,
    name::HolderName,
    presence::Role,
};
use slipway_integration_tests::wait;
use uuid::Uuid;

use crate::stage::Stage;

#[tokio::test]
async fn the_service_says_that_it_is_alive() -> Result<()> {
    let stage = Stage::start().await?;
    let mut watch = stage.bus().await?.watch_presence();
    let id = HolderName::new("release-1")?;
    let alive = async {
        loop {
            match watch.next().await {
                PresenceEvent::Up(presence) if (presence.role, &presence.id) == (Role::Release, &id) => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(wait::PATIENCE, alive).await?;
    Ok(())
}

#[tokio::test]
async fn a_nearly_full_log_takes_no_new_deployments_but_what_ends_the_old_ones() -> Result<()> {
    let stage = Stage::start().await?;
    stage.apply(Stage::project(&json!([]))).await?;
    stage.push("1.0.0", "one").await?;
    let _: Value = stage.api.post("/api/v1/projects/shop/releases", &json!({})).await?;
    let ask = json!({"project": "shop", "version": "1.0.0", "environment": "staging"});
    let first: Accepted = stage.api.post("/api/v1/deployments", &ask).await?;

    stage.shrink_log(64 * 1024).await?;
    let bus = stage.bus().await?;
    while bus.fill().await? < 0.8 {
        let entry = Entry::Plan(Envelope {
            id: Uuid::new_v4(),
            schema: SCHEMA,
            at: chrono::Utc::now(),
            actor: Actor::Planner { id: "planner-1".into() },
            trace: None,
            events: vec![PlanEvent::Started { policy: 0 }],
        });
        bus.append(&Address::Plan(DeploymentId(Uuid::new_v4())), 0, &entry).await?;
    }
    wait::until("the metrics tell that the log is nearly full", || async {
        let answer = stage.api.request(reqwest::Method::GET, "/metrics").send().await.map_err(|e| e.to_string())?;
        let metrics = answer.text().await.map_err(|e| e.to_string())?;
        let line = metrics.lines().find(|line| line.starts_with("slipway_release_log_fill_ratio "));
        let fill: f64 = line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_default();
        if fill >= 0.8 { Ok(()) } else { Err(metrics) }
    })
    .await;

    let refused = stage.api.refused("/api/v1/deployments", &ask).await;
    assert_eq!((refused.status, refused.problem.code.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "log-nearly-full"));
    let cancelled: Accepted = stage.api.post(&format!("/api/v1/deployments/{}/cancel", first.id), &json!({})).await?;
    assert_eq!(cancelled.id, first.id);
    stage.shrink_log(1024 * 1024).await?;
    wait::until("there is room again", || async {
        stage.api.post::<Accepted>("/api/v1/deployments", &ask).await.map_err(|e| e.to_string())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn the_board_has_every_deployment_that_is_not_over_the_oldest_first() -> Result<()> {
    let stage = Stage::start().await?;
    stage.apply(Stage::project(&json!([]))).await?;
    let mut asked = Vec::new();
    for tag in ["1.0.0", "1.1.0"] {
        stage.push(tag, tag).await?;
        // The lifecycle deploys it at once; nobody plans, so it stays asked for.
        let _: Value = stage.api.post("/api/v1/projects/shop/releases", &json!({})).await?;
        asked.push(tag);
        wait::until("it is on the board", || async {
            let board: Board = stage.api.get("/api/v1/board").await.map_err(|e| e.to_string())?;
            let cell = board.projects.first().and_then(|row| row.cells.values().next());
            let told: Vec<_> = cell.iter().flat_map(|cell| &cell.unfinished).map(|one| &one.summary.version).collect();
            if told == asked { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await;
    }
    Ok(())
}
