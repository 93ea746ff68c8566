//! `slipway-executor`: runs tasks on the Docker engines of its host.
//!
//! It makes no choices and has no rules: an order is complete. It needs NATS and Docker, no database.

mod docker;
mod errands;
mod settings;
mod simulate;
mod steps;
mod task;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use slipway_bus::Bus;
use slipway_service::{
    ops,
    program::{self, Threads},
    readiness::Readiness,
};
use tokio_util::sync::CancellationToken;

use crate::{settings::Settings, steps::Steps};

fn main() -> ExitCode {
    let settings = Settings::parse();
    program::main("slipway-executor", Threads::Many, settings.command, &settings.effective(), |shutdown| {
        run(settings, shutdown)
    })
}

async fn run(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let readiness = Readiness::new(&["nats", "worker"]);
    let operators = tokio::spawn(ops::serve(settings.address(), ops::router(readiness.clone()), shutdown.clone()));
    let steps = Steps::new(settings.worker_docker.clone(), settings.ssh_config.clone(), settings::probe_client()?);
    // What is only pretended nobody can look at.
    let engines = (!settings.simulate.is_on()).then(|| steps.engines());
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
            Ok(bus) => {
                // Ends with the runtime: an errand is never waited for.
                if let Some(engines) = engines {
                    errands::serve(&bus, &worker, &engines).await;
                }
                slipway_worker::serve(bus, worker, performer, readiness, shutdown.clone()).await.context("serving tasks")
            }
            Err(error) => Err(error),
        },
        // While NATS is waited for there is nothing to drain.
        () = shutdown.cancelled() => Ok(()),
    };
    shutdown.cancel();
    operators.await.context("the operators' endpoint")??;
    result
}
