//! The texts of a plan's steps, before anything runs: names that nothing will ever give a value, and packages that do
//! not exist.

use std::collections::BTreeSet;

use serde_json::Value;
use slipway_domain::{
    manifest::Action,
    name::TargetName,
    plan::{Plan, PlannedStep, Runs},
    release::Request,
    text::did_you_mean,
};

use super::{ancestors, snapshots};
use crate::{containers, order, template, variables};

/// Names in texts that nothing will ever give a value, and packages and teams that do not exist.
pub(super) fn check_texts(request: &Request, plan: &Plan, problems: &mut Vec<String>) {
    let before = ancestors(plan);
    let nobody = Vec::new();
    let snapshots = snapshots(request);
    for (i, planned) in plan.steps.iter().enumerate() {
        let step = &planned.step;
        for package in order::packages(&step.action) {
            if !request.release.packages.contains_key(package) {
                let known = request.release.packages.keys().map(|p| p.as_str());
                let hint = did_you_mean(package.as_str(), known);
                problems.push(format!(
                    "step `{}` uses package `{package}`, which the release does not have{hint}",
                    step.name
                ));
            }
        }
        let targets = match &planned.runs {
            Runs::On(targets) => targets.clone(),
            Runs::Gate => vec![TargetName::notifier()],
        };
        let mut found = BTreeSet::new();
        for target in &targets {
            let roles = snapshots.get(target).map_or(&nobody, |t| &t.roles);
            let place = variables::Place::of(request, step, target, roles);
            let earlier: Vec<&str> = before[i].iter().map(|a| plan.steps[*a].name().as_str()).collect();
            let condition = step.when.condition.iter().map(|text| (text.as_str(), no_secrets(request, place, text)));
            let texts = order::texts(step).into_iter().chain(containers::passed_texts(request, step, place));
            for (text, result) in
                texts.map(|text| (text, check_text(request, place, text, plan, &earlier))).chain(condition)
            {
                if let Err(problem) = result {
                    found.insert(format!("step `{}`: in \"{}\": {problem}", step.name, shorten(text)));
                }
            }
        }
        problems.extend(found);
    }
}

fn shorten(text: &str) -> String {
    let line: String = text.chars().take(80).collect();
    if line.len() < text.len() { format!("{line}…") } else { line }
}

/// Renders a text with stand-ins for what only a run can know, to find names without a value.
fn check_text(
    request: &Request,
    place: variables::Place<'_>,
    text: &str,
    plan: &Plan,
    earlier: &[&str],
) -> Result<(), String> {
    let mut dynamic = false;
    for name in used_names(request, text)? {
        let Some(rest) = name.strip_prefix("steps") else { continue };
        dynamic = true;
        let Some(step) = rest.strip_prefix('.').and_then(|r| r.split('.').next()) else { continue };
        let Some(planned) = plan.steps.iter().find(|s| s.name().as_str() == step) else {
            let known = plan.steps.iter().map(|s| s.name().as_str());
            return Err(format!("`{name}`: there is no step `{step}` in this plan{}", did_you_mean(step, known)));
        };
        if matches!(planned.step.action, Action::Steps(_)) {
            return Err(format!("`{name}`: `{step}` gives nothing itself; name the one of its steps that does"));
        }
        if !earlier.contains(&step) {
            return Err(not_before(&name, planned, plan, place));
        }
    }
    let renderer = variables::Renderer::new(request, place, "succeeded", Value::Object(serde_json::Map::new()));
    match renderer.render(text) {
        Err(_) if dynamic => renderer.check_variables(text),
        Err(problem) => Err(problem),
        Ok(_) => Ok(()),
    }
}

/// What to do about a step that a text looks at and that may come later than the text.
fn not_before(name: &str, step: &PlannedStep, plan: &Plan, place: variables::Place<'_>) -> String {
    let whole = |step: &PlannedStep| step.part_of.as_ref().unwrap_or(step.name()).clone();
    let (its, own) = (whole(step), plan.step(place.step).map_or_else(|| place.step.clone(), whole));
    let step = step.name();
    if its == own {
        return format!("`{name}`: step `{step}` has not ended by then; write it before `{}`", place.step);
    }
    let it = if its == *step { "it".to_owned() } else { format!("`{its}`, which it is a part of,") };
    format!("`{name}`: step `{step}` may not have ended by then; add {it} to `needs` of `{own}`")
}

/// Refuses a text that leads to a secret.
fn no_secrets(request: &Request, place: variables::Place<'_>, text: &str) -> Result<(), String> {
    let renderer = variables::Renderer::new(request, place, "succeeded", Value::Null);
    // What is wrong with it otherwise is told by others.
    let definitions = renderer.definitions_of(text).unwrap_or_default();
    match definitions.into_iter().find(|(_, (variable, _))| variable.secret.is_some()) {
        Some((name, _)) => Err(format!(
            "`{name}` is a secret, whose value only executors know; let a condition look at a variable with a value"
        )),
        None => Ok(()),
    }
}

/// The names of a text and of the variables that it leads to.
pub(crate) fn used_names(request: &Request, text: &str) -> Result<BTreeSet<String>, String> {
    let mut all = template::names(text)?;
    let mut queue: Vec<String> = all.iter().cloned().collect();
    while let Some(name) = queue.pop() {
        for (variable, _) in request.release.definitions().filter(|(v, _)| v.name == name) {
            for inner in template::names(variable.value.as_deref().unwrap_or_default())? {
                if all.insert(inner.clone()) {
                    queue.push(inner);
                }
            }
        }
    }
    Ok(all)
}
