//! `slipway plan`: what a deployment would do, step by step and target by target.

use std::fmt::Write as _;

use clap::Args;
use slipway_domain::{
    api::{Difference, Preview, PreviewedStep, PreviewedTask, Resolved, TaskChange},
    manifest::ResultCondition,
    name::{EnvironmentName, ProjectName},
};

use super::{Shared, deploy::Options};
use crate::{failure::Result, watch};

/// Longest value that is shown without `-o wide`.
const SHORT: usize = 60;

#[derive(Debug, Args)]
pub struct Plan {
    /// Project
    project: ProjectName,
    /// Version of the release
    version: String,
    /// Environment
    #[arg(long)]
    to: EnvironmentName,
    #[command(flatten)]
    options: Options,
}

impl Plan {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let body = self.options.body(self.project, self.version, self.to);
        let preview: Preview = shared.client()?.post("/api/v1/plans", &body).await?;
        shared.output.show(&preview, |wide| text(&preview, wide))
    }
}

fn text(preview: &Preview, wide: bool) -> String {
    let now = preview.current.as_ref().map_or_else(|| "nothing yet".to_owned(), |current| format!("{current} now"));
    let Preview { project, version, environment, channel, mode, digest, .. } = preview;
    let mut text =
        format!("{project} {version} to {environment} ({now}): {}, channel {channel}\nplan {digest}\n", mode.as_str());
    if let Some(waits) = preview.waits() {
        let _ = writeln!(text, "it would wait for {waits}");
    }
    for unseen in &preview.unseen {
        let _ = writeln!(text, "{} could not be looked at: {}", unseen.target, unseen.reason);
    }
    for left_out in &preview.left_out_targets {
        let _ = writeln!(text, "{} would be left out: {}", left_out.target, left_out.reason);
    }
    for problem in &preview.unsuitable {
        let _ = writeln!(text, "! {problem}");
    }
    for drift in &preview.drift {
        let _ = writeln!(text, "not as it was deployed, on {}: {}", drift.target, drift.detail);
    }
    for step in &preview.steps {
        if step.part_of.is_none() {
            text.push('\n');
        }
        step_text(step, wide, &mut text);
    }
    for step in &preview.left_out {
        let _ = write!(text, "\n-  {}: left out, {}\n", step.name, step.reason);
    }
    text
}

fn step_text(step: &PreviewedStep, wide: bool, text: &mut String) {
    let _ = match &step.part_of {
        Some(_) => write!(text, "   - {} ({})", step.name, step.kind),
        None => write!(text, "{}  {} ({})", step.rank + 1, step.name, step.kind),
    };
    if step.kind == "steps" {
        text.push_str(", one after the other on each target");
    }
    if !step.needs.is_empty() {
        let needs: Vec<_> = step.needs.iter().map(|need| need.as_str()).collect();
        let _ = write!(text, ", after {}", needs.join(", "));
    }
    match step.result {
        ResultCondition::Success => {}
        ResultCondition::Failure => text.push_str(", only after a failure"),
        ResultCondition::Always => text.push_str(", whatever happened"),
    }
    if let Some(window) = step.window {
        let _ = write!(text, ", {window} at a time");
    }
    if let Some(condition) = &step.condition {
        let _ = write!(text, ", if {condition}");
    }
    text.push('\n');
    if let Some(reason) = &step.skipped {
        let _ = writeln!(text, "     will be left out: {reason}");
        return;
    }
    if let Some(asks) = &step.asks {
        let teams: Vec<_> = asks.teams.iter().map(|team| team.as_str()).collect();
        let who = if teams.is_empty() { "anybody who may deploy".to_owned() } else { teams.join(", ") };
        let when = asks.after_targets.map(|n| format!("after {n} of its targets ")).unwrap_or_default();
        let _ = writeln!(text, "     {when}waits for {} of {who}", asks.votes);
    }
    step.tasks.iter().for_each(|task| task_text(task, wide, text));
}

fn task_text(task: &PreviewedTask, wide: bool, text: &mut String) {
    if let Some(reason) = &task.skipped {
        let _ = writeln!(text, "     {}: will be left out, {reason}", task.target);
        return;
    }
    let what = match (task.change, task.compared_with) {
        (TaskChange::New, _) => "was not done there yet".to_owned(),
        (TaskChange::Same, Some(id)) => format!("done again as in deployment {}", watch::short(id)),
        (_, Some(id)) => format!("changes against deployment {}", watch::short(id)),
        (_, None) => String::new(),
    };
    let _ = writeln!(text, "     {}: {what}", task.target);
    for difference in task.differences.iter().filter(|_| task.change == TaskChange::Changed || wide) {
        let _ = writeln!(text, "       {}", difference_text(difference, wide));
    }
    if wide {
        for variable in &task.variables {
            let _ = writeln!(text, "       {}", variable_text(variable));
        }
    }
}

