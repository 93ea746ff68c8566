//! Settings of a simulating executor.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use slipway_domain::duration::Span;

use super::{Performer, Simulator, journal::Journal, script::Script};
use crate::steps::Steps;

/// Flags, or `SLIPWAY_SIMULATE_*` variables.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Simulation, for rehearsals and load tests")]
pub struct SimulateArgs {
    /// Only pretend to do the steps: no Docker engine and no database is touched. Tasks are claimed, secrets fetched and
    /// ends written as always, so deployments seem to succeed; never mix with real executors on one target
    #[arg(long, env = "SLIPWAY_SIMULATE")]
    simulate: bool,
    /// How long a simulated step takes, from shortest to longest
    #[arg(long, env = "SLIPWAY_SIMULATE_DURATION", value_name = "MIN..MAX", default_value = "100ms..1s", value_parser = durations)]
    simulate_duration: (Span, Span),
    /// How many of a hundred attempts fail
    #[arg(long, env = "SLIPWAY_SIMULATE_FAILURES", value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    simulate_failures: u8,
    /// Draws durations and failures: the same number gives the same for the same attempt of the same deployment
    #[arg(long, env = "SLIPWAY_SIMULATE_SEED", value_name = "N", default_value_t = 0)]
    simulate_seed: u64,
    /// File to which every simulated effect is appended as a line of JSON. It stands for what the Docker engines and
    /// databases have: executors that serve the same targets share it, and after a restart it tells what to adopt.
    /// Without it a restarted executor starts anew
    #[arg(long, env = "SLIPWAY_SIMULATE_JOURNAL", value_name = "FILE")]
    simulate_journal: Option<PathBuf>,
}

impl SimulateArgs {
    /// What performs the tasks: the steps, or something that pretends to.
    pub fn performer(&self, steps: Steps) -> anyhow::Result<Performer> {
        if !self.simulate {
            return Ok(Performer::Real(steps));
        }
        tracing::warn!("simulating: steps seem to be done, but nothing is");
        let journal = Journal::open(self.simulate_journal.as_deref()).context("SLIPWAY_SIMULATE_JOURNAL")?;
        let (shortest, longest) = self.simulate_duration;
        let script = Script {
            shortest: shortest.0,
            longest: longest.0,
            failures: self.simulate_failures,
            seed: self.simulate_seed,
        };
        Ok(Performer::Simulated(Simulator { steps, script, journal }))
    }

    /// Whether steps are only pretended.
    pub fn is_on(&self) -> bool {
        self.simulate
    }

    /// The effective settings; null if nothing is simulated.
    pub fn shown(&self) -> serde_json::Value {
        let (shortest, longest) = self.simulate_duration;
        match self.simulate {
            false => serde_json::Value::Null,
            true => serde_json::json!({
                "duration": format!("{shortest}..{longest}"),
                "failures": self.simulate_failures,
                "seed": self.simulate_seed,
                "journal": self.simulate_journal,
            }),
        }
    }
}

/// `MIN..MAX`, or one span for both.
fn durations(text: &str) -> Result<(Span, Span), String> {
    let (shortest, longest) = text.split_once("..").unwrap_or((text, text));
    let (shortest, longest) = (Span::try_from(shortest.to_owned())?, Span::try_from(longest.to_owned())?);
    if shortest > longest {
        return Err(format!("{shortest} is longer than {longest}; write the shorter one first"));
    }
    if longest.0 > Duration::from_secs(24 * 3600) {
        return Err(format!("{longest} is longer than a day"));
    }
    Ok((shortest, longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_go_from_the_shortest_to_the_longest() {
        let span = |millis| Span(Duration::from_millis(millis));
        for (text, expected) in [
            ("50ms..2s", Some((span(50), span(2000)))),
            ("0s..0s", Some((span(0), span(0)))),
            ("1s", Some((span(1000), span(1000)))),
            ("2s..1s", None),
            ("5", None),
            ("1s..", None),
            ("0s..2d", None),
        ] {
            assert_eq!(durations(text).ok(), expected, "{text}");
        }
    }
}
