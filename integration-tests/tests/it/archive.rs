//! What is over leaves the log and stays in the archive, from which everything is told as before.

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use futures::StreamExt as _;
use slipway_domain::{
    api::{DeploymentSummary, DeploymentView, PlanView, Rebuild},
    id::DeploymentId,
};
use slipway_integration_tests::{
    chaos::Simulate,
    log,
    rehearsal::Rehearsal,
    stack::{Stack, Wanted},
    wait,
};
use sqlx::Connection as _;

const STEPS: &str = "  - {name: job, docker-job: {package: app}}
  - {name: hold, needs: [job], demo: {message: look}}
  - {name: web, needs: [hold], targets: {role: web}, docker-run: {package: app}}";
const QUICK: Simulate = Simulate { duration: "5ms..20ms", failures: 0, seed: 1 };

async fn rehearsal() -> Result<Rehearsal> {
    let variables = vec![("SLIPWAY_LOG_HOURS".to_owned(), "0".to_owned())];
    Rehearsal::start(STEPS, QUICK, Wanted { variables, ..Wanted::default() }).await
}

/// The subjects of the log that are of a deployment, one for each message.
async fn left_in_log(stack: &Stack, id: DeploymentId) -> Result<Vec<String>> {
    let client = log::connect(&stack.nats_url(), &stack.seed("operator")).await?;
    let stream = jetstream::new(client).get_stream("DEPLOYMENTS").await?;
    let subjects = stream.info_with_subjects(format!("deployment.{id}.>")).await?;
    let counts: Vec<(String, usize)> =
        subjects.map(|one| one.context("a subject")).collect::<Vec<_>>().await.into_iter().collect::<Result<_>>()?;
    Ok(counts.into_iter().flat_map(|(subject, count)| vec![subject; count]).collect())
}

async fn until_purged(stack: &Stack, id: DeploymentId) {
    wait::until(&format!("{id} has left the log"), || async {
        let left = left_in_log(stack, id).await.map_err(|error| format!("{error:#}"))?;
        if left == [format!("deployment.{id}.plan")] { Ok(()) } else { Err(left.join(", ")) }
    })
    .await;
}

/// What the API tells of a deployment, but for how far the log was read.
async fn told(rehearsal: &Rehearsal, id: DeploymentId) -> Result<(DeploymentView, PlanView, String)> {
    let admin = &rehearsal.stack.admin;
    let mut view = rehearsal.view(id).await?;
    view.at_seq = 0;
    let plan = admin.get(&format!("/api/v1/deployments/{id}/plan")).await?;
    let events = admin.request(reqwest::Method::GET, &format!("/api/v1/deployments/{id}/events?follow=false"));
    Ok((view, plan, events.send().await?.error_for_status()?.text().await?))
}

#[tokio::test]
async fn what_is_over_leaves_the_log_and_is_told_from_the_archive_as_before() -> Result<()> {
    let mut rehearsal = rehearsal().await?;
    let first = rehearsal.deploy_at(&rehearsal.stack.admin.clone(), "first").await?;
    rehearsal.running(first.id, "hold", 1).await;
    let held = rehearsal.deploy_at(&rehearsal.stack.admin.clone(), "held").await?;
    ensure!(left_in_log(&rehearsal.stack, first.id).await?.len() > 3, "what goes on stays in the log");
    rehearsal.go(first.id, "hold").await?;
    rehearsal.succeeded(first.id).await;
    rehearsal.running(held.id, "hold", 1).await;
    until_purged(&rehearsal.stack, first.id).await;
    let before = told(&rehearsal, first.id).await?;
    ensure!(before.2.contains("\"requested\"") && before.2.contains("finished"), "{}", before.2);
    // Nobody remembers anything now.
    for name in ["release", "planner", "executor-1", "notifier"] {
        rehearsal.stack.kill(name).await?;
    }
    for name in ["release", "planner", "executor-1", "notifier"] {
        rehearsal.stack.restart(name)?;
    }
    rehearsal.stack.ready().await;
    let after = told(&rehearsal, first.id).await?;
    assert_eq!(before.0, after.0);
    assert!(before.1 == after.1 && before.2 == after.2, "plan and events are told as before");
    // The same request is the same deployment still.
    let again = rehearsal.ask(&rehearsal.stack.admin, "first").await?;
    assert_eq!((again.id, again.seq), (first.id, first.seq));
    let (code, text) =
        rehearsal.stack.cli(&rehearsal.stack.admin, &["deployment", "cancel", &first.id.to_string()]).await?;
    assert!(code == 3 && text.contains("is over: succeeded"), "{code}: {text}");
    rehearsal.running(held.id, "hold", 2).await;
    rehearsal.go(held.id, "hold").await?;
    rehearsal.succeeded(held.id).await;
    until_purged(&rehearsal.stack, held.id).await;
    let listed: Vec<DeploymentSummary> = rehearsal.stack.admin.get("/api/v1/deployments").await?;
    assert_eq!(listed.len(), 2);
    Ok(())
}

