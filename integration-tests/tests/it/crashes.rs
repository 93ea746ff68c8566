//! kill -9 of each service, and of NATS, at every step of the story: it ends as if nothing had happened.

use std::collections::BTreeMap;

use anyhow::Result;
use slipway_domain::api::{DeploymentSummary, DeploymentView};
use slipway_integration_tests::{containers, failpoints, log, shop, shop::Shop, stack::Wanted, wait};
use sqlx::{Connection, SqliteConnection};

#[tokio::test]
async fn the_planner_is_killed_again_and_again() -> Result<()> {
    killed("planner").await
}

#[tokio::test]
async fn the_release_service_is_killed_again_and_again() -> Result<()> {
    killed("release").await
}

#[tokio::test]
async fn the_executor_is_killed_again_and_again() -> Result<()> {
    killed("executor-1").await
}

#[tokio::test]
async fn nats_is_killed_again_and_again() -> Result<()> {
    killed("nats").await
}

#[tokio::test]
async fn the_executor_dies_around_everything_that_it_does_to_docker_and_to_a_database() -> Result<()> {
    shop::with(
        Wanted::default(),
        |m| m,
        async |shop| {
            let first = dies_at(shop, "executor.migrate.before", "1.0.0", "staging").await?;
            assert_eq!(shop.page(0).await?, "shop 1.0.0 says hello\n", "{first:?}");
            dies_at(shop, "executor.migrate.after", "1.0.0", "production").await?;
            for (n, point) in ["create", "start", "stop", "remove"].iter().enumerate() {
                for (m, when) in ["before", "after"].iter().enumerate() {
                    let version = format!("1.{}.{m}", n + 1);
                    let one = dies_at(shop, &format!("executor.{point}.{when}"), &version, "staging").await?;
                    let view = shop.succeeded(&one).await;
                    each_task_ended_once(shop, &view, &one).await?;
                    assert_eq!(shop.page(0).await?, format!("shop {version} says hello\n"));
                    let running = shop.running_on("staging-01").await?;
                    assert_eq!(running.len(), 1, "one container after {point} {when}: {running:#?}");
                }
            }
            migrated_once(shop, "staging").await?;
            migrated_once(shop, "production").await?;
            let left = shop.all_containers().await?;
            assert_eq!(left.len(), 3, "nothing is left lying about: {left:#?}");
            Ok(())
        },
    )
    .await
}

