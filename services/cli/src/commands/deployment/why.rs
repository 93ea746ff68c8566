//! Reasons for waiting, in words.

use chrono::{DateTime, Utc};
use slipway_domain::api::{Waiting, WaitingReason};

use crate::{failure::count, output, times, watch};

/// What is printed.
pub fn table(waiting: &[Waiting], now: DateTime<Utc>) -> String {
    if waiting.is_empty() {
        return "nothing waits: the deployment is over\n".to_owned();
    }
    let row = |one: &Waiting| {
        let name = |text: Option<String>| text.unwrap_or_default();
        vec![
            name(one.step.as_ref().map(ToString::to_string)),
            name(one.target.as_ref().map(ToString::to_string)),
            words(&one.reason, now),
        ]
    };
    output::table(&["step", "target", "waits for"], waiting.iter().map(row).collect())
}

fn words(reason: &WaitingReason, now: DateTime<Utc>) -> String {
    match reason {
        WaitingReason::Planner => "a planner to decide; if this lasts, check that one runs: slipway doctor".to_owned(),
        WaitingReason::Lane { held_by } => {
            format!("deployment {}, which holds the environment", watch::short(*held_by))
        }
        WaitingReason::Yielded { since } => {
            format!("its environment, which it gave back {} while people were asked", times::ago(*since, now))
        }
        WaitingReason::Freeze { freeze, until: Some(until) } => {
            format!("the end of freeze {freeze}; nothing freezes it any more at {}", times::exact(*until))
        }
        WaitingReason::Freeze { freeze, until: None } => format!("freeze {freeze}, which has no end in sight"),
        WaitingReason::EnvironmentLimit { limit } => {
            format!("a place in its environment, which has {}", places(*limit))
        }
        WaitingReason::TotalLimit { limit } => {
            format!("a place: over all environments there is {}", places(*limit))
        }
        WaitingReason::Turn => "its turn: a place is free, and another project's deployment takes it first".to_owned(),
        WaitingReason::Scheduled { at } => format!("its scheduled start at {}", times::exact(*at)),
        WaitingReason::Paused { by, reason } => format!("somebody to resume it; paused by {by}: {reason}"),
        WaitingReason::Needs { steps } => {
            format!("{} to end", steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        WaitingReason::People { teams, expires, .. } => {
            let teams: Vec<_> = teams.iter().map(ToString::to_string).collect();
            let who = if teams.is_empty() { "anyone who may deploy".to_owned() } else { teams.join(" or ") };
            format!("{who} to decide; counts as rejected {}", times::until(*expires, now))
        }
        WaitingReason::Canary => "the canary to end well".to_owned(),
        WaitingReason::Pause { until } => format!("the pause between targets to end, {}", times::until(*until, now)),
        WaitingReason::Series { step } => format!("step {step}, whose turn on the same target comes before"),
        WaitingReason::Window => "a place in the rolling window".to_owned(),
        WaitingReason::TargetBusy { limit } => format!("a slot of its target, which runs {limit} at a time"),
        WaitingReason::Retry { at, failure } => {
            format!("its next attempt {}; the last one failed: {failure}", times::until(*at, now))
        }
        WaitingReason::Executor { since } => format!("an executor to take it, since {}", times::ago(*since, now)),
        WaitingReason::TargetAbsent { since } => {
            format!("an executor that serves its target; none does, since {}", times::ago(*since, now))
        }
        WaitingReason::Running { holder, attempt, since } => {
            format!("its end: {holder} works on attempt {attempt} since {}", times::ago(*since, now))
        }
        WaitingReason::Corrupt { fact } => format!("repair: its history is damaged ({fact})"),
    }
}

fn places(limit: u32) -> String {
    format!("room for {} at a time", count(limit as usize, "deployment"))
}
