//! Ranges and lifecycles against slow and obvious rules.

use std::{cmp::Ordering, collections::BTreeMap};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use slipway_domain::{manifest::Lifecycle, name::EnvironmentName, version::Tag};
use slipway_engine::{
    lifecycle::{Standing, automatic, may_deploy},
    version_range::VersionRange,
};

use crate::fixture::at;

/// A version by its parts: numbers, and the place of its pre-release in the order below; the last is none.
type Parts = ([u64; 3], usize);
const PRERELEASES: [&str; 5] = ["-alpha", "-alpha.2", "-alpha.10", "-beta", ""];

fn text(([major, minor, patch], prerelease): Parts) -> String {
    format!("{major}.{minor}.{patch}{}", PRERELEASES[prerelease])
}

fn draw(rng: &mut StdRng) -> Parts {
    ([rng.random_range(0..3), rng.random_range(0..3), rng.random_range(9..12)], rng.random_range(0..PRERELEASES.len()))
}

#[test]
fn a_range_holds_what_counting_through_it_finds() {
    let mut rng = StdRng::seed_from_u64(4);
    let mut all: Vec<Parts> = Vec::new();
    for (major, minor) in (0..3).flat_map(|major| (0..3).map(move |minor| (major, minor))) {
        for patch in 9..12 {
            all.extend((0..PRERELEASES.len()).map(|prerelease| ([major, minor, patch], prerelease)));
        }
    }
    assert!(all.is_sorted(), "in order, so that a range is a part of the list");
    for _ in 0..400 {
        let (mut low, mut high) = (draw(&mut rng), draw(&mut rng));
        if low > high {
            std::mem::swap(&mut low, &mut high);
        }
        let place = |parts| all.iter().position(|other| *other == parts).unwrap();
        let (from, to) = (place(low), place(high));
        for (range, inside) in [
            (format!("[{},{}]", text(low), text(high)), from..to + 1),
            (format!("[{},{})", text(low), text(high)), from..to),
            (format!("({},{}]", text(low), text(high)), from + 1..to + 1),
            (format!("({},{})", text(low), text(high)), from + 1..to),
            (format!("[{}]", text(low)), from..from + 1),
            (text(low), from..all.len()),
            (format!("({},)", text(low)), from + 1..all.len()),
            (format!("(,{}]", text(high)), 0..to + 1),
            (format!("(,{})", text(high)), 0..to),
        ] {
            let Ok(parsed) = VersionRange::parse(&range) else {
                assert!(inside.is_empty() && from == to, "{range} holds something and is refused");
                continue;
            };
            for (n, parts) in all.iter().enumerate() {
                let version = Tag::parse(&text(*parts)).unwrap();
                assert_eq!(parsed.contains(&version), inside.contains(&n), "{version} in {range}");
                let spelled = Tag::parse(&format!("v{version}")).unwrap();
                assert_eq!(spelled.cmp(&version), Ordering::Equal);
            }
        }
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn lifecycle(rng: &mut StdRng) -> Lifecycle {
    let mut left = NAMES.to_vec();
    let mut phases = Vec::new();
    while !left.is_empty() {
        let environments: Vec<_> = (0..rng.random_range(1..=left.len().min(2)))
            .map(|_| serde_json::json!({"name": left.remove(0), "automatic": rng.random_bool(0.4)}))
            .collect();
        let required = [serde_json::json!("all"), serde_json::json!({"minimum": 1}), serde_json::json!("optional")];
        let mut phase = serde_json::json!({
            "name": format!("p{}", phases.len()), "environments": environments, "required": required.choose(rng)
        });
        if rng.random_bool(0.3) {
            phase["soak"] = format!("{}s", rng.random_range(1..100)).into();
        }
        phases.push(phase);
    }
    serde_json::from_value(serde_json::json!({"name": "drawn", "phases": phases})).unwrap()
}

/// When each phase has passed and soaked, if it has, told one second after the other.
fn passed(lifecycle: &Lifecycle, standing: &Standing) -> Vec<bool> {
    let seconds = (0..=(standing.now - at(0)).num_seconds()).map(at);
    let now: Vec<_> = seconds.collect();
    let mut all = Vec::new();
    for phase in &lifecycle.phases {
        let json = serde_json::to_value(phase).unwrap();
        let done = |second| {
            let succeeded = |e: &&slipway_domain::manifest::PhaseEnvironment| {
                standing.succeeded.get(e.name()).is_some_and(|at| *at <= second)
            };
            let count = phase.environments.iter().filter(succeeded).count();
            match json["required"].as_str() {
                Some("all") => count == phase.environments.len(),
                Some("optional") => count > 0,
                _ => count >= 1,
            }
        };
        let since = now.iter().copied().find(|second| done(*second));
        let soaks = phase.soak.map_or(0, |soak| soak.0.as_secs());
        let soaked = since.is_some_and(|since| (standing.now - since).num_seconds() >= soaks as i64);
        let optional = json["required"] == "optional";
        all.push(match since {
            None => optional,
            Some(_) => soaked,
        });
    }
    all
}

#[test]
fn a_release_goes_where_walking_through_its_lifecycle_leads() {
    let mut rng = StdRng::seed_from_u64(5);
    let (mut open, mut closed, mut due) = (0, 0, 0);
    for _ in 0..2_000 {
        let lifecycle = lifecycle(&mut rng);
        let mut succeeded = BTreeMap::new();
        for name in NAMES.iter().filter(|_| rng.random_bool(0.5)).collect::<Vec<_>>() {
            succeeded.insert(EnvironmentName::new(*name).unwrap(), at(rng.random_range(0..100)));
        }
        let blocked = rng.random_bool(0.2).then(|| "bad".to_owned());
        let standing = Standing { succeeded, blocked, now: at(rng.random_range(100..150)) };
        let passed = passed(&lifecycle, &standing);
        let mut expected = Vec::new();
        for (n, phase) in lifecycle.phases.iter().enumerate() {
            let entered = passed[..n].iter().all(|passed| *passed);
            let was_there = phase.environments.iter().any(|e| standing.succeeded.contains_key(e.name()));
            let allowed = standing.blocked.is_none() || n == 0 || was_there;
            for environment in &phase.environments {
                let may = may_deploy(&lifecycle, environment.name(), &standing).is_ok();
                assert_eq!(may, entered && allowed, "{} of {lifecycle:#?}\n{standing:#?}", environment.name());
                if may {
                    open += 1
                } else {
                    closed += 1
                }
                let optional = serde_json::to_value(phase).unwrap()["required"] == "optional";
                let never = !standing.succeeded.contains_key(environment.name());
                if may && environment.automatic() && !optional && never {
                    expected.push(environment.name().clone());
                }
            }
        }
        assert_eq!(automatic(&lifecycle, &standing, &Default::default()), expected, "{lifecycle:#?}\n{standing:#?}");
        due += expected.len();
    }
    assert!(open > 1_000 && closed > 1_000 && due > 100, "{open} open, {closed} closed, {due} due");
}