fn difference_text(Difference { what, before, after }: &Difference, wide: bool) -> String {
    let value = |value: &str| {
        let short: String = value.chars().take(SHORT).collect();
        if wide || short.len() == value.len() { value.to_owned() } else { format!("{short}…") }
    };
    match (before, after) {
        (Some(before), Some(after)) => format!("~ {what}: {} -> {}", value(before), value(after)),
        (None, Some(after)) => format!("+ {what}: {}", value(after)),
        (Some(before), None) => format!("- {what}: {}", value(before)),
        (None, None) => what.clone(),
    }
}

fn variable_text(variable: &Resolved) -> String {
    let value = match (&variable.value, &variable.secret) {
        (Some(value), _) => format!("\"{value}\""),
        (None, Some(secret)) => format!("secret {} version {}", secret.name, secret.version),
        (None, None) => "no value".to_owned(),
    };
    let from = variable.set.as_ref().map_or_else(|| "the project".to_owned(), |set| format!("variable set {set}"));
    let scope = if variable.scope.is_empty() {
        String::new()
    } else {
        format!(", scope {}", serde_json::to_string(&variable.scope).unwrap_or_default())
    };
    format!("{} = {value} (of {from}{scope})", variable.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview() -> Preview {
        serde_json::from_value(serde_json::json!({
            "project": "shop", "version": "1.1.0", "channel": "stable", "environment": "production", "current": "1.0.0",
            "mode": "deploy", "digest": "sha256:ab", "freeze": {"name": "christmas", "until": "2026-12-27T00:00:00Z"},
            "steps": [
                {"name": "sign-off", "kind": "approval", "rank": 0, "needs": [], "result": "success",
                 "asks": {"teams": ["ops"], "votes": 1}, "tasks": []},
                {"name": "web", "kind": "docker-run", "rank": 1, "needs": ["sign-off"], "result": "success", "window": 1, "tasks": [
                    {"target": "web-01", "change": "changed", "compared_with": "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee",
                     "differences": [
                        {"what": "env.GREETING", "before": "hello", "after": "HELLO"},
                        {"what": "env.NEW", "after": "(secret db version 2)"}],
                     "variables": [{"name": "Greeting", "value": "HELLO", "scope": {"environment": "production"}}]},
                    {"target": "web-02", "change": "new", "differences": [{"what": "image", "after": "r/w:1@sha256:0"}], "variables": []}]}],
            "left_out": [{"name": "seed", "reason": "it is not for environment production"}]
        }))
        .unwrap()
    }

    #[test]
    fn what_a_step_consists_of_stands_below_it() {
        let mut plan = preview();
        let mut part = plan.steps[1].clone();
        (part.name, part.part_of, part.window, part.needs) =
            ("serve".parse().unwrap(), Some("web".parse().unwrap()), None, Vec::new());
        part.tasks.truncate(1);
        let whole = &mut plan.steps[1];
        (whole.kind, whole.tasks) = ("steps".to_owned(), Vec::new());
        plan.steps.push(part);
        let text = text(&plan, false);
        let expected = "\n2  web (steps), one after the other on each target, after sign-off, 1 at a time\n   - serve (docker-run)\n     \
             web-01: changes against deployment 0192aaaa-bbbb\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_plan_tells_what_changes_where() {
        assert_eq!(
            text(&preview(), false),
            "shop 1.1.0 to production (1.0.0 now): deploy, channel stable\nplan sha256:ab\n\
             it would wait for freeze christmas until 2026-12-27 00:00 UTC\n\
             \n1  sign-off (approval)\n     waits for 1 of ops\n\
             \n2  web (docker-run), after sign-off, 1 at a time\n     web-01: changes against deployment 0192aaaa-bbbb\n\
             \x20      ~ env.GREETING: hello -> HELLO\n       + env.NEW: (secret db version 2)\n\
             \x20    web-02: was not done there yet\n\
             \n-  seed: left out, it is not for environment production\n"
        );
        let wide = text(&preview(), true);
        assert!(wide.contains("+ image: r/w:1@sha256:0"), "{wide}");
        assert!(wide.contains(r#"Greeting = "HELLO" (of the project, scope {"environment":"production"})"#), "{wide}");
    }
}
