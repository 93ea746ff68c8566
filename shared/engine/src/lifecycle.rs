//! Lifecycles: in which order one release may go through the environments.
//!
//! A release enters a phase when every phase before it has passed, so it is always in the first.
//! Nothing here looks at other releases of the project.

use std::collections::BTreeSet;

use slipway_domain::{
    manifest::{Lifecycle, Phase, Required},
    name::EnvironmentName,
};

/// The environments that had a success with the release, or were asked for.
pub type Environments = BTreeSet<EnvironmentName>;

/// Whether the release may be deployed to the environment. Errs with the phase and what is missing.
pub fn may_deploy(
    lifecycle: &Lifecycle,
    environment: &EnvironmentName,
    succeeded: &Environments,
) -> Result<(), String> {
    let mut refusal = None;
    for (index, phase) in lifecycle.phases.iter().enumerate() {
        if !has(phase, environment) {
            continue;
        }
        let Some(missing) = lifecycle.phases[..index].iter().find_map(|earlier| missing(earlier, succeeded)) else {
            return Ok(());
        };
        refusal.get_or_insert_with(|| {
            format!(
                "{environment} belongs to phase `{}` of lifecycle {}, which is not open: {missing}",
                phase.name, lifecycle.name
            )
        });
    }
    Err(refusal.unwrap_or_else(|| {
        format!(
            "{environment} is in no phase of lifecycle {}; it has {}",
            lifecycle.name,
            list(lifecycle.phases.iter().flat_map(|p| &p.environments).map(|e| e.name().as_str()))
        )
    }))
}

/// The environments that the release shall be deployed to without a person, in order: the automatic
/// ones of the phases that it has entered, except of optional phases, where it was not asked for yet.
pub fn automatic(lifecycle: &Lifecycle, succeeded: &Environments, requested: &Environments) -> Vec<EnvironmentName> {
    let mut due: Vec<EnvironmentName> = Vec::new();
    for phase in &lifecycle.phases {
        if phase.required != Required::Optional {
            let automatic = phase.environments.iter().filter(|e| e.automatic()).map(|e| e.name());
            let new = automatic.filter(|e| !requested.contains(*e) && !succeeded.contains(*e));
            for environment in new {
                if !due.contains(environment) {
                    due.push(environment.clone());
                }
            }
        }
        if missing(phase, succeeded).is_some() {
            break;
        }
    }
    due
}

/// What no release could ever satisfy.
pub fn problems(lifecycle: &Lifecycle) -> Vec<String> {
    let mut problems = Vec::new();
    if lifecycle.phases.is_empty() {
        problems.push(format!("lifecycle {} has no phases; write at least one", lifecycle.name));
    }
    for phase in &lifecycle.phases {
        let count = phase.environments.iter().map(|e| e.name()).collect::<BTreeSet<_>>().len();
        if count == 0 {
            problems.push(format!("phase `{}` of lifecycle {} has no environments", phase.name, lifecycle.name));
        }
        if count < phase.environments.len() {
            problems.push(format!("phase `{}` of lifecycle {} names an environment twice", phase.name, lifecycle.name));
        }
        if let Required::Minimum(n) = phase.required
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

/// What the phase lacks before it has passed.
fn missing(phase: &Phase, succeeded: &Environments) -> Option<String> {
    let open: Vec<_> = phase.environments.iter().map(|e| e.name()).filter(|e| !succeeded.contains(*e)).collect();
    let done = phase.environments.len() - open.len();
    let names = list(open.iter().map(|e| e.as_str()));
    match phase.required {
        Required::All if !open.is_empty() => Some(format!("phase `{}` needs a success in {names} first", phase.name)),
        Required::Minimum(n) if done < n as usize => {
            Some(format!("phase `{}` needs {} more of {names} first", phase.name, n as usize - done))
        }
        _ => None,
    }
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
                    may_deploy(&lifecycle(), environment, &set(succeeded)),
                    Ok(()),
                    "{environment} after {succeeded}"
                );
            }
            for environment in &set(closed) {
                assert!(
                    may_deploy(&lifecycle(), environment, &set(succeeded)).is_err(),
                    "{environment} after {succeeded}"
                );
            }
        }
    }

    #[test]
    fn a_refusal_names_the_phase_and_what_is_missing() {
        let refusal = |environment: &str, succeeded: &str| {
            may_deploy(&lifecycle(), &EnvironmentName::new(environment).unwrap(), &set(succeeded)).unwrap_err()
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
                automatic(&lifecycle(), &set(succeeded), &set(requested)).iter().map(|e| e.to_string()).collect();
            assert_eq!(names.join(" "), due, "after success in {succeeded:?}, asked for in {requested:?}");
        }
    }

    #[test]
    fn an_environment_of_two_phases_is_open_when_either_is() {
        let mut lifecycle = lifecycle();
        let first = lifecycle.phases[0].environments.clone();
        lifecycle.phases[3].environments.extend(first);
        assert_eq!(may_deploy(&lifecycle, &EnvironmentName::new("a").unwrap(), &set("")), Ok(()));
    }

    #[test]
    fn a_lifecycle_that_no_release_could_pass_is_a_problem() {
        assert_eq!(problems(&lifecycle()), Vec::<String>::new());
        let mut lifecycle = lifecycle();
        lifecycle.phases[2].required = Required::Minimum(3);
        lifecycle.phases[0].environments.clear();
        assert_eq!(
            problems(&lifecycle),
            [
                "phase `Test` of lifecycle standard has no environments",
                "phase `Live` of lifecycle standard requires 3 environments but has 2"
            ]
        );
    }
}
