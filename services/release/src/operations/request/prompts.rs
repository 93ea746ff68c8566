//! Values that are given when a deployment is asked for.

use std::collections::{BTreeMap, BTreeSet};

use slipway_domain::{manifest::Variable, name::EnvironmentName, release::ReleaseSnapshot, text::did_you_mean};

use super::may_hold;
use crate::problem::Problem;

/// Longest value, in bytes.
const LONGEST: usize = 32 << 10;

/// Puts the values into the release's variables. Errs when one is given that nobody asked for, or one is missing.
pub fn answer(
    release: &mut ReleaseSnapshot,
    environment: &EnvironmentName,
    values: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    let prompted: BTreeSet<String> = release
        .definitions()
        .filter(|(variable, _)| variable.prompt.is_some() && may_hold(variable, environment, &release.channel))
        .map(|(variable, _)| variable.name.clone())
        .collect();
    if let Some(unknown) = values.keys().find(|name| !prompted.contains(*name)) {
        return Err(nobody_asks(unknown, &prompted, environment));
    }
    if let Some((name, _)) = values.iter().find(|(_, value)| value.len() > LONGEST) {
        return Err(Problem::unprocessable(
            "invalid-variable",
            format!("the value of `{name}` is longer than {LONGEST} bytes; put it where the container can read it"),
        ));
    }
    let channel = release.channel.clone();
    let here = |variable: &&mut Variable| may_hold(variable, environment, &channel);
    let own = release.variables.iter_mut();
    let all = own.chain(release.variable_sets.iter_mut().flat_map(|set| &mut set.variables)).filter(here);
    let mut missing = BTreeSet::new();
    for variable in all {
        let Some(prompt) = &variable.prompt else { continue };
        if let Some(value) = values.get(&variable.name) {
            variable.value = Some(value.clone());
        }
        let value = variable.value.get_or_insert_default();
        if prompt.required && value.is_empty() {
            let label = prompt.label.as_ref().map(|label| format!(" ({label})")).unwrap_or_default();
            missing.insert(format!("{}{label}", variable.name));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> = missing.into_iter().collect();
    Err(Problem::unprocessable(
        "missing-variable",
        format!("the deployment asks for values: {}; give each with `--var NAME=VALUE`", missing.join(", ")),
    ))
}

fn nobody_asks(name: &str, prompted: &BTreeSet<String>, environment: &EnvironmentName) -> Problem {
    let hint = did_you_mean(name, prompted.iter().map(String::as_str));
    let known: Vec<&str> = prompted.iter().map(String::as_str).collect();
    let known =
        if known.is_empty() { "it asks for none".to_owned() } else { format!("it asks for {}", known.join(", ")) };
    Problem::unprocessable(
        "unknown-variable",
        format!("a deployment to {environment} does not ask for a value of `{name}`{hint}; {known}"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release() -> ReleaseSnapshot {
        serde_json::from_value(json!({
            "project": "shop", "version": "1.0.0", "channel": "default", "created_at": "2026-11-21T12:00:00Z", "packages": {},
            "steps": [],
            "variables": [
                {"name": "Message", "prompt": {"label": "What people read"}},
                {"name": "Level", "value": "low", "prompt": {"required": true}},
                {"name": "Level", "value": "high", "scope": {"environment": "production"}},
                {"name": "Ticket", "scope": {"environment": "production"}, "prompt": {"label": "Change", "required": true}},
                {"name": "Plain", "value": "x"}
            ],
            "variable_sets": [{"name": "mail", "variables": [{"name": "From", "value": "a", "prompt": {}}]}]
        }))
        .unwrap()
    }

    fn answered(environment: &str, given: &[(&str, &str)]) -> Result<Vec<(String, String)>, Problem> {
        let mut release = release();
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        answer(&mut release, &environment.parse().unwrap(), &given)?;
        let values = release.definitions().map(|(v, _)| (v.name.clone(), v.value.clone().unwrap_or_default()));
        Ok(values.filter(|(name, _)| name != "Plain").collect())
    }

    fn is(values: &[(String, String)], expected: &[(&str, &str)]) {
        let values: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(values, expected);
    }

    #[test]
    fn a_value_that_is_given_takes_the_place_of_the_one_that_is_asked_about() {
        let plain = [("Message", ""), ("Level", "low"), ("Level", "high"), ("Ticket", ""), ("From", "a")];
        is(&answered("staging", &[]).unwrap(), &plain);
        let given = answered("production", &[("Ticket", "C-1"), ("Level", "debug"), ("From", "b")]).unwrap();
        is(&given, &[("Message", ""), ("Level", "debug"), ("Level", "high"), ("Ticket", "C-1"), ("From", "b")]);
    }

    #[test]
    fn a_value_that_is_missing_is_named_with_its_label() {
        let problem = answered("production", &[("Level", "")]).unwrap_err();
        assert_eq!(problem.code(), "missing-variable");
        assert!(problem.detail().contains("values: Level, Ticket (Change); give each with `--var"), "{problem}");
    }

    #[test]
    fn a_value_that_nobody_asks_for_is_refused() {
        let problem = answered("staging", &[("Mesage", "x")]).unwrap_err();
        assert_eq!(problem.code(), "unknown-variable");
        assert!(problem.detail().contains("did you mean `Message`?"), "{problem}");
        assert!(!problem.detail().contains("Ticket"), "not asked for there: {problem}");
        assert_eq!(answered("staging", &[("Plain", "x")]).unwrap_err().code(), "unknown-variable");
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(answered("staging", &[("Message", &long)]).unwrap_err().code(), "invalid-variable");
    }
}
