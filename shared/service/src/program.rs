//! The frame of a service's `main`: print the settings, or serve with telemetry until told to stop.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::{Command, shutdown, telemetry};

/// On how many threads a service works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One: what it does is short and follows from what came just before, so waking another thread costs more than it
    /// saves.
    One,
    /// As many as there are processors.
    Many,
}

impl Threads {
    fn runtime(self) -> std::io::Result<tokio::runtime::Runtime> {
        match self {
            Self::One => tokio::runtime::Builder::new_current_thread().enable_all().build(),
            Self::Many => tokio::runtime::Runtime::new(),
        }
    }
}

/// Does what the command says and tells a failure once, on stderr. `effective` are the settings with their secrets
/// redacted; `serve` gets the token that SIGTERM cancels.
pub fn main<F, Serving>(
    name: &'static str,
    threads: Threads,
    command: Option<Command>,
    effective: &str,
    serve: F,
) -> ExitCode
where
    F: FnOnce(CancellationToken) -> Serving,
    Serving: Future<Output = anyhow::Result<()>>,
{
    let outcome = match command.unwrap_or_default() {
        Command::Config => std::io::stdout().write_all(effective.as_bytes()).context("stdout"),
        Command::Run => run(name, threads, serve),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run<F, Serving>(name: &'static str, threads: Threads, serve: F) -> anyhow::Result<()>
where
    F: FnOnce(CancellationToken) -> Serving,
    Serving: Future<Output = anyhow::Result<()>>,
{
    threads.runtime().context("the runtime can not be started")?.block_on(async {
        let telemetry = telemetry::init(name);
        let outcome = serve(shutdown::token()).await;
        // The last export blocks.
        tokio::task::spawn_blocking(|| telemetry.shutdown()).await.context("the last traces")?;
        outcome
    })
}
