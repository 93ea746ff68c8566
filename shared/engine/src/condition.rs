//! `when.if`: whether a step's own condition lets it run on a target.
//!
//! Asked when the step's turn has come, as it may look at what earlier steps gave, and written down as a skip or a
//! grant; so a replay never asks again. What can not be rendered is granted, and fails with the reason.

use slipway_domain::{manifest::Step, name::TargetName, release::Request, secret};

use crate::{
    compile,
    deployment::{Deployment, Progress},
    order,
    variables::Renderer,
};

/// Names that have no value before a deployment runs.
const AT_RUN_TIME: [&str; 2] = ["steps", "Deployment.Outcome"];

/// Why the condition of the step at a place of the plan leaves a target out; none if it does not, or if nobody can tell.
pub(crate) fn leaves_out(
    deployment: &Deployment,
    progress: &Progress,
    i: usize,
    target: &TargetName,
) -> Option<String> {
    let step = &progress.plan.steps[i].step;
    step.when.condition.as_ref()?;
    verdict(step, &order::renderer(deployment, progress, i, target)).ok().flatten()
}

/// The same as far as it is known before anything runs.
pub(crate) fn leaves_out_beforehand(request: &Request, step: &Step, renderer: &Renderer<'_>) -> Option<String> {
    let names = compile::used_names(request, step.when.condition.as_ref()?).ok()?;
    let later = |name: &String| AT_RUN_TIME.iter().any(|at| name == at || name.starts_with(&format!("{at}.")));
    if names.iter().any(later) {
        return None;
    }
    verdict(step, renderer).ok().flatten()
}

/// Why a step is left out; errs with what is wrong with its condition.
pub(crate) fn verdict(step: &Step, renderer: &Renderer<'_>) -> Result<Option<String>, String> {
    let Some(text) = &step.when.condition else { return Ok(None) };
    let rendered = renderer.render(text)?;
    if !secret::referenced(&rendered).is_empty() {
        return Err(format!("the condition `{text}` looks at a secret, whose value is known to executors alone"));
    }
    if is_true(&rendered) {
        return Ok(None);
    }
    let came_out = if rendered.trim().is_empty() { "empty".to_owned() } else { format!("as `{}`", rendered.trim()) };
    Ok(Some(format!("its condition {text} came out {came_out}")))
}

/// What Octopus takes for true: everything but nothing, `false`, `no` and `0`.
fn is_true(text: &str) -> bool {
    !["", "false", "no", "0"].contains(&text.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_octopus_takes_for_true_is_true() {
        for text in ["true", "True", "yes", "1", "x", "00"] {
            assert!(is_true(text), "{text}");
        }
        for text in ["", " \n", "false", "FALSE", " No ", "0"] {
            assert!(!is_true(text), "{text:?}");
        }
    }
}
