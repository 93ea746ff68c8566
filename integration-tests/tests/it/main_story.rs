//! A pushed image becomes a release, deploys itself to staging, waits for a person, and rolls over production.

use anyhow::Result;
use slipway_domain::{
    api::{Board, ReleaseView, TaskStatus},
    event::Actor,
};
use slipway_integration_tests::{containers, postgres::Postgres, shop, shop::Shop, stack::Wanted, wait};
use sqlx::{Connection, SqliteConnection};

#[tokio::test]
async fn a_push_reaches_staging_by_itself_and_production_after_an_approval() -> Result<()> {
    shop::with(Wanted::default(), |m| m, tell).await
}

#[tokio::test]
async fn the_same_story_on_postgres() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let postgres = Postgres::start(folder.path()).await?;
    let database = postgres.create("slipway").await?;
    let production = postgres.create("shop_production").await?;
    let edit = |manifests: String| {
        let from = "sqlite://#{DataFolder}/production.db?mode=rwc";
        assert!(manifests.contains(from));
        manifests.replace(from, &production)
    };
    shop::with(Wanted { database: Some(database), ..Wanted::default() }, edit, tell).await?;
    let mut connection = sqlx::PgConnection::connect(&production).await?;
    let products: i64 = sqlx::query_scalar("SELECT count(*) FROM products").fetch_one(&mut connection).await?;
    assert_eq!(products, 2, "the migration was applied once, to Postgres");
    Ok(())
}

async fn tell(shop: &mut Shop) -> Result<()> {
    shop.push("1.0.0", &[]).await?;

    let staging = shop.deployment("1.0.0", "staging").await;
    let view = shop.succeeded(&staging).await;
    assert!(
        matches!(view.summary.requested_by, Actor::Trigger { .. }),
        "nobody asked: {:?}",
        view.summary.requested_by
    );
    assert_eq!(shop.page(0).await?, "shop 1.0.0 says hello\n");
    assert_eq!(products(shop, "staging").await?, 2);

    let production = shop.deployment("1.0.0", "production").await;
    let view = shop.waiting(&production).await;
    let gate = view.steps.iter().find_map(|step| step.gate.as_ref()).expect("the sign-off is a gate");
    assert!(gate.opened.is_some() && gate.decided.is_none(), "{gate:#?}");
    assert!(shop.running_on("web-01").await?.is_empty(), "nothing may run in production before the approval");

    shop.approve(&production).await?;
    let view = shop.succeeded(&production).await;
    for (host, target) in [(1, "web-01"), (2, "web-02")] {
        assert_eq!(shop.page(host).await?, "shop 1.0.0 says HELLO\n");
        let running = shop.running_on(target).await?;
        assert_eq!(running.len(), 1, "{running:#?}");
        assert_eq!(containers::label(&running[0], "slipway.release"), "1.0.0");
        assert_eq!(containers::label(&running[0], "slipway.environment"), "production");
    }
    one_after_the_other(&view);
    assert_eq!(gate_voter(&view), "ana");

    the_board_shows(shop, "1.0.0").await?;
    the_next_version_replaces_the_containers(shop).await
}

async fn the_next_version_replaces_the_containers(shop: &mut Shop) -> Result<()> {
    let before = shop.running_on("web-01").await?;
    shop.push("1.1.0", &[]).await?;
    let staging = shop.deployment("1.1.0", "staging").await;
    shop.succeeded(&staging).await;
    assert_eq!(shop.page(0).await?, "shop 1.1.0 says hello\n");
    assert_eq!(shop.page(1).await?, "shop 1.0.0 says HELLO\n", "production waits");
    let production = shop.deployment("1.1.0", "production").await;
    shop.waiting(&production).await;
    shop.approve(&production).await?;
    shop.succeeded(&production).await;
    for (host, target) in [(1, "web-01"), (2, "web-02")] {
        assert_eq!(shop.page(host).await?, "shop 1.1.0 says HELLO\n");
        let running = shop.running_on(target).await?;
        assert_eq!(running.len(), 1, "one container per target: {running:#?}");
    }
    assert_ne!(before[0].id, shop.running_on("web-01").await?[0].id);
    the_board_shows(shop, "1.1.0").await
}

async fn the_board_shows(shop: &Shop, version: &str) -> Result<()> {
    let release: ReleaseView =
        shop.stack.admin.get(&format!("/api/v1/projects/{}/releases/{version}", shop.project())).await?;
    let board = wait::until("the board shows the release in production", || async {
        let board: Board = shop.stack.admin.get("/api/v1/board").await?;
        let row = board.projects.into_iter().find(|row| row.project.as_str() == shop.project());
        let cell = row.and_then(|row| row.cells.get("production").cloned());
        match cell {
            Some(cell) if cell.current.as_ref().is_some_and(|now| now.version == version) => Ok(cell),
            other => Err(anyhow::anyhow!("{other:#?}")),
        }
    })
    .await;
    assert_eq!(board.containers.len(), 2, "{board:#?}");
    for container in &board.containers {
        let digests: Vec<_> = release.packages.values().map(|image| image.digest.to_string()).collect();
        assert!(digests.contains(&container.digest), "{container:?} is not of {digests:?}");
    }
    let (code, text) = shop.stack.cli(&shop.ana, &["status"]).await?;
    assert!(code == 0 && text.contains(version) && text.contains("production"), "{code}: {text}");
    Ok(())
}

/// The rolling window is 1: the second host began after the first had ended.
fn one_after_the_other(view: &slipway_domain::api::DeploymentView) {
    let web = view.steps.iter().find(|step| step.name.as_str() == "web").expect("the step web");
    let mut tasks: Vec<_> = web.tasks.iter().collect();
    assert_eq!(tasks.len(), 2);
    tasks.sort_by_key(|task| task.started_at);
    assert!(tasks.iter().all(|task| task.status == TaskStatus::Succeeded), "{tasks:#?}");
    assert!(tasks[0].finished_at <= tasks[1].started_at, "the window is 1: {tasks:#?}");
}

fn gate_voter(view: &slipway_domain::api::DeploymentView) -> String {
    let gate = view.steps.iter().find_map(|step| step.gate.as_ref()).expect("a gate");
    gate.votes.iter().map(|vote| vote.person.to_string()).collect()
}

async fn products(shop: &Shop, environment: &str) -> Result<i64> {
    let path = format!("sqlite://{}", shop.data().join(format!("{environment}.db")).display());
    let mut connection = SqliteConnection::connect(&path).await?;
    Ok(sqlx::query_scalar("SELECT count(*) FROM products").fetch_one(&mut connection).await?)
}
