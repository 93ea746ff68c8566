//! Which releases are kept, as a table of lifecycles and what releases reached.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::manifest::Lifecycle;
use slipway_engine::keep::{Candidate, Held, Reach, decide};

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_800_000_000, 0).unwrap();

fn lifecycle(retention: &str, test: &str, live: &str) -> Lifecycle {
    let json = format!(
        r#"{{"name": "standard", {retention} "phases": [
            {{"name": "Test", "environments": ["staging"] {test}}}, {{"name": "Live", "environments": ["production"] {live}}}]}}"#
    );
    serde_json::from_str(&json).unwrap()
}

/// `1.0 beta staging@3-2d production@5`: version, channel, and per environment the place and the days since its end.
fn release(text: &str) -> Candidate {
    let mut words = text.split_whitespace();
    let (version, channel) = (words.next().unwrap(), words.next().unwrap());
    let reached = words.map(|word| {
        let (environment, rest) = word.split_once('@').unwrap();
        let (seq, days) = rest.split_once('-').unwrap_or((rest, ""));
        let ended = days.strip_suffix('d').map(|days| NOW - TimeDelta::days(days.parse().unwrap()));
        (environment.parse().unwrap(), Reach { seq: seq.parse().unwrap(), ended })
    });
    let age: i64 = version.rsplit('.').next().unwrap().parse().unwrap();
    Candidate {
        version: version.into(),
        channel: channel.parse().unwrap(),
        created: NOW - TimeDelta::days(100 - age),
        reached: reached.collect(),
    }
}

/// The versions that go, of releases from the newest to the oldest.
fn check(lifecycle: &Lifecycle, held: &[&str], releases: &[&str], expected: &[&str]) {
    let releases: Vec<_> = releases.iter().map(|text| release(text)).collect();
    let held: Held = held.iter().map(|version| ((*version).to_owned(), "it is held".to_owned())).collect();
    let decided = decide(&releases, |_| Some(lifecycle), &held, NOW);
    let gone: Vec<_> = decided.iter().filter(|keep| !keep.kept).map(|keep| keep.version.as_str()).collect();
    assert_eq!(gone, expected, "{decided:#?}");
    assert!(decided.iter().all(|keep| !keep.reason.is_empty()));
}

const FIVE: [&str; 5] = [
    "1.4 stable staging@9-0d",
    "1.3 stable staging@8-1d production@10-0d",
    "1.2 stable staging@5-3d production@7-2d",
    "1.1 stable staging@3-5d production@4-4d",
    "1.0 stable staging@1-9d",
];

#[test]
fn without_a_policy_everything_stays() {
    check(&lifecycle("", "", ""), &[], &FIVE, &[]);
}

#[test]
fn a_release_goes_when_every_phase_that_it_reached_has_enough() {
    let two = r#""retention": {"releases": 2},"#;
    check(&lifecycle(two, "", ""), &[], &FIVE, &["1.1", "1.0"]);
    check(&lifecycle(two, "", ""), &["1.1"], &FIVE, &["1.0"]);
    // A later phase that keeps more keeps what got there.
    check(&lifecycle(two, "", r#", "retention": {"releases": 3}"#), &[], &FIVE, &["1.0"]);
    // A phase takes the policy of the phase before it.
    check(&lifecycle("", r#", "retention": {"releases": 2}"#, ""), &[], &FIVE, &["1.1", "1.0"]);
    check(&lifecycle("", "", r#", "retention": {"releases": 1}"#), &[], &FIVE, &[]);
}

#[test]
fn places_count_by_the_newest_deployment_and_not_by_version() {
    let one = lifecycle(r#""retention": {"releases": 1},"#, "", "");
    let back = ["1.2 stable staging@3-3d", "1.1 stable staging@9-0d", "1.0 stable staging@1-9d"];
    check(&one, &[], &back, &["1.0"]);
    check(
        &one,
        &["1.2"],
        &["1.3 stable", "1.2 stable staging@3-3d", "1.1 stable staging@9-0d", "1.0 stable"],
        &["1.0"],
    );
}

#[test]
fn days_count_from_the_end_of_the_newest_deployment() {
    let week = lifecycle(r#""retention": {"days": 7},"#, "", "");
    check(&week, &[], &FIVE, &["1.0"]);
    check(&lifecycle(r#""retention": {"days": 2},"#, "", ""), &[], &FIVE, &["1.2", "1.1", "1.0"]);
    // Under way, or from before times were kept.
    check(&week, &[], &["1.1 stable", "1.0 stable staging@1"], &[]);
}

#[test]
fn what_was_never_deployed_counts_by_itself() {
    let one = lifecycle(r#""retention": {"releases": 1},"#, "", "");
    let releases = ["1.3 stable staging@5-0d", "1.2 stable", "1.1 stable", "1.0 stable"];
    check(&one, &[], &releases, &["1.1", "1.0"]);
    check(
        &lifecycle(r#""retention": {"days": 99},"#, "", ""),
        &[],
        &["1.3 stable", "1.2 stable", "1.1 stable"],
        &["1.1"],
    );
}

#[test]
fn the_newest_of_a_channel_and_what_is_in_no_phase_stay() {
    let none = lifecycle(r#""retention": {"releases": 0},"#, "", "");
    check(&none, &[], &["1.2 stable", "1.1 beta", "1.0 stable"], &["1.0"]);
    check(&none, &[], &["1.2 stable", "1.1 stable elsewhere@1-9d"], &[]);
}
