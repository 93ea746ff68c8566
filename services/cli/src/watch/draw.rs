//! A deployment as text: its table, its changes, its end. Pure: the time comes in.

use chrono::{DateTime, Utc};
use slipway_domain::{
    api::{DeploymentView, GateView, Status, StepView, TaskStatus, TaskView},
    event::{Outcome, Verdict},
    release::LeftOutTarget,
};

use super::short;
use crate::{output, times};

/// More tasks than this are shown as one row per step.
const MOST_ROWS: usize = 24;

/// The sign of a task's state.
fn symbol(status: TaskStatus) -> char {
    match status {
        TaskStatus::Pending | TaskStatus::Granted => '○',
        TaskStatus::RetryScheduled => '↻',
        TaskStatus::Running => '●',
        TaskStatus::Restoring => '↺',
        TaskStatus::NeedsGuidance => '◆',
        TaskStatus::Ignored => '~',
        TaskStatus::Succeeded => '✓',
        TaskStatus::Failed => '✗',
        TaskStatus::Skipped => '-',
        TaskStatus::Cancelled => '■',
        TaskStatus::Unknown => '?',
    }
}

/// `shop 1.1.0 to production (0192aaaa-bbbb)`
fn title(view: &DeploymentView) -> String {
    let s = &view.summary;
    format!("{} {} to {} ({})", s.project, s.version, s.environment, short(s.id))
}

/// How it ended, or where it is.
fn outcome(view: &DeploymentView) -> &'static str {
    match (view.summary.status, view.summary.outcome) {
        (Status::Finished, Some(outcome)) => outcome.as_str(),
        (Status::WaitingForPerson, _) => "waiting for a person",
        (status, _) => status.as_str(),
    }
}

/// What is drawn on a terminal.
pub fn table(view: &DeploymentView, now: DateTime<Utc>) -> String {
    let mut text = format!("{}  {}\n", title(view), outcome(view));
    let rows = rows(view, now);
    if !rows.is_empty() {
        text.push_str(&output::table(&["", "step", "target", "state", "time", ""], rows));
    }
    text
}

fn rows(view: &DeploymentView, now: DateTime<Utc>) -> Vec<Vec<String>> {
    let compact = view.steps.iter().map(|step| step.tasks.len().max(1)).sum::<usize>() > MOST_ROWS;
    view.steps
        .iter()
        .filter(|step| step.part_of.is_none())
        .flat_map(|step| {
            let parts: Vec<&StepView> =
                view.steps.iter().filter(|part| part.part_of.as_ref() == Some(&step.name)).collect();
            match (&step.skipped, &step.gate) {
                (Some(why), _) => vec![cells('-', step.name.as_str(), "", "skipped", String::new(), why.clone())],
                _ if !parts.is_empty() => series_rows(step, &parts, compact, now),
                (None, Some(gate)) => vec![gate_row(step, gate, now)],
                (None, None) if compact => vec![summary_row(step, step.name.as_str())],
                (None, None) => {
                    step.tasks.iter().map(|task| task_row(step.name.as_str(), task, now)).collect::<Vec<_>>()
                }
            }
        })
        .collect()
}

/// A step that consists of others: itself, and below it for each target in turn what is done there; of many targets a
/// row for each part.
fn series_rows(step: &StepView, parts: &[&StepView], compact: bool, now: DateTime<Utc>) -> Vec<Vec<String>> {
    let indented = |part: &StepView| format!("  {}", part.name);
    let targets = parts.iter().map(|part| part.tasks.len()).max().unwrap_or_default();
    let mut rows = vec![match &step.gate {
        Some(gate) => gate_row(step, gate, now),
        None => cells(' ', step.name.as_str(), "", "", String::new(), String::new()),
    }];
    if compact {
        rows.extend(parts.iter().map(|part| summary_row(part, &indented(part))));
    } else {
        rows.extend((0..targets).flat_map(|place| {
            let tasks = parts.iter().filter_map(move |part| Some((part, part.tasks.get(place)?)));
            tasks.map(|(part, task)| task_row(&indented(part), task, now))
        }));
    }
    rows
}

fn cells(sign: char, step: &str, target: &str, state: &str, time: String, note: String) -> Vec<String> {
    vec![sign.to_string(), step.to_string(), target.to_owned(), state.to_owned(), time, note]
}

