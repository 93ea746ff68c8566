//! `slipway`: the command for people and scripts. A client of the HTTP API, a checker of manifests,
//! and the starter of a local stack. Has no rules of its own.

mod client;
mod commands;
mod failure;
mod nats;
mod output;
mod settings;
mod sse;
mod stack;
mod times;
mod watch;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // A second provider can not be there: this is the first line of the program.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = commands::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("slipway: the program's runtime does not start: {error}\n"));
            return ExitCode::from(1);
        }
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure.shown());
            ExitCode::from(failure.exit_code())
        }
    }
}
