//! `slipway-notifier`: posts to Slack what deployments want to say, and takes approvals from there.
//!
//! Serves the pseudo-target `notifier` as a holder of tasks, folds the log for open gates, and listens for
//! Slack's interactions. It decides nothing: votes go to the log, where the planner counts them.

mod board;
mod edits;
mod gates;
mod notices;
mod settings;
mod slack;
mod votes;
mod web;

use std::{
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use slipway_bus::{Bus, BusConfig, BusError};
use slipway_domain::{name::TargetName, presence::Role};
use slipway_service::{
    Command, ops,
    program::{self, Threads},
    readiness::Readiness,
};
use slipway_worker::WorkerConfig;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    board::Board, edits::Watermark, notices::Notices, settings::Settings, slack::Slack, votes::Votes, web::Face,
};

/// Tasks at a time. A notice is one short request, and Slack's rate limit is the bound that matters.
const SLOTS: usize = 8;
/// Pause before NATS is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// How long votes under way may take after shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// Posts to Slack and takes approvals from there
#[derive(Debug, Parser)]
#[command(name = "slipway-notifier", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    let Cli { command, settings } = Cli::parse();
    program::main("slipway-notifier", Threads::One, command, &settings.redacted(), |shutdown| run(settings, shutdown))
}

/// Serves until shutdown, or until one part can not go on.
async fn run(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let state_dir = settings.state_dir();
    std::fs::create_dir_all(&state_dir)
        .with_context(|| format!("the state directory {} can not be made", state_dir.display()))?;
    let face = Arc::new(face(&settings)?);
    let readiness = Readiness::new(&["nats", board::COMPONENT]);
    let listen = settings.listen.or_port(settings::PORT);
    let router = ops::router(readiness.clone()).merge(web::router(face.clone()));
    let mut parts = JoinSet::new();
    let until = shutdown.clone();
    parts.spawn(async move { ops::serve(listen, router, until).await.context("HTTP") });
    parts.spawn(serve_log(settings, face.clone(), readiness, shutdown.clone()));
    let outcome = all_or_none(parts, &shutdown).await;
    face.tasks.close();
    if tokio::time::timeout(DRAIN, face.tasks.wait()).await.is_err() {
        tracing::warn!("votes that the log did not answer for are left behind; pressing again is safe");
    }
    outcome
}

fn face(settings: &Settings) -> anyhow::Result<Face> {
    let token = settings::secret(settings.slack_token_file.as_ref(), "SLIPWAY_SLACK_TOKEN_FILE")?;
    let signing_secret =
        settings::secret(settings.slack_signing_secret_file.as_ref(), "SLIPWAY_SLACK_SIGNING_SECRET_FILE")?;
    let slack = Slack::new(&settings.slack_api_url, token).context("the HTTP client for Slack can not be made")?;
    if !slack.is_configured() {
        tracing::warn!("SLIPWAY_SLACK_TOKEN_FILE is not set: steps that post to Slack will fail");
    }
    if signing_secret.is_none() {
        tracing::warn!("SLIPWAY_SLACK_SIGNING_SECRET_FILE is not set: approvals from Slack are refused");
    }
    Ok(Face { signing_secret, votes: OnceLock::new(), slack, tasks: TaskTracker::new() })
}

/// All that needs the log: the fold, the edits, the tasks.
async fn serve_log(
    settings: Settings,
    face: Arc<Face>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let (bus, head) = tokio::select! {
        connected = connect(&settings) => connected.context("NATS")?,
        () = shutdown.cancelled() => return Ok(()),
    };
    readiness.set("nats", Ok(()));
    let board = Arc::new(Board::new());
    let _ = face.votes.set(Votes { bus: bus.clone(), board: board.clone() });
    let state_dir = settings.state_dir();
    let watermark = Watermark::load(&state_dir, head)
        .with_context(|| format!("the state directory {} can not be read", state_dir.display()))?;
    let worker = WorkerConfig {
        role: Role::Notifier,
        name: settings.id,
        targets: vec![TargetName::notifier()],
        slots: SLOTS,
        state_dir,
    };
    let slack = face.slack.clone();
    let (edits, batches) = mpsc::unbounded_channel();
    let mut parts = JoinSet::new();
    let (fold_bus, fold_readiness, until) = (bus.clone(), readiness.clone(), shutdown.clone());
    parts.spawn(async move {
        board::follow(fold_bus, board, edits, fold_readiness, until).await.context("folding the log")
    });
    let (edit_slack, until) = (slack.clone(), shutdown.clone());
    parts.spawn(async move {
        edits::edit(edit_slack, watermark, batches, until).await;
        Ok(())
    });
    let until = shutdown.clone();
    parts.spawn(async move {
        slipway_worker::serve(bus, worker, Notices { slack }, readiness, until).await.context("serving tasks")
    });
    all_or_none(parts, &shutdown).await
}

/// The log, and its head. NATS may go away at any moment, so the head is asked for until it is known.
async fn connect(settings: &Settings) -> Result<(Bus, u64), BusError> {
    let bus = Bus::connect(&BusConfig {
        url: settings.nats.url.clone(),
        creds: settings.nats.creds.clone(),
        role: Role::Notifier,
        id: settings.id.to_string(),
    })
    .await?;
    bus.await_streams().await?;
    loop {
        match bus.head().await {
            Ok(head) => return Ok((bus, head)),
            Err(error @ BusError::Denied { .. }) => return Err(error),
            Err(error) => tracing::warn!(%error, "asking again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// The first part that ends asks the others to; the first error is the outcome.
async fn all_or_none(mut parts: JoinSet<anyhow::Result<()>>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = parts.join_next().await {
        let ended = ended.context("a part of the service panicked").and_then(|result| result);
        outcome = outcome.and(ended);
        shutdown.cancel();
    }
    outcome
}
