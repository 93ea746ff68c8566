//! How soon work goes on after a process was killed, by the log's own clock.

use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use slipway_domain::{
    event::{Actor, Entry, PlanEvent, Recorded, TaskEvent},
    id::DeploymentId,
};
use slipway_integration_tests::{
    link::Link,
    stack::{Stack, Wanted},
    wait,
};

use crate::{
    live::{self, Log},
    load, say,
};

/// Each death is died so often; the worst counts.
const ROUNDS: usize = 5;
/// Steps of the chain that goes on while planners and NATS die, and how many of them ended before that.
const STEPS: usize = 400;
const ENDED_BEFORE: usize = 40;
const PATIENCE: Duration = Duration::from_secs(120);

/// All deaths, with a verdict each.
pub async fn run() -> Result<()> {
    let wanted = Wanted { executors: 2, planners: 2, ..Wanted::default() };
    let mut stack = load::stack(wanted, 8).await?;
    let hold = load::project_of("hold") + "  - {name: hold, demo: {message: held until it is cancelled}}\n";
    let chain = load::paced_chain("chain", STEPS, Duration::from_millis(10));
    stack.apply(&(hold + &chain)).await?;
    load::release(&stack, &["hold", "chain"].map(str::to_owned)).await?;
    let mut log = Log::follow(&stack).await?;
    say(&format!("each {ROUNDS} times; the worst counts"))?;
    executors(&mut stack, &mut log).await?;
    planners(&mut stack, &mut log).await?;
    nats(&mut stack, &mut log).await
}

async fn executors(stack: &mut Stack, log: &mut Log) -> Result<()> {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let (id, holder, place) = held(stack, log).await?;
        stack.kill(&holder).await?;
        let killed = Utc::now();
        let (_, again) = log.claim(place, Some(id)).await?;
        took.push(seconds(killed, again.at));
        stack.restart(&holder)?;
        live::ready(stack, &holder).await?;
        cancel(stack, id).await?;
    }
    verdict("an executor is killed, another one takes over after", took, 3.0)?;

    stack.kill("executor-2").await?;
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let (id, holder, place) = held(stack, log).await?;
        stack.kill(&holder).await?;
        stack.restart(&holder)?;
        let ready = live::ready(stack, &holder).await?;
        let (_, again) = log.claim(place, Some(id)).await?;
        took.push(seconds(ready, again.at));
        cancel(stack, id).await?;
    }
    verdict("an executor is killed, itself goes on after it is ready by", took, 0.5)?;

    let link = Link::start(stack.nats_url().trim_start_matches("nats://").to_owned()).await?;
    let straight = stack.nats_url();
    stack.kill("executor-1").await?;
    stack.process("executor-1").set("SLIPWAY_NATS_URL", Some(&link.nats_url()));
    stack.restart("executor-1")?;
    live::ready(stack, "executor-1").await?;
    let (id, _, place) = held(stack, log).await?;
    stack.restart("executor-2")?;
    live::ready(stack, "executor-2").await?;
    link.cut();
    let cut = Utc::now();
    let (_, again) = log.claim(place, Some(id)).await?;
    verdict("an executor's link is cut, another one takes over after", vec![seconds(cut, again.at)], 16.0)?;
    cancel(stack, id).await?;
    stack.kill("executor-1").await?;
    stack.process("executor-1").set("SLIPWAY_NATS_URL", Some(&straight));
    stack.restart("executor-1")?;
    live::ready(stack, "executor-1").await.map(drop)
}

async fn planners(stack: &mut Stack, log: &mut Log) -> Result<()> {
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let name = if round % 2 == 0 { "planner" } else { "planner-2" };
        let (id, place) = under_way(stack, log).await?;
        stack.kill(name).await?;
        load::over(stack, id, PATIENCE).await?;
        took.push(latest(&log.from(place), id));
        stack.restart(name)?;
        live::ready(stack, name).await?;
    }
    verdict("a planner of two is killed, steps start late by", took, 1.0)?;

    stack.kill("planner-2").await?;
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let (id, _) = under_way(stack, log).await?;
        stack.kill("planner").await?;
        let place = log.len();
        stack.restart("planner")?;
        let ready = live::ready(stack, "planner").await?;
        let (_, next) = log.first(place, "the planner goes on", is_grant).await?;
        took.push(seconds(ready, next.at));
        load::over(stack, id, PATIENCE).await?;
    }
    verdict("the only planner is killed, it goes on after it is ready by", took, 0.5)
}

