//! How fast steps follow one another, as ratios to the floor measured in the same run.

use std::time::Duration;

use anyhow::Result;
use slipway_integration_tests::{
    history,
    stack::{Stack, Wanted},
};

use crate::{
    floor::Floor,
    load::{self, Told, ms, percentile},
    say,
    usage::Usage,
    verdict,
};

/// Each measurement is made so often, in turns with that of the floor; the middle one counts.
const ROUNDS: usize = 3;
const HANDOFFS: usize = 500;
const STEPS: usize = 100;
const MANY: usize = 200;
const STEPS_OF_MANY: usize = 10;
const WIDE: usize = 1000;
const SLOTS: usize = 256;

/// All three, with a verdict each.
pub async fn run() -> Result<()> {
    let mut floor = Floor::start().await?;
    let wanted = Wanted { targets: load::target_names(WIDE), ..Wanted::default() };
    let mut stack = load::stack(wanted, SLOTS).await?;
    let projects: Vec<String> = (0..MANY).map(|n| format!("many-{n}")).collect();
    let mut manifests = load::targets(WIDE, 0) + &load::chain("chain", STEPS) + &load::fan("wide");
    manifests.extend(projects.iter().map(|project| load::chain(project, STEPS_OF_MANY)));
    load::apply(&stack, &manifests).await?;
    let singles = ["chain", "wide"].map(str::to_owned);
    load::release(&stack, &[singles.as_slice(), &projects].concat()).await?;

    say(&format!("median of {ROUNDS} rounds; each round measures the floor just before"))?;
    let (mut ratios, mut medians) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let handoffs = floor.one_by_one(HANDOFFS).await?;
        let (mean, p50) = (mean(&handoffs), percentile(&handoffs, 50));
        let (told, used) = measured(&mut stack, &singles[..1], load::NARROW).await?;
        let step = told.wall / u32::try_from(told.steps)?;
        let typical: Duration = told.parts().iter().map(|times| percentile(times, 50)).sum();
        ratios.push(step.as_secs_f64() / mean.as_secs_f64());
        medians.push(typical.as_secs_f64() / p50.as_secs_f64());
        say(&format!(
            "chain   floor mean {:.2} ms, p50 {:.2}; {} steps, {:.2} ms each, typically {:.2} = {:.1} and {:.1} floors\n        {}\n        {used}",
            ms(mean),
            ms(p50),
            told.steps,
            ms(step),
            ms(typical),
            ratios[ratios.len() - 1],
            medians[medians.len() - 1],
            parts(&told),
        ))?;
    }
    verdict("chain: floors a step, by the means", ratios, "at most 2", |ratio| ratio <= 2.0)?;
    verdict("chain: floors a step, by the medians", medians, "at most 2", |ratio| ratio <= 2.0)?;

    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let floors = (MANY * STEPS_OF_MANY) as f64 / floor.at_once(MANY * STEPS_OF_MANY, MANY).await?.as_secs_f64();
        let (told, used) = measured(&mut stack, &projects, load::NARROW).await?;
        let steps = told.steps as f64 / told.wall.as_secs_f64();
        ratios.push(steps / floors);
        say(&format!(
            "many    floor {floors:.0} handoffs/s; {MANY} deployments of {STEPS_OF_MANY} steps in {:.2} s: {steps:.0} steps/s, {:.0} entries/s = {:.2} of the floor\n        {}\n        {used}",
            told.wall.as_secs_f64(),
            told.entries as f64 / told.wall.as_secs_f64(),
            ratios[ratios.len() - 1],
            parts(&told),
        ))?;
    }
    verdict("many: steps/s as a part of the floor's handoffs/s", ratios, "at least 0.5", |ratio| ratio >= 0.5)?;

    let (mut ratios, mut pipelined) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let handoffs: Duration = floor.one_by_one(WIDE).await?.iter().sum();
        let at_once = floor.at_once(WIDE, SLOTS).await?;
        let (told, used) = measured(&mut stack, &singles[1..], load::WIDE).await?;
        ratios.push(told.wall.as_secs_f64() / handoffs.as_secs_f64());
        pipelined.push(told.wall.as_secs_f64() / at_once.as_secs_f64());
        say(&format!(
            "wide    floor {:.2} s for {WIDE} handoffs one by one, {:.2} s with {SLOTS} at once; {} tasks and a join in {:.2} s = {:.2} and {:.2} floors\n        {used}",
            handoffs.as_secs_f64(),
            at_once.as_secs_f64(),
            told.steps - 1,
            told.wall.as_secs_f64(),
            ratios[ratios.len() - 1],
            pipelined[pipelined.len() - 1],
        ))?;
    }
    verdict("wide: wall time in floors, one by one", ratios, "at most 3", |ratio| ratio <= 3.0)?;
    verdict("wide: wall time in floors, at once", pipelined, "no promise", |_| true)
}

async fn measured(stack: &mut Stack, projects: &[String], environment: &str) -> Result<(Told, Usage)> {
    let before = Usage::of(stack)?;
    let ids = load::deploy(stack, projects, environment, load::PATIENCE).await?;
    let used = Usage::of(stack)?.since(&before);
    Ok((load::told(&history::read(stack).await?, &ids)?, used))
}

fn mean(times: &[Duration]) -> Duration {
    times.iter().sum::<Duration>() / u32::try_from(times.len().max(1)).unwrap_or(u32::MAX)
}

fn parts(told: &Told) -> String {
    let part =
        |times: &[Duration]| format!("p50 {:.2}, p95 {:.2} ms", ms(percentile(times, 50)), ms(percentile(times, 95)));
    format!(
        "end to next grant {}; grant to claim {}; claim to end {}",
        part(&told.to_grant),
        part(&told.to_claim),
        part(&told.to_end)
    )
}
