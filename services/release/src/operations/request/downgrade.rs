//! What an environment says to an older release than the one that it has.

use serde_json::json;
use slipway_domain::{
    manifest::{Downgrade, Environment, ResultCondition, Step, with_children},
    name::StepName,
    release::ReleaseSnapshot,
};

use crate::problem::Problem;

/// The step at which a person approves an older release.
const STEP: &str = "confirm-downgrade";

/// Refuses it, puts an approval before its first steps, or lets it be.
pub fn allow(
    environment: Option<&Environment>,
    release: &mut ReleaseSnapshot,
    current: Option<&str>,
) -> Result<(), Problem> {
    let Some(environment) = environment else { return Ok(()) };
    let current = current.unwrap_or("a newer release");
    match environment.downgrade {
        Downgrade::Allow => Ok(()),
        Downgrade::Forbid => Err(Problem::refusal(
            "downgrade",
            format!(
                "{} has {current}, and its `downgrade: forbid` keeps older releases such as {} away; deploy a newer one, or change the Environment",
                environment.name, release.version
            ),
        )),
        Downgrade::RequireApproval => ask(release, current),
    }
}

fn ask(release: &mut ReleaseSnapshot, current: &str) -> Result<(), Problem> {
    let name = StepName::new(STEP).expect("invariant: the step's name is a name");
    if with_children(&release.steps).any(|step| step.name == name) {
        return Err(Problem::unprocessable(
            "invalid-manifest",
            format!(
                "the process has a step `{STEP}`, which is the name of the approval before an older release; rename it"
            ),
        ));
    }
    // Notices that look at the deployment as a whole have no needs, and shall have none.
    let first = |step: &&mut Step| step.needs.is_empty() && step.when.result == ResultCondition::Success;
    release.steps.iter_mut().filter(first).for_each(|step| step.needs.push(name.clone()));
    let instructions = format!("{} is older than {current}, which is there now", release.version);
    let step =
        serde_json::from_value(json!({"name": name, "required": true, "approval": {"instructions": instructions}}));
    let step: Step = step.expect("invariant: an approval with instructions is a step");
    release.steps.insert(0, step);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(downgrade: &str) -> Environment {
        serde_json::from_value(json!({"name": "production", "downgrade": downgrade})).unwrap()
    }

    fn release() -> ReleaseSnapshot {
        serde_json::from_value(json!({
            "project": "shop", "version": "1.0.0", "channel": "default", "created_at": "2026-11-21T12:00:00Z", "packages": {},
            "steps": [
                {"name": "a", "wait": "1s"}, {"name": "b", "needs": ["a"], "wait": "1s"},
                {"name": "tell", "when": {"result": "always"}, "slack": {"channel": "#x", "text": "over"}}
            ],
            "variables": []
        }))
        .unwrap()
    }

    #[test]
    fn an_older_release_is_let_be_asked_about_or_refused() {
        let mut same = release();
        allow(Some(&environment("allow")), &mut same, Some("1.1.0")).unwrap();
        assert_eq!(same, release());

        let refusal = allow(Some(&environment("forbid")), &mut same, Some("1.1.0")).unwrap_err();
        assert_eq!(refusal.code(), "downgrade");
        assert!(refusal.detail().contains("production has 1.1.0"), "{refusal}");

        allow(Some(&environment("require-approval")), &mut same, Some("1.1.0")).unwrap();
        let needs: Vec<(&str, Vec<&str>)> = same
            .steps
            .iter()
            .map(|step| (step.name.as_str(), step.needs.iter().map(|n| n.as_str()).collect()))
            .collect();
        assert!(same.steps[0].required, "whoever asks can not skip it");
        assert_eq!(needs, [(STEP, vec![]), ("a", vec![STEP]), ("b", vec!["a"]), ("tell", vec![])]);
    }
}
