//! `slipway-planner`: folds the log, decides what comes next, and rings for what may be claimed.
//!
//! It has no database and no state of its own: killed at any moment, it reads the log again and goes
//! on. Any number of planners may run; the log's compare-and-set lets one of them win each decision.

mod agenda;
mod appends;
mod archive;
mod clock;
mod contacts;
mod leases;
mod planner;
mod promises;
mod rings;
mod settings;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use slipway_bus::{Bus, BusConfig};
use slipway_domain::presence::Role;
use slipway_service::{
    Command, ops,
    program::{self, Threads},
    readiness::Readiness,
};
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

/// Decides what every deployment does next
#[derive(Debug, Parser)]
#[command(name = "slipway-planner", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    let Cli { command, settings } = Cli::parse();
    program::main("slipway-planner", Threads::One, command, &settings.redacted(), |shutdown| run(settings, shutdown))
}

async fn run(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let readiness = Readiness::new(&["nats", planner::COMPONENT]);
    let listen = settings.listen.or_port(settings::PORT);
    let serving = ops::serve(listen, ops::router(readiness.clone()), shutdown.clone());
    let working = async {
        let config = BusConfig {
            url: settings.nats.url.clone(),
            creds: settings.nats.creds.clone(),
            role: Role::Planner,
            id: settings.id.to_string(),
        };
        let connecting = async {
            let bus = Bus::connect(&config).await.context("NATS")?;
            bus.ensure_streams(settings.nats.replicas).await.context("the streams of the log")?;
            anyhow::Ok(bus)
        };
        // While NATS is waited for there is nothing to end.
        let Some(bus) = shutdown.run_until_cancelled(connecting).await else { return Ok(()) };
        readiness.set("nats", Ok(()));
        planner::run(bus?, settings.id, readiness.clone(), shutdown.clone()).await
    };
    tokio::pin!(working);
    tokio::select! {
        served = serving => {
            served.with_context(|| format!("serving health on {listen}"))?;
            working.await
        }
        worked = &mut working => worked,
    }
}
