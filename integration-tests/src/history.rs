//! A judge of whole histories: reads everything that the deployment log has and says which of the
//! promises of docs/engine.md it breaks. It knows nothing of how the history came about.
//!
//! The rules are written down here a second time, from the log's own facts and in other words than
//! the engine's, so that an engine which breaks one does not also judge itself. Only the promise
//! that a fold is deterministic is tried on the engine.

mod effects;
mod gates;
mod journal;
mod replay;
mod series;
mod steps;
mod task;
#[cfg(test)]
mod tests;

use std::fmt;

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng, rngs::StdRng};
use slipway_bus::{Bus, BusConfig};
use slipway_domain::{
    event::{Entry, Recorded, TaskEvent},
    id::DeploymentId,
    presence::Role,
};
use slipway_engine::{State, view};

pub use self::journal::{Effect, Journal, Line, What};
use self::replay::Replay;
use crate::stack::Stack;

/// Prefixes of a history that are folded again from the beginning.
const PREFIXES: usize = 6;

/// The promises that a history can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An attempt, and a deployment, ends once.
    EndsOnce,
    /// A task starts only after its predecessors ended and if its `when` holds.
    Order,
    /// Between two claims of a task lies an end of the first.
    OneHolder,
    /// Whoever lost a task completes at most the one call in flight.
    Fenced,
    /// What must not happen twice did not; what was done is there.
    Effects,
    /// Every fold of the log tells the same.
    Fold,
    /// Every deployment reaches the end that its steps make, or waits for a person.
    Ends,
    /// After a cancel nothing starts but `always` steps.
    Cancel,
    /// No gate is passed without a valid decision.
    Gate,
    /// Lanes, limits and windows are kept.
    Limits,
}

/// A promise that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// At which entry of the log; 0 if it is about something else.
    pub seq: u64,
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} broken at {} by {}: {}", self.rule, self.seq, self.deployment, self.what)
    }
}

/// Everything that the log of a stack has, from its beginning to its present end.
pub async fn read(stack: &Stack) -> Result<Vec<Recorded>> {
    // A second call finds the provider installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = BusConfig {
        url: stack.nats_url(),
        creds: Some(stack.seed("release")),
        role: Role::Release,
        id: "release-1".to_owned(),
    };
    let bus = Bus::connect(&config).await.context("connecting to the stack's NATS")?;
    let head = bus.head().await?;
    let mut fold = bus.fold(1);
    let mut history = Vec::new();
    while history.last().is_none_or(|last: &Recorded| last.seq < head) && head > 0 {
        history.push(fold.next().await?);
    }
    Ok(history)
}

/// Every promise that a history and its effects break. The history begins with the log's first entry.
pub fn check(history: &[Recorded], journal: &Journal) -> Vec<Violation> {
    let mut replay = Replay::default();
    history.iter().for_each(|recorded| replay.take(recorded));
    replay.rest();
    let mut violations = replay.violations.clone();
    violations.extend(effects::check(&replay, journal));
    violations.extend(folds(history));
    violations
}

/// Folds twice, and prefixes at random, and compares what people are told.
fn folds(history: &[Recorded]) -> Vec<Violation> {
    let (Some(first), Some(last)) = (history.first(), history.last()) else { return Vec::new() };
    let mut chance = StdRng::seed_from_u64(last.seq);
    let mut ends: Vec<usize> = (0..PREFIXES).map(|_| chance.random_range(1..=history.len())).collect();
    ends.push(history.len());
    ends.sort_unstable();
    let mut violations = Vec::new();
    let mut live = State::new();
    let mut folded = 0;
    for end in ends {
        history[folded..end].iter().for_each(|recorded| drop(live.apply(recorded)));
        folded = end;
        let mut again = State::new();
        history[..end].iter().for_each(|recorded| drop(again.apply(recorded)));
        for deployment in again.deployments() {
            let told = live.get(deployment.id()).map(|d| view::deployment(d, 0));
            let violation = |what: String| Violation {
                rule: Rule::Fold,
                seq: history[end - 1].seq,
                deployment: deployment.id(),
                what,
            };
            if told.as_ref() != Some(&view::deployment(deployment, 0)) {
                violations.push(violation("a second fold tells another story".to_owned()));
            }
            if let Some(reason) = &deployment.corrupt {
                violations.push(violation(format!("the fold stopped: {reason}")));
            }
        }
        if live.deployments().count() != again.deployments().count() {
            let what = "a second fold knows other deployments".to_owned();
            violations.push(Violation {
                rule: Rule::Fold,
                seq: end as u64,
                deployment: first.address.deployment(),
                what,
            });
        }
    }
    violations
}

/// Everything that log and journal have of a deployment, one line each, for whoever looks into a violation.
pub fn told(history: &[Recorded], journal: &Journal, deployment: DeploymentId) -> String {
    let entries = history.iter().filter(|recorded| recorded.address.deployment() == deployment);
    let mut lines: Vec<_> = entries
        .map(|recorded| {
            let event = view::event(recorded);
            (recorded.at, format!("{} {} {}", recorded.seq, recorded.entry.actor(), event.text))
        })
        .collect();
    let effects = journal.lines.iter().filter(|line| line.deployment == deployment);
    lines.extend(effects.map(|line| (line.at, format!("    epoch {} {}: {:?}", line.epoch, line.task, line.what))));
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(at, text)| format!("{} {text}\n", at.format("%T%.3f"))).collect()
}

/// What happened, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Deployments that were requested.
    pub deployments: usize,
    /// Entries of the log.
    pub entries: usize,
    /// Claims.
    pub claims: usize,
    /// Leases that were lost.
    pub lost: usize,
    /// Attempts that failed.
    pub failed: usize,
    /// Effects.
    pub effects: usize,
    /// Of them such as were completed by somebody who had lost the task.
    pub late: usize,
}

/// Counts.
pub fn figures(history: &[Recorded], journal: &Journal) -> Figures {
    let mut replay = Replay::default();
    history.iter().for_each(|recorded| replay.take(recorded));
    let mut figures = Figures {
        deployments: replay.deployments.len(),
        entries: history.len(),
        effects: journal.effects().count(),
        late: effects::late(&replay, journal).count(),
        ..Figures::default()
    };
    for recorded in history {
        let Entry::Task(envelope) = &recorded.entry else { continue };
        for event in &envelope.events {
            match event {
                TaskEvent::Claimed { .. } => figures.claims += 1,
                TaskEvent::LeaseExpired { .. } => figures.lost += 1,
                TaskEvent::Failed { .. } => figures.failed += 1,
                _ => {}
            }
        }
    }
    figures
}