async fn nats(stack: &mut Stack, log: &mut Log) -> Result<()> {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let (id, _) = under_way(stack, log).await?;
        stack.kill("nats").await?;
        stack.restart("nats")?;
        let ready = live::nats_ready(stack).await?;
        let next = |recorded: &Recorded| live::is_claim(recorded) && recorded.at > ready;
        let (_, next) = log.first(0, "a claim after the restart", next).await?;
        took.push(seconds(ready, next.at));
        load::over(stack, id, PATIENCE).await?;
    }
    verdict("NATS is killed, the next claim is after it is ready by", took, 2.0)
}

/// A deployment whose only step is held; by whom, and the place of the claim's successor in the log.
async fn held(stack: &Stack, log: &mut Log) -> Result<(DeploymentId, String, usize)> {
    let from = log.len();
    let id = load::request(stack, &["hold".to_owned()], load::NARROW, None).await?[0];
    let (place, claim) = log.claim(from, Some(id)).await?;
    let Actor::Holder { name, .. } = claim.entry.actor() else { anyhow::bail!("claimed by {}", claim.entry.actor()) };
    Ok((id, name.to_string(), place + 1))
}

async fn cancel(stack: &Stack, id: DeploymentId) -> Result<()> {
    let path = format!("/api/v1/deployments/{id}");
    let body = serde_json::json!({ "reason": "the benchmark has seen enough" });
    stack.admin.post::<serde_json::Value>(&format!("{path}/cancel"), &body).await?;
    wait::until("a cancelled deployment is over", || async {
        let view: slipway_domain::api::DeploymentView = stack.admin.get(&path).await?;
        anyhow::ensure!(view.summary.finished_at.is_some(), "{:?}", view.summary);
        Ok(())
    })
    .await;
    Ok(())
}

/// A chain of which some steps have ended, and the log's length by then.
async fn under_way(stack: &Stack, log: &mut Log) -> Result<(DeploymentId, usize)> {
    let mut place = log.len();
    let id = load::request(stack, &["chain".to_owned()], load::NARROW, None).await?[0];
    for _ in 0..ENDED_BEFORE {
        let ended = |recorded: &Recorded| recorded.address.deployment() == id && is_end(recorded);
        place = log.first(place, "a step ends", ended).await?.0 + 1;
    }
    Ok((id, place))
}

/// The longest time from the end of a step to the claim of the next one, in seconds.
fn latest(entries: &[Recorded], id: DeploymentId) -> f64 {
    let (mut ended, mut latest) = (None, 0.0_f64);
    for recorded in entries.iter().filter(|recorded| recorded.address.deployment() == id) {
        if is_end(recorded) {
            ended = Some(recorded.at);
        } else if live::is_claim(recorded)
            && let Some(ended) = ended.take()
        {
            latest = latest.max(seconds(ended, recorded.at));
        }
    }
    latest
}

fn is_end(recorded: &Recorded) -> bool {
    let ends = |event: &TaskEvent| matches!(event, TaskEvent::Succeeded { .. });
    matches!(&recorded.entry, Entry::Task(envelope) if envelope.events.iter().any(ends))
}

fn is_grant(recorded: &Recorded) -> bool {
    let grants = |event: &PlanEvent| matches!(event, PlanEvent::Granted { .. });
    live::is_claim(recorded) || matches!(&recorded.entry, Entry::Plan(envelope) if envelope.events.iter().any(grants))
}

/// Negative if the second moment came first.
fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64()
}

fn verdict(what: &str, took: Vec<f64>, promise: f64) -> Result<()> {
    let worst = took.iter().copied().max_by(f64::total_cmp).context("at least one round")?;
    let word = if worst <= promise { "holds" } else { "MISSES" };
    let all = took.iter().map(|seconds| format!("{seconds:.2}")).collect::<Vec<_>>().join(", ");
    say(&format!("=> {what} {worst:.2} s (at most {promise} s): {word}   [{all}]"))
}
