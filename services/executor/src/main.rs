//! `slipway-executor`: runs tasks on the Docker engines of its host.
//!
//! It makes no choices and has no rules: an order is complete. It needs NATS and Docker, no database.

mod docker;
mod settings;
mod simulate;
mod steps;
mod task;

use anyhow::Context;
use clap::Parser;
use slipway_bus::Bus;
use slipway_service::{Command, crypto, ops, readiness::Readiness, shutdown, telemetry};

use crate::{settings::Settings, steps::Steps};

fn main() -> anyhow::Result<()> {
    crypto::install();
    let settings = Settings::parse();
    match settings.command.unwrap_or_default() {
        Command::Config => settings.print(),
        Command::Run => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(run(settings))
        }
    }
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let telemetry = telemetry::init("slipway-executor");
    let shutdown = shutdown::token();
    let readiness = Readiness::new(&["nats", "worker"]);
    let operators = tokio::spawn(ops::serve(settings.address(), ops::router(readiness.clone()), shutdown.clone()));
    let steps = Steps::new(settings.worker_docker.clone(), settings::probe_client()?);
    let performer = settings.simulate.performer(steps)?;
    let worker = settings.worker_config()?;
    tracing::info!(id = %worker.name, targets = ?worker.targets, "starting");
    let connected = async {
        let bus = Bus::connect(&settings.bus_config()).await.context("connecting to NATS")?;
        bus.await_streams().await.context("waiting for the streams")?;
        anyhow::Ok(bus)
    };
    let result = tokio::select! {
        bus = connected => match bus {
            Ok(bus) => slipway_worker::serve(bus, worker, performer, readiness, shutdown.clone()).await.context("serving tasks"),
            Err(error) => Err(error),
        },
        // While NATS is waited for there is nothing to drain.
        () = shutdown.cancelled() => Ok(()),
    };
    shutdown.cancel();
    operators.await.context("the operators' endpoint")??;
    telemetry.shutdown();
    result
}
