//! Lifecycles: in which order one release may go through the environments.
//!
//! A release enters a phase when every phase before it has passed and its time of soaking is over, so it is
//! always in the first. A blocked release enters no phase that it was not in. Nothing here looks at other
//! releases of the project.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    manifest::{Lifecycle, Phase, Required},
    name::EnvironmentName,
};

/// Environments.
pub type Environments = BTreeSet<EnvironmentName>;

/// What is known of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where it succeeded, and when first.
    pub succeeded: BTreeMap<EnvironmentName, DateTime<Utc>>,
    /// Why it is blocked, if it is.
    pub blocked: Option<String>,
    /// When this is asked.
    pub now: DateTime<Utc>,
}

/// Why a release may not be deployed to an environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The lifecycle has no such environment, or its phase is not open yet.
    #[error("{0}")]
    Phase(String),
    /// The release was blocked before it got there.
    #[error("{0}")]
    Blocked(String),
}

/// The lifecycle with its open phases filled in: one that names no environments has all that no earlier one names.
pub fn with_environments(lifecycle: &Lifecycle, all: &Environments) -> Lifecycle {
    let mut named = Environments::new();
    let mut full = lifecycle.clone();
    for phase in &mut full.phases {
        if phase.environments.is_empty() {
            let rest = all.iter().filter(|environment| !named.contains(*environment));
            phase.environments = rest.cloned().map(slipway_domain::manifest::PhaseEnvironment::Manual).collect();
        }
        named.extend(phase.environments.iter().map(|e| e.name().clone()));
    }
    full
}

/// Whether the release may be deployed to the environment now. Errs with the phase and what is missing.
pub fn may_deploy(lifecycle: &Lifecycle, environment: &EnvironmentName, release: &Standing) -> Result<(), Closed> {
    let mut refusal = None;
    for (index, phase) in lifecycle.phases.iter().enumerate() {
        if !has(phase, environment) {
            continue;
        }
        let closed = match lifecycle.phases[..index].iter().find_map(|earlier| missing(earlier, release)) {
            Some(missing) => Closed::Phase(format!(
                "{environment} belongs to phase `{}` of lifecycle {}, which is not open: {missing}",
                phase.name, lifecycle.name
            )),
            None => match (&release.blocked, index > 0 && !was_in(phase, release)) {
                (Some(reason), true) => Closed::Blocked(format!(
                    "the release is blocked ({reason}) and did not get to phase `{}` before; unblock it, or deploy another one",
                    phase.name
                )),
                _ => return Ok(()),
            },
        };
        refusal.get_or_insert(closed);
    }
    Err(refusal.unwrap_or_else(|| {
        Closed::Phase(format!(
            "{environment} is in no phase of lifecycle {}; it has {}",
            lifecycle.name,
            list(lifecycle.phases.iter().flat_map(|p| &p.environments).map(|e| e.name().as_str()))
        ))
    }))
}

/// The environments that the release shall be deployed to without a person, in order: the automatic
/// ones of the phases that it has entered, except of optional phases, where it was not asked for yet.
pub fn automatic(lifecycle: &Lifecycle, release: &Standing, requested: &Environments) -> Vec<EnvironmentName> {
    let mut due: Vec<EnvironmentName> = Vec::new();
    for (index, phase) in lifecycle.phases.iter().enumerate() {
        let entered = release.blocked.is_none() || index == 0 || was_in(phase, release);
        if phase.required != Required::Optional && entered {
            let automatic = phase.environments.iter().filter(|e| e.automatic()).map(|e| e.name());
            let new = automatic.filter(|e| !requested.contains(*e) && !release.succeeded.contains_key(*e));
            for environment in new {
                if !due.contains(environment) {
                    due.push(environment.clone());
                }
            }
        }
        if missing(phase, release).is_some() {
            break;
        }
    }
    due
}

/// When a phase that has passed will have soaked, if that is what the release waits for.
pub fn soaks_until(lifecycle: &Lifecycle, release: &Standing) -> Option<DateTime<Utc>> {
    lifecycle.phases.iter().find_map(|phase| soaked(phase, release).filter(|until| *until > release.now))
}

/// What no release could ever satisfy.
pub fn problems(lifecycle: &Lifecycle) -> Vec<String> {
    let mut problems = Vec::new();
    if lifecycle.phases.is_empty() {
        problems.push(format!("lifecycle {} has no phases; write at least one", lifecycle.name));
    }
    for phase in &lifecycle.phases {
        let count = phase.environments.iter().map(|e| e.name()).collect::<BTreeSet<_>>().len();
        if count < phase.environments.len() {
            problems.push(format!("phase `{}` of lifecycle {} names an environment twice", phase.name, lifecycle.name));
        }
        if let Required::Minimum(n) = phase.required
            && count > 0
            && n as usize > count
        {
            problems.push(format!(
                "phase `{}` of lifecycle {} requires {n} environments but has {count}",
                phase.name, lifecycle.name
            ));
        }
    }
    problems
}

