//! Whether many targets, many deployments and a long log cost more than their share.

use std::time::Duration;

use anyhow::{Context, Result};
use chrono::Utc;
use slipway_domain::id::DeploymentId;
use slipway_integration_tests::{
    history,
    stack::{Stack, Wanted},
};

use crate::{
    big_output, cold,
    live::{self, Log},
    load::{self, Told},
    say,
    usage::Usage,
};

const FEW: usize = 100;
/// A single one would be too short to count.
const ROUNDS_OF_FEW: usize = 30;
const TARGETS: usize = 10_000;
const DEPLOYMENTS: usize = 1_000;
const STEPS: usize = 10;
const SLOTS: usize = 256;
const PATIENCE: Duration = Duration::from_secs(900);

/// All of it.
pub async fn run() -> Result<()> {
    let mut names = load::target_names(TARGETS);
    let wanted = Wanted { targets: names.clone(), ..Wanted::default() };
    let mut stack = load::stack(wanted, SLOTS).await?;
    names.truncate(FEW);
    let projects: Vec<String> = (0..DEPLOYMENTS).map(|n| format!("many-{n}")).collect();
    let mut manifests =
        load::targets(TARGETS, FEW) + &load::fan("wide") + &load::paced_fan("slow", Duration::from_secs(3));
    manifests.push_str(&big_output::manifests());
    manifests.extend(projects.iter().map(|project| load::chain(project, STEPS)));
    load::apply(&stack, &manifests).await?;
    let singles = ["wide", "slow", big_output::PROJECT].map(str::to_owned);
    load::release(&stack, &[singles.as_slice(), &projects].concat()).await?;
    say(&format!("ready with {TARGETS} targets: {}", Usage::of(&mut stack)?))?;

    let one = &singles[..1];
    let mut few = measured(&mut stack, one, load::FEW).await?;
    for _ in 1..ROUNDS_OF_FEW {
        few = few.and(measured(&mut stack, one, load::FEW).await?);
    }
    few.tell(&format!("{ROUNDS_OF_FEW} deployments on {FEW} targets, one after the other"))?;
    let many = measured(&mut stack, one, load::WIDE).await?;
    many.tell(&format!("1 deployment on {TARGETS} targets"))?;
    flat("time of the planner per entry", few.planner_micros(), many.planner_micros())?;
    flat("entries/s", many.entries_per_second(), few.entries_per_second())?;

    let few = measured(&mut stack, &projects[..FEW], load::NARROW).await?;
    few.tell(&format!("{FEW} deployments of {STEPS} steps at once"))?;
    let many = measured(&mut stack, &projects, load::NARROW).await?;
    many.tell(&format!("{DEPLOYMENTS} deployments of {STEPS} steps at once"))?;
    flat("time of the planner per entry", few.planner_micros(), many.planner_micros())?;
    flat("entries/s", many.entries_per_second(), few.entries_per_second())?;

    big_output::run(&stack).await?;
    nats_restart(&mut stack, &singles[1..2]).await?;
    cold::run(&mut stack, &many.ids).await
}

/// Only the planner that starts behind a long log.
pub async fn cold() -> Result<()> {
    let mut stack = load::stack(Wanted::default(), SLOTS).await?;
    let projects: Vec<String> = (0..DEPLOYMENTS).map(|n| format!("many-{n}")).collect();
    load::apply(&stack, &projects.iter().map(|project| load::chain(project, STEPS)).collect::<String>()).await?;
    load::release(&stack, &projects).await?;
    let many = measured(&mut stack, &projects, load::NARROW).await?;
    cold::run(&mut stack, &many.ids).await
}

/// NATS dies while ten thousand tasks are under way.
async fn nats_restart(stack: &mut Stack, project: &[String]) -> Result<()> {
    let mut log = Log::follow(stack).await?;
    let id = load::request(stack, project, load::WIDE, None).await?[0];
    log.claim(0, Some(id)).await?;
    stack.kill("nats").await?;
    let killed = Utc::now();
    stack.restart("nats")?;
    let ready = live::nats_ready(stack).await?;
    let next = |recorded: &slipway_domain::event::Recorded| live::is_claim(recorded) && recorded.at > ready;
    let (_, next) = log.first(0, "a claim after the restart of NATS", next).await?;
    say(&format!(
        "NATS killed with {TARGETS} tasks granted: it is ready after {:.2} s, the first claim comes {:.2} s later",
        (ready - killed).as_seconds_f64(),
        (next.at - ready).as_seconds_f64()
    ))?;
    load::over(stack, id, PATIENCE).await
}

/// What one load came to.
struct Measured {
    told: Told,
    used: Usage,
    ids: Vec<DeploymentId>,
}

impl Measured {
    fn planner_micros(&self) -> f64 {
        self.used.get("planner").cpu * 1e6 / self.told.entries as f64
    }

    fn entries_per_second(&self) -> f64 {
        self.told.entries as f64 / self.told.wall.as_secs_f64()
    }

    /// This and, after it, another one.
    fn and(mut self, next: Self) -> Self {
        self.told.wall += next.told.wall;
        self.told.entries += next.told.entries;
        self.told.steps += next.told.steps;
        self.used = self.used.and(&next.used);
        self.ids.extend(next.ids);
        self
    }

    fn tell(&self, what: &str) -> Result<()> {
        let (seconds, planner) = (self.told.wall.as_secs_f64(), self.used.get("planner"));
        say(&format!(
            "{what}: {seconds:.2} s, {:.0} entries/s, {:.0} steps/s; planner {:.0} us of CPU per entry, {:.0} MB, at most {:.0} MB\n        {}",
            self.entries_per_second(),
            self.told.steps as f64 / seconds,
            self.planner_micros(),
            planner.rss,
            planner.peak,
            self.used,
        ))
    }
}

async fn measured(stack: &mut Stack, projects: &[String], environment: &str) -> Result<Measured> {
    let before = Usage::of(stack)?;
    let ids = load::deploy(stack, projects, environment, PATIENCE).await.context("the deployments")?;
    let used = Usage::of(stack)?.since(&before);
    Ok(Measured { told: load::told(&history::read(stack).await?, &ids)?, used, ids })
}

/// Twice as much per piece counts as no longer flat.
fn flat(what: &str, few: f64, many: f64) -> Result<()> {
    let times = many / few;
    let word = if times <= 2.0 { "flat" } else { "NOT FLAT" };
    say(&format!("=> {what}: {times:.2} times as much with many: {word}"))
}
