//! `slipway-release`: the HTTP API, webhooks, the web page, the secrets and the database.
//!
//! It asks for deployments and shows them; it plans nothing and touches no host.

mod api;
mod app;
mod archive;
mod auth;
mod bootstrap;
mod drift_answers;
mod drift_watch;
mod hooks;
mod keyring;
mod operations;
mod policy;
mod presence;
mod problem;
mod projection;
mod promotion;
mod pushes;
mod rebuild;
mod registry;
mod repair_log;
mod retention;
mod room;
mod rotation;
mod secret_delivery;
mod server;
mod settings;
#[cfg(test)]
mod story;
mod web;
mod world;

use std::{
    io::Write as _,
    process::ExitCode,
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use clap::Parser as _;
use slipway_bus::{Bus, BusConfig};
use slipway_domain::{name::HolderName, presence::Role};
use slipway_service::{
    ops,
    program::{self, Threads},
    readiness::Readiness,
};
use slipway_store::Store;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::{App, Shared},
    keyring::Keyring,
    settings::{Cli, Command, PORT, Settings},
};

/// How long the goodbye may take.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(2);

fn main() -> ExitCode {
    let Cli { command, settings } = Cli::parse();
    match command {
        Some(Command::RepairLog(how)) => return once(repair_log::repair(&settings, &how)),
        Some(Command::RotateMasterKey) => return once(rotation::rotate(&settings)),
        _ => {}
    }
    let command = command.as_ref().and_then(Command::common);
    program::main("slipway-release", Threads::Many, command, &settings.effective(), |shutdown| run(settings, shutdown))
}

/// Does something that ends by itself, and says what came of it.
fn once(work: impl Future<Output = anyhow::Result<String>>) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().context("the runtime can not be started");
    match runtime.and_then(|runtime| runtime.block_on(work)) {
        Ok(text) => {
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "slipway-release: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let id = HolderName::new(settings.id.clone()).context("SLIPWAY_ID")?;
    let app = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        app = start(settings, shutdown.clone()) => app?,
    };
    let work = TaskTracker::new();
    work.spawn(nats_readiness(app.clone(), shutdown.clone()));
    work.spawn(presence::run(app.clone(), shutdown.clone()));
    let goodbye = CancellationToken::new();
    let archived = app.clone();
    let archived = move || archived.folded.archived();
    let presence =
        app.bus.clone().stay_present((Role::Release, id), env!("CARGO_PKG_VERSION"), archived, goodbye.clone());
    let presence = tokio::spawn(presence);
    work.spawn(room::run(app.clone(), shutdown.clone()));
    work.spawn(archive::run(app.clone(), shutdown.clone()));
    work.spawn(guard("fold", projection::run(app.clone(), shutdown.clone()), app.clone()));
    work.spawn(guard("secret delivery", secret_delivery::run(app.clone(), shutdown.clone()), app.clone()));
    work.spawn(guard("drift", drift_answers::run(app.clone(), shutdown.clone()), app.clone()));
    work.spawn(guard("pushes", pushes::run(app.clone(), shutdown.clone()), app.clone()));
    work.spawn(retention::run(app.clone(), shutdown.clone()));
    work.spawn(drift_watch::run(app.clone(), shutdown.clone()));
    work.spawn(policy::run(app.clone(), shutdown.clone()));
    work.spawn(promotion::run(app.clone(), shutdown.clone()));
    let served = ops::serve(app.settings.listen.or_port(PORT), server::router(app.clone()), shutdown.clone()).await;
    shutdown.cancel();
    work.close();
    work.wait().await;
    served.context("the HTTP server failed")?;
    match app.failure.get() {
        // What it said last of its archive stands for a while, for planners that start after it.
        Some(failure) => Err(anyhow::anyhow!("{failure}")),
        None => {
            goodbye.cancel();
            let _ = tokio::time::timeout(GOODBYE, presence).await;
            Ok(())
        }
    }
}

/// Connects to everything and checks it.
async fn start(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<Shared> {
    let store = Store::connect(&settings.database_url).await.context("the database can not be used")?;
    let keyring = Keyring::of(&settings.master_key_file, &store).await?;
    bootstrap::admin_token(&store, &settings.admin_token_file).await?;
    let config = BusConfig {
        url: settings.nats.url.clone(),
        creds: settings.nats.creds.clone(),
        role: Role::Release,
        id: settings.id.clone(),
    };
    let bus = Bus::connect(&config).await?;
    bus.ensure_streams(settings.nats.replicas).await?;
    let folded = projection::Folded::default();
    if let Some(mark) = store.newest_events(1).await?.pop() {
        folded.set_archived(mark);
    }
    Ok(Arc::new(App {
        world: Mutex::default(),
        settings,
        bus,
        store,
        keyring,
        folded,
        presences: presence::Presences::default(),
        registries: registry::Registries::default(),
        room: room::Room::default(),
        drift: drift_watch::Watched::default(),
        rebuild: rebuild::Progress::default(),
        readiness: Readiness::new(&["nats", "fold"]),
        shutdown,
        failure: std::sync::OnceLock::new(),
    }))
}

/// Ends the service when a part of it that it can not do without has failed.
async fn guard<E: std::fmt::Display>(part: &'static str, work: impl Future<Output = Result<(), E>>, app: Shared) {
    let result = work.await;
    if app.shutdown.is_cancelled() && result.is_ok() {
        return;
    }
    let reason = match result {
        Ok(()) => "it ended by itself".to_owned(),
        Err(error) => error.to_string(),
    };
    tracing::error!(part, reason, "the service ends");
    let _ = app.failure.set(format!("{part}: {reason}"));
    app.shutdown.cancel();
}

async fn nats_readiness(app: Shared, shutdown: CancellationToken) {
    let mut connected = app.bus.connected();
    loop {
        let state = if *connected.borrow_and_update() { Ok(()) } else { Err("not connected to NATS".to_owned()) };
        app.readiness.set("nats", state);
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = connected.changed() => if changed.is_err() { return },
        }
    }
}