fn task_row(step: &str, task: &TaskView, now: DateTime<Utc>) -> Vec<String> {
    let time = task.started_at.map(|from| times::between(from, task.finished_at.unwrap_or(now))).unwrap_or_default();
    let mut notes = Vec::new();
    if task.attempt > 1 {
        notes.push(format!("attempt {}", task.attempt));
    }
    if task.status == TaskStatus::Running {
        notes.extend(task.holder.as_ref().map(|holder| format!("on {holder}")));
    } else if task.status != TaskStatus::Succeeded {
        notes.extend(task.message.as_deref().map(first_line));
    }
    cells(symbol(task.status), step, task.target.as_str(), task.status.as_str(), time, notes.join(", "))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn gate_row(step: &StepView, gate: &GateView, now: DateTime<Utc>) -> Vec<String> {
    let votes = gate.votes.iter().map(|v| format!("{} {}", v.person, said(v.verdict))).collect::<Vec<_>>().join(", ");
    let (sign, state) = match (gate.decided, gate.opened) {
        (Some(Verdict::Reject), _) => ('✗', "rejected"),
        (Some(_), _) => ('✓', "approved"),
        (None, Some(_)) => ('◆', "waits"),
        (None, None) => ('○', "pending"),
    };
    let note = match (gate.decided, gate.opened, &gate.reason) {
        (Some(_), _, Some(reason)) => reason.clone(),
        (Some(_), ..) => votes,
        (None, Some(_), _) => {
            let expiry = gate.expires.map(|at| format!(", expires {}", times::until(at, now))).unwrap_or_default();
            let votes = if votes.is_empty() { String::new() } else { format!(": {votes}") };
            format!("for {}{expiry}{votes}", voters(gate))
        }
        (None, None, _) => String::new(),
    };
    cells(sign, step.name.as_str(), "", state, String::new(), note)
}

fn said(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approved",
        Verdict::Reject => "rejected",
        Verdict::Retry => "wants a retry",
        Verdict::Ignore => "ignores it",
        Verdict::Exclude => "excludes the target",
    }
}

fn voters(gate: &GateView) -> String {
    let teams: Vec<&str> = gate.teams.iter().map(|team| team.as_str()).collect();
    let who = if teams.is_empty() { "anyone who may deploy".to_owned() } else { teams.join(" or ") };
    if gate.votes_needed > 1 { format!("{} of {who}", gate.votes_needed) } else { who }
}

fn summary_row(step: &StepView, name: &str) -> Vec<String> {
    let all = [
        TaskStatus::Failed,
        TaskStatus::Unknown,
        TaskStatus::Running,
        TaskStatus::Restoring,
        TaskStatus::RetryScheduled,
        TaskStatus::Granted,
        TaskStatus::Pending,
        TaskStatus::Cancelled,
        TaskStatus::Skipped,
        TaskStatus::Succeeded,
    ];
    let counts: Vec<(TaskStatus, usize)> = all
        .into_iter()
        .map(|status| (status, step.tasks.iter().filter(|task| task.status == status).count()))
        .filter(|(_, n)| *n > 0)
        .collect();
    let sign = counts.first().map_or(' ', |(status, _)| symbol(*status));
    let state = counts.iter().map(|(status, n)| format!("{n} {}", status.as_str())).collect::<Vec<_>>().join(", ");
    cells(sign, name, &format!("{} targets", step.tasks.len()), &state, String::new(), String::new())
}

/// A line for everything that differs from the view before.
pub fn changes(before: Option<&DeploymentView>, view: &DeploymentView) -> Vec<String> {
    let mut lines = Vec::new();
    if before.is_none() {
        lines.push(title(view));
    }
    for step in &view.steps {
        let old = before.and_then(|b| b.steps.iter().find(|s| s.name == step.name));
        if let Some(why) = &step.skipped
            && old.is_none_or(|old| old.skipped.is_none())
        {
            lines.push(format!("- {} skipped: {why}", step.name));
        }
        if let Some(gate) = &step.gate {
            lines.extend(gate_changes(step, old.and_then(|o| o.gate.as_ref()), gate));
        }
        for task in &step.tasks {
            let old = old.and_then(|o| o.tasks.iter().find(|t| t.target == task.target));
            let was = old.map(|t| (t.status, t.attempt));
            let quiet = matches!(task.status, TaskStatus::Pending | TaskStatus::Granted);
            let told = step.skipped.is_some() && task.status == TaskStatus::Skipped;
            if was != Some((task.status, task.attempt)) && !quiet && !told {
                lines.push(task_line(step, task));
            }
        }
    }
    let state = |v: &DeploymentView| (v.summary.status, v.summary.outcome);
    if before.is_none_or(|b| state(b) != state(view)) && view.summary.status != Status::Finished {
        lines.push(format!("deployment {}", outcome(view)));
    }
    lines
}

fn task_line(step: &StepView, task: &TaskView) -> String {
    let mut line = format!("{} {}@{} {}", symbol(task.status), step.name, task.target, task.status.as_str());
    if let (TaskStatus::Running, Some(holder)) = (task.status, &task.holder) {
        line.push_str(&format!(" on {holder}"));
    }
    if task.attempt > 1 {
        line.push_str(&format!(" (attempt {})", task.attempt));
    }
    if let (Some(from), Some(to)) = (task.started_at, task.finished_at) {
        line.push_str(&format!(" after {}", times::between(from, to)));
    }
    if let Some(message) = task.message.as_deref().filter(|_| task.status != TaskStatus::Succeeded) {
        line.push_str(&format!(": {}", first_line(message)));
    }
    line
}