/// A deployment during which the executor dies at a place and is started again.
async fn dies_at(shop: &mut Shop, point: &str, version: &str, environment: &str) -> Result<DeploymentSummary> {
    shop.stack.process("executor-1").set(failpoints::VARIABLE, Some(point));
    kill_and_restart(shop, "executor-1").await?;
    shop.stack.service_ready("executor-1").await;
    if environment == "staging" {
        shop.push(version, &[]).await?;
    }
    let one = shop.deployment(version, environment).await;
    if environment == "production" {
        wait::until("ana's vote is taken", || shop.approve(&one)).await;
    }
    let end = tokio::time::Instant::now() + 2 * wait::PATIENCE;
    while shop.stack.process("executor-1").is_running() {
        assert!(tokio::time::Instant::now() < end, "nobody came by {point}\n{}", shop.stack.tails());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let words = format!("failpoint {point}: ");
    assert!(shop.stack.process("executor-1").tail().contains(&words), "{}", shop.stack.tails());
    shop.stack.process("executor-1").set(failpoints::VARIABLE, None);
    shop.stack.restart("executor-1")?;
    shop.succeeded(&one).await;
    Ok(one)
}

/// Tells the story while the victim is killed each time the log has grown by a few messages.
async fn killed(victim: &str) -> Result<()> {
    shop::with(
        Wanted::default(),
        |m| m,
        async |shop| {
            shop.push("1.0.0", &[]).await?;
            let kills = kill_until_finished(shop, victim, "staging", None).await?;
            let production = shop.deployment("1.0.0", "production").await;
            shop.waiting(&production).await;
            kill_and_restart(shop, victim).await?;
            let more = kill_until_finished(shop, victim, "production", Some(&production)).await?;
            assert!(kills + more >= 4, "killed {kills} and {more} times: too few to show anything");

            for environment in ["staging", "production"] {
                let one = shop.deployment("1.0.0", environment).await;
                let view = shop.succeeded(&one).await;
                each_task_ended_once(shop, &view, &one).await?;
                migrated_once(shop, environment).await?;
            }
            for (host, target, greeting) in [(0, "staging-01", "hello"), (1, "web-01", "HELLO"), (2, "web-02", "HELLO")]
            {
                assert_eq!(shop.page(host).await?, format!("shop 1.0.0 says {greeting}\n"));
                let running = shop.running_on(target).await?;
                assert_eq!(running.len(), 1, "one container on {target}: {running:#?}");
            }
            let all = shop.all_containers().await?;
            let left: Vec<_> = all.iter().map(|c| (c.names.clone(), containers::state(c))).collect();
            assert_eq!(all.len(), 3, "nothing is left lying about: {left:#?}");
            Ok(())
        },
    )
    .await
}

/// Kills the victim whenever two more messages are in the log, until the deployment is over. With `approve`, ana votes first.
async fn kill_until_finished(
    shop: &mut Shop,
    victim: &str,
    environment: &str,
    approve: Option<&DeploymentSummary>,
) -> Result<u32> {
    if let Some(one) = approve {
        wait::until("ana's vote is taken", || shop.approve(one)).await;
    }
    let (mut kills, mut next) = (0, 0);
    let end = tokio::time::Instant::now() + 3 * wait::PATIENCE;
    while !over(shop, environment).await {
        assert!(tokio::time::Instant::now() < end, "never over\n{}", shop.stack.tails());
        let head = head(shop).await.unwrap_or(0);
        // The executor's absence is noticed after 15 s, so it gets fewer deaths in the same time.
        let stride = if victim.starts_with("executor") { 4 } else { 2 };
        if head >= next && kills < 8 {
            kill_and_restart(shop, victim).await?;
            kills += 1;
            next = head + stride;
        }
    }
    Ok(kills)
}

async fn kill_and_restart(shop: &mut Shop, victim: &str) -> Result<()> {
    shop.stack.kill(victim).await?;
    shop.stack.restart(victim)
}

async fn over(shop: &Shop, environment: &str) -> bool {
    let path = format!("/api/v1/deployments?project={}&environment={environment}", shop.project());
    let all: Vec<DeploymentSummary> = shop.stack.admin.get(&path).await.unwrap_or_default();
    !all.is_empty() && all.iter().all(|one| one.finished_at.is_some())
}

/// How many messages the deployment log has.
async fn head(shop: &Shop) -> Result<u64> {
    let look = async {
        let client = log::connect(&shop.stack.nats_url(), &shop.stack.seed("operator")).await?;
        let stream = async_nats::jetstream::new(client).get_stream("DEPLOYMENTS").await?;
        anyhow::Ok(stream.cached_info().state.last_sequence)
    };
    tokio::time::timeout(std::time::Duration::from_secs(2), look).await?
}

async fn each_task_ended_once(shop: &Shop, view: &DeploymentView, one: &DeploymentSummary) -> Result<()> {
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for event in shop.events(one).await? {
        let Some(task) = event.task else { continue };
        let succeeded = event.events.as_array().into_iter().flatten().filter(|e| e["event"] == "succeeded").count();
        *ends.entry(task.to_string()).or_default() += u32::try_from(succeeded)?;
    }
    let tasks: usize = view.steps.iter().filter(|step| step.skipped.is_none()).map(|step| step.tasks.len()).sum();
    assert!(!ends.is_empty() && tasks > 0);
    assert!(ends.values().all(|n| *n == 1), "each task succeeded once: {ends:?}");
    Ok(())
}

async fn migrated_once(shop: &Shop, environment: &str) -> Result<()> {
    let path = format!("sqlite://{}", shop.data().join(format!("{environment}.db")).display());
    let mut connection = SqliteConnection::connect(&path).await?;
    let products: i64 = sqlx::query_scalar("SELECT count(*) FROM products").fetch_one(&mut connection).await?;
    assert_eq!(products, 2, "the migration of {environment} was applied once");
    Ok(())
}