fn has(phase: &Phase, environment: &EnvironmentName) -> bool {
    phase.environments.iter().any(|e| e.name() == environment)
}

fn was_in(phase: &Phase, release: &Standing) -> bool {
    phase.environments.iter().any(|e| release.succeeded.contains_key(e.name()))
}

/// What the phase lacks before the next one opens.
fn missing(phase: &Phase, release: &Standing) -> Option<String> {
    let open: Vec<_> =
        phase.environments.iter().map(|e| e.name()).filter(|e| !release.succeeded.contains_key(*e)).collect();
    let done = phase.environments.len() - open.len();
    let names = list(open.iter().map(|e| e.as_str()));
    match phase.required {
        Required::All if !open.is_empty() => Some(format!("phase `{}` needs a success in {names} first", phase.name)),
        Required::Minimum(n) if done < n as usize => {
            Some(format!("phase `{}` needs {} more of {names} first", phase.name, n as usize - done))
        }
        _ => soaked(phase, release).filter(|until| *until > release.now).map(|until| {
            let span = phase.soak.unwrap_or(slipway_domain::duration::Span::secs(0));
            let until = until.format("%Y-%m-%d %H:%M:%S UTC");
            format!("phase `{}` soaks for {span} before the next one opens, until {until}", phase.name)
        }),
    }
}

