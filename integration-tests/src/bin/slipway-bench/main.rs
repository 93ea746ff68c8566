//! Measures Slipway as a whole, with all services as processes, against a floor measured in the same run.
//!
//! A figure of one machine means little; a ratio says what Slipway adds. See docs/benchmarks.md.

mod big_output;
mod cold;
mod floor;
mod live;
mod load;
mod recovery;
mod scale;
mod speed;
mod usage;

use std::io::Write as _;

use anyhow::{Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("floor") => floor::run().await,
        Some("speed") => speed::run().await,
        Some("recovery") => recovery::run().await,
        Some("scale") => scale::run().await,
        Some("cold") => scale::cold().await,
        other => bail!("what shall be measured: floor, speed, scale, cold or recovery? Not {other:?}"),
    }
}

/// Prints a line at once.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