fn gate_changes(step: &StepView, old: Option<&GateView>, gate: &GateView) -> Vec<String> {
    let mut lines = Vec::new();
    if gate.opened.is_some() && gate.decided.is_none() && old.is_none_or(|o| o.opened != gate.opened) {
        let what = gate.instructions.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        lines.push(format!("◆ {} waits for {}{what}", step.name, voters(gate)));
    }
    for vote in &gate.votes {
        if old.is_none_or(|o| !o.votes.contains(vote)) {
            let note = vote.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            lines.push(format!("  {} {} {}{note}", vote.person, said(vote.verdict), step.name));
        }
    }
    if let Some(verdict) = gate.decided
        && old.is_none_or(|o| o.decided.is_none())
    {
        let sign = if verdict == Verdict::Approve { '✓' } else { '✗' };
        let why = gate.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("{sign} {} {}{why}", step.name, said(verdict)));
    }
    lines
}

/// What waits for whom, and how to answer.
pub fn waits(view: &DeploymentView) -> String {
    let mut lines = vec![format!("{} waits for a person", title(view))];
    for step in &view.steps {
        if let Some(gate) = step.gate.as_ref().filter(|g| g.opened.is_some() && g.decided.is_none()) {
            let id = short(view.summary.id);
            lines.push(format!("  {} for {}: `slipway approve {id} {}`", step.name, voters(gate), step.name));
        }
    }
    lines.join("\n")
}

/// The last words of a followed deployment.
pub fn end(view: &DeploymentView, now: DateTime<Utc>) -> String {
    let s = &view.summary;
    let from = s.started_at.unwrap_or(s.requested_at);
    let time = times::between(from, s.finished_at.unwrap_or(now));
    format!("{} {} after {time}\n{}", title(view), outcome(view), why_not(view))
}

/// Everything about a deployment.
pub fn details(view: &DeploymentView, wide: bool, now: DateTime<Utc>) -> String {
    let s = &view.summary;
    let mut text = format!(
        "{} {} to {}\n  id         {}\n  state      {}\n",
        s.project,
        s.version,
        s.environment,
        s.id,
        outcome(view)
    );
    text.push_str(&format!("  requested  {} by {}\n", times::ago(s.requested_at, now), s.requested_by));
    if let Some(from) = s.started_at {
        let took = times::between(from, s.finished_at.unwrap_or(now));
        text.push_str(&format!(
            "  started    {}, {} {took}\n",
            times::ago(from, now),
            if s.finished_at.is_some() { "took" } else { "since" }
        ));
    }
    for (name, image) in &view.packages {
        text.push_str(&format!("  package    {name} {image}\n"));
    }
    for (name, value) in &view.variables {
        text.push_str(&format!("  variable   {name}={value:?}\n"));
    }
    for LeftOutTarget { target, reason } in &view.left_out {
        text.push_str(&format!("  left out   {target}: {reason}\n"));
    }
    if let Some(digest) = view.plan_digest.as_ref().filter(|_| wide) {
        text.push_str(&format!("  plan       {digest}\n"));
    }
    let rows = rows(view, now);
    if !rows.is_empty() {
        text.push_str(&format!("\n{}", output::table(&["", "step", "target", "state", "time", ""], rows)));
    }
    let outputs: String = view
        .steps
        .iter()
        .flat_map(|step| step.tasks.iter().map(move |task| (step, task)))
        .filter(|(_, task)| wide && !task.outputs.is_empty())
        .map(|(step, task)| {
            let json = serde_json::to_string(&task.outputs).unwrap_or_default();
            format!("  {}@{} {json}\n", step.name, task.target)
        })
        .collect();
    if !outputs.is_empty() {
        text.push_str(&format!("\noutputs:\n{outputs}"));
    }
    let why = why_not(view);
    if !why.is_empty() {
        text.push_str(&format!("\n{why}"));
    }
    text
}

/// Why it did not succeed, with the last lines of what failed; empty if nothing is wrong.
fn why_not(view: &DeploymentView) -> String {
    let mut text = String::new();
    if view.summary.outcome.is_some_and(|outcome| outcome != Outcome::Succeeded)
        && let Some(reason) = &view.summary.reason
    {
        text.push_str(&format!("why: {reason}\n"));
    }
    for problem in view.problems.iter().filter(|p| view.summary.reason.as_ref() != Some(p)) {
        text.push_str(&format!("  - {problem}\n"));
    }
    for step in &view.steps {
        for task in step.tasks.iter().filter(|t| matches!(t.status, TaskStatus::Failed | TaskStatus::Unknown)) {
            let message = task.message.as_deref().unwrap_or(task.status.as_str());
            text.push_str(&format!("{} {}@{}: {message}\n", symbol(task.status), step.name, task.target));
            if !task.tail.is_empty() {
                text.push_str("  the last lines it printed:\n");
                task.tail.iter().for_each(|line| text.push_str(&format!("    | {line}\n")));
            }
        }
    }
    text
}