#[tokio::test]
async fn rows_are_made_again_from_the_archive_while_everybody_reads_and_a_deployment_goes_on() -> Result<()> {
    let mut rehearsal = rehearsal().await?;
    let first = rehearsal.deploy().await?.id;
    rehearsal.running(first, "hold", 1).await;
    rehearsal.go(first, "hold").await?;
    rehearsal.succeeded(first).await;
    until_purged(&rehearsal.stack, first).await;
    let held = rehearsal.deploy().await?.id;
    rehearsal.running(held, "hold", 1).await;
    let right = (told(&rehearsal, first).await?.0, told(&rehearsal, held).await?.0);
    let file = rehearsal.stack.path("release.db");
    let mut database = sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display())).await?;
    for damage in [
        "update deployments set summary = replace(summary, '1.0.0', '9.9.9')",
        "delete from tasks where step = 'job'",
        "insert into steps select deployment, 'nobody', 9, true, view from steps where step = 'web'",
        "insert into deployments select '00000000-0000-4000-8000-000000000001', 0, project, environment, version, status, outcome, summary, parts, ended_at from deployments limit 1",
    ] {
        sqlx::query(damage).execute(&mut database).await.with_context(|| damage.to_owned())?;
    }
    assert_ne!(told(&rehearsal, first).await?.0, right.0);
    assert_ne!(told(&rehearsal, held).await?.0, right.1);
    let (code, text) = rehearsal.stack.cli(&rehearsal.stack.admin, &["repair", "rebuild"]).await?;
    assert!(
        code == 0 && text.contains("2 deployments made again") && text.contains("1 that no entry knows"),
        "{code}: {text}"
    );
    let state: Rebuild = rehearsal.stack.admin.get("/api/v1/rebuild").await?;
    assert!(matches!(state, Rebuild::Done { .. }), "{state:?}");
    assert_eq!((told(&rehearsal, first).await?.0, told(&rehearsal, held).await?.0), right);
    rehearsal.go(held, "hold").await?;
    rehearsal.succeeded(held).await;
    Ok(())
}

#[tokio::test]
async fn a_purge_that_was_interrupted_is_finished_after_the_restart() -> Result<()> {
    let mut rehearsal = rehearsal().await?;
    for point in ["release.purged.before", "release.purged.after"] {
        rehearsal.stack.kill("release").await?;
        rehearsal.stack.process("release").set("SLIPWAY_FAILPOINT", Some(point));
        rehearsal.stack.restart("release")?;
        rehearsal.stack.ready().await;
        let id = rehearsal.deploy().await?.id;
        rehearsal.running(id, "hold", 1).await;
        rehearsal.go(id, "hold").await?;
        wait::until(&format!("it dies at {point}"), || {
            let running = rehearsal.stack.process("release").is_running();
            async move { if running { Err("it goes on") } else { Ok(()) } }
        })
        .await;
        rehearsal.stack.process("release").set("SLIPWAY_FAILPOINT", None);
        rehearsal.stack.kill("release").await?;
        rehearsal.stack.restart("release")?;
        rehearsal.stack.ready().await;
        until_purged(&rehearsal.stack, id).await;
        rehearsal.succeeded(id).await;
        let file = rehearsal.stack.path("release.db");
        wait::until("nothing is left to be done", || async {
            let database = sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display())).await;
            let mut database = database.map_err(|error| error.to_string())?;
            let left = sqlx::query("select deployment from purges").fetch_all(&mut database).await;
            let left = left.map_err(|error| error.to_string())?.len();
            if left == 0 { Ok(()) } else { Err(format!("{left} purges")) }
        })
        .await;
    }
    Ok(())
}