/// When the time of soaking ends that began as the phase passed. None if there is none or it has not passed.
fn soaked(phase: &Phase, release: &Standing) -> Option<DateTime<Utc>> {
    let soak = TimeDelta::from_std(phase.soak?.0).unwrap_or(TimeDelta::days(3650));
    let mut times: Vec<_> =
        phase.environments.iter().filter_map(|e| release.succeeded.get(e.name())).copied().collect();
    times.sort_unstable();
    let passed = match phase.required {
        Required::All => *times.last().filter(|_| times.len() == phase.environments.len())?,
        Required::Minimum(n) => *times.get((n as usize).checked_sub(1)?)?,
        // Whoever leaves the phase out waits for nothing.
        Required::Optional => *times.first()?,
    };
    Some(passed + soak)
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// test (a, b automatic; all), optional (o automatic), live (c, d; at least one), last (e automatic).
    fn lifecycle() -> Lifecycle {
        serde_json::from_value(serde_json::json!({
            "name": "standard",
            "phases": [
                {"name": "Test", "environments": [{"name": "a"}, {"name": "b", "automatic": true}]},
                {"name": "Extra", "environments": [{"name": "o", "automatic": true}], "required": "optional"},
                {"name": "Live", "environments": ["c", "d"], "required": {"minimum": 1}},
                {"name": "Last", "environments": [{"name": "e", "automatic": true}]}
            ]
        }))
        .unwrap()
    }

    fn set(names: &str) -> Environments {
        names.split_whitespace().map(|n| EnvironmentName::new(n).unwrap()).collect()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// A release with successes at second 0, at second 100.
    fn after(names: &str) -> Standing {
        Standing { succeeded: set(names).into_iter().map(|e| (e, at(0))).collect(), blocked: None, now: at(100) }
    }

    #[test]
    fn a_phase_opens_when_those_before_it_have_passed() {
        for (succeeded, open, closed) in [
            ("", "a b", "o c d e"),
            ("a", "a b", "o c d e"),
            ("a b", "a b o c d", "e"),
            ("a b o", "a b o c d", "e"),
            ("a b d", "a b o c d e", ""),
            ("c d e", "a b", "o c d e"),
        ] {
            for environment in &set(open) {
                assert_eq!(
                    may_deploy(&lifecycle(), environment, &after(succeeded)),
                    Ok(()),
                    "{environment} after {succeeded}"
                );
            }
            for environment in &set(closed) {
                assert!(
                    may_deploy(&lifecycle(), environment, &after(succeeded)).is_err(),
                    "{environment} after {succeeded}"
                );
            }
        }
    }

    #[test]
    fn a_refusal_names_the_phase_and_what_is_missing() {
        let refusal = |environment: &str, succeeded: &str| {
            may_deploy(&lifecycle(), &EnvironmentName::new(environment).unwrap(), &after(succeeded))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refusal("c", "a"),
            "c belongs to phase `Live` of lifecycle standard, which is not open: phase `Test` needs a success in b first"
        );
        assert_eq!(
            refusal("e", "a b"),
            "e belongs to phase `Last` of lifecycle standard, which is not open: phase `Live` needs 1 more of c, d first"
        );
        assert_eq!(refusal("x", ""), "x is in no phase of lifecycle standard; it has a, b, o, c, d, e");
    }

    #[test]
    fn automatic_environments_are_due_once_and_never_in_optional_phases() {
        for (succeeded, requested, due) in [
            ("", "", "b"),
            ("", "b", ""),
            ("a b", "a b", ""),
            ("a b c", "a b c", "e"),
            ("a b c", "a b c e", ""),
            ("b", "", ""),
        ] {
            let names: Vec<_> =
                automatic(&lifecycle(), &after(succeeded), &set(requested)).iter().map(|e| e.to_string()).collect();
            assert_eq!(names.join(" "), due, "after success in {succeeded:?}, asked for in {requested:?}");
        }
    }

    #[test]
    fn an_environment_of_two_phases_is_open_when_either_is() {
        let mut lifecycle = lifecycle();
        let first = lifecycle.phases[0].environments.clone();
        lifecycle.phases[3].environments.extend(first);
        assert_eq!(may_deploy(&lifecycle, &EnvironmentName::new("a").unwrap(), &after("")), Ok(()));
    }

    #[test]
    fn a_lifecycle_that_no_release_could_pass_is_a_problem() {
        assert_eq!(problems(&lifecycle()), Vec::<String>::new());
        let mut lifecycle = lifecycle();
        lifecycle.phases[2].required = Required::Minimum(3);
        assert_eq!(problems(&lifecycle), ["phase `Live` of lifecycle standard requires 3 environments but has 2"]);
    }

    #[test]
    fn a_phase_without_environments_has_those_that_no_earlier_one_names() {
        let mut open = lifecycle();
        open.phases[2].environments.clear();
        let all = set("a b c d e o x");
        let full = with_environments(&open, &all);
        let names: Vec<_> = full.phases[2].environments.iter().map(|e| e.name().as_str()).collect();
        assert_eq!(names, ["c", "d", "e", "x"]);
        assert_eq!(may_deploy(&full, &EnvironmentName::new("x").unwrap(), &after("a b")), Ok(()));
        assert!(may_deploy(&full, &EnvironmentName::new("x").unwrap(), &after("a")).is_err());
        assert_eq!(with_environments(&lifecycle(), &all), lifecycle(), "the others stay as they are");
    }

    #[test]
    fn a_phase_that_has_passed_soaks_before_the_next_one_opens() {
        let mut lifecycle = lifecycle();
        lifecycle.phases[0].soak = Some(slipway_domain::duration::Span::secs(3600));
        let c = EnvironmentName::new("c").unwrap();
        let mut release = after("a");
        release.succeeded.insert(EnvironmentName::new("b").unwrap(), at(50));
        let refusal = may_deploy(&lifecycle, &c, &release).unwrap_err().to_string();
        assert!(
            refusal.ends_with("phase `Test` soaks for 1h before the next one opens, until 1970-01-01 01:00:50 UTC"),
            "{refusal}"
        );
        assert_eq!(soaks_until(&lifecycle, &release), Some(at(3650)), "counted from the last success that it took");
        assert_eq!(soaks_until(&lifecycle, &after("a")), None, "nothing soaks that has not passed");
        release.now = at(3649);
        assert!(may_deploy(&lifecycle, &c, &release).is_err());
        release.now = at(3650);
        assert_eq!(may_deploy(&lifecycle, &c, &release), Ok(()));
        assert_eq!(soaks_until(&lifecycle, &release), None);
    }

    #[test]
    fn a_minimum_soaks_from_the_success_that_made_it_full() {
        let mut lifecycle = lifecycle();
        lifecycle.phases[2].soak = Some(slipway_domain::duration::Span::secs(60));
        let mut release = after("a b d");
        release.succeeded.insert(EnvironmentName::new("c").unwrap(), at(90));
        assert_eq!(may_deploy(&lifecycle, &EnvironmentName::new("e").unwrap(), &release), Ok(()));
        assert_eq!(automatic(&lifecycle, &release, &set("a b c d")), [EnvironmentName::new("e").unwrap()]);
        release.now = at(59);
        assert!(automatic(&lifecycle, &release, &set("a b c d")).is_empty());
    }

    #[test]
    fn a_blocked_release_goes_where_its_phase_had_it_and_nowhere_else() {
        for (succeeded, open, closed) in [("", "a b", "c e"), ("a b", "a b", "c d e"), ("a b c", "a b c d", "e")] {
            let release = Standing { blocked: Some("it loses orders".to_owned()), ..after(succeeded) };
            for environment in &set(open) {
                assert_eq!(may_deploy(&lifecycle(), environment, &release), Ok(()), "{environment} after {succeeded}");
            }
            for environment in &set(closed) {
                let refusal = may_deploy(&lifecycle(), environment, &release).unwrap_err();
                let waits = may_deploy(&lifecycle(), environment, &after(succeeded)).is_err();
                assert_eq!(matches!(refusal, Closed::Blocked(_)), !waits, "{environment} after {succeeded}: {refusal}");
            }
            assert!(!automatic(&lifecycle(), &release, &set("a b c")).contains(&EnvironmentName::new("e").unwrap()));
        }
    }
}
