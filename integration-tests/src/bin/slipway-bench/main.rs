//! Measures Slipway as a whole, with all services as processes, against a floor measured in the same run.
//!
//! A figure of one machine means little; a ratio says what Slipway adds. See docs/benchmarks.md.

mod big_output;
mod cold;
mod containers;
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
        Some("containers") => containers::run().await,
        other => bail!("what shall be measured: floor, speed, scale, cold, containers or recovery? Not {other:?}"),
    }
}

/// Prints a line at once.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Prints the middle one of several figures, and whether what was promised of it holds.
fn verdict(what: &str, mut figures: Vec<f64>, promise: &str, holds: impl Fn(f64) -> bool) -> Result<()> {
    figures.sort_by(f64::total_cmp);
    let middle = figures[figures.len() / 2];
    let word = if holds(middle) { "holds" } else { "MISSES" };
    say(&format!("=> {what}: {middle:.2} ({promise}): {word}"))
}
