//! A planner that starts behind a long log.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::jetstream::{self, context::PublishAckFuture};
use futures::{StreamExt, stream::FuturesUnordered};
use slipway_domain::{
    event::{Address, Entry, PlanEvent, Recorded},
    id::DeploymentId,
};
use slipway_integration_tests::{history, log, stack::Stack};
use uuid::Uuid;

use crate::{live, say, usage};

const ENTRIES: usize = 1_000_000;
/// Writes that are under way at a time.
const AT_ONCE: usize = 1_000;
/// Deployments that are under way at the end of the log, with so many of their entries.
const UNFINISHED: usize = 1_000;
const BEGUN: usize = 12;

/// Repeats the histories of finished deployments until the log is long, lets others begin, and starts a planner.
pub async fn run(stack: &mut Stack, finished: &[DeploymentId]) -> Result<()> {
    let history = history::read(stack).await?;
    for service in ["planner", "release", "notifier", "executor-1"] {
        stack.kill(service).await?;
    }
    let stories: Vec<Vec<&Recorded>> = finished
        .iter()
        .map(|id| history.iter().filter(|recorded| recorded.address.deployment() == *id).collect())
        .collect();
    let began = Instant::now();
    let config = stack.path("nats").join("nats.conf");
    let careful = std::fs::read_to_string(&config)?;
    // Only while the log is made: a million writes that are each on the disk take the better part of an hour.
    std::fs::write(&config, careful.replace("sync_interval: always", "sync_interval: \"1m\""))?;
    nats_again(stack).await?;
    let mut writer = Writer::start(stack).await?;
    let mut written = history.len();
    for story in stories.iter().cycle() {
        writer.write(story).await?;
        written += story.len();
        if written >= ENTRIES {
            break;
        }
    }
    for story in stories.iter().cycle().take(UNFINISHED.min(stories.len())) {
        writer.write(&story[..BEGUN.min(story.len())]).await?;
        written += BEGUN;
    }
    writer.finish().await?;
    std::fs::write(&config, careful)?;
    nats_again(stack).await?;
    let took = began.elapsed().as_secs_f64();
    say(&format!("{written} entries in the log; those that were missing took {took:.0} s to write"))?;
    let began = Instant::now();
    stack.restart("planner")?;
    live::ready(stack, "planner").await?;
    let took = began.elapsed().as_secs_f64();
    let used = usage::of(stack.process("planner"))?;
    say(&format!(
        "=> a cold planner is ready after {took:.1} s: {:.0} entries/s, {:.1} s of CPU, {:.0} MB, at most {:.0} MB, with {UNFINISHED} deployments under way",
        written as f64 / took,
        used.cpu,
        used.rss,
        used.peak
    ))
}

async fn nats_again(stack: &mut Stack) -> Result<()> {
    stack.process("nats").terminate().await?;
    stack.restart("nats")?;
    live::nats_ready(stack).await.map(drop)
}

/// Writes to the log without looking at what is there.
struct Writer {
    jetstream: jetstream::Context,
    acks: FuturesUnordered<<PublishAckFuture as IntoFuture>::IntoFuture>,
}

impl Writer {
    async fn start(stack: &Stack) -> Result<Self> {
        let client = log::connect(&stack.nats_url(), &stack.seed("operator")).await?;
        // Once a minute all that was written is brought to the disk, and everybody waits for it.
        let jetstream = jetstream::ContextBuilder::new().timeout(Duration::from_secs(120)).build(client);
        Ok(Self { jetstream, acks: FuturesUnordered::new() })
    }

    /// Writes a story as one of another deployment.
    async fn write(&mut self, story: &[&Recorded]) -> Result<()> {
        let id = DeploymentId(Uuid::new_v4());
        for recorded in story {
            let (address, entry) = moved(recorded, id);
            let packed = zstd::bulk::compress(&entry.to_json()?, 1)?;
            let ack = self.jetstream.publish(subject(&address), packed.into()).await?;
            self.acks.push(ack.into_future());
            if self.acks.len() >= AT_ONCE {
                self.acks.next().await.context("an ack")??;
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<()> {
        while let Some(ack) = self.acks.next().await {
            ack?;
        }
        Ok(())
    }
}

fn moved(recorded: &Recorded, id: DeploymentId) -> (Address, Entry) {
    let address = match recorded.address.clone() {
        Address::Plan(_) => Address::Plan(id),
        Address::Task(_, key) => Address::Task(id, key),
        Address::Gate(_, step, scope) => Address::Gate(id, step, scope),
    };
    let mut entry = recorded.entry.clone();
    match &mut entry {
        Entry::Plan(envelope) => {
            envelope.id = Uuid::new_v4();
            for event in &mut envelope.events {
                if let PlanEvent::Requested { request } = event {
                    request.id = id;
                }
            }
        }
        Entry::Task(envelope) => envelope.id = Uuid::new_v4(),
        Entry::Gate(envelope) => envelope.id = Uuid::new_v4(),
    }
    (address, entry)
}

fn subject(address: &Address) -> String {
    match address {
        Address::Plan(id) => format!("deployment.{id}.plan"),
        Address::Task(id, key) => format!("deployment.{id}.task.{}.{}", key.target, key.step),
        Address::Gate(id, step, _) => format!("deployment.{id}.gate.{step}.all"),
    }
}
