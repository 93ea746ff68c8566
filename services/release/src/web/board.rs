//! The board as a page: what [`slipway_domain::api::Board`] says, in words.

use askama::Template;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use slipway_domain::{
    api::{Board, BoardCell, BoardRow, ContainerView, DeploymentSummary, Status, Unfinished},
    event::Outcome,
    name::{EnvironmentName, PersonName},
};

/// Characters of a deployment's id that are shown; enough for the CLI to find it.
const SHORT_ID: usize = 8;
/// Longest reason that fits into a cell, in characters.
const REASON: usize = 240;

#[derive(Template)]
#[template(path = "board.html")]
pub struct Page {
    person: String,
    seq: u64,
    waiting: usize,
    environments: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    project: String,
    newest: Option<String>,
    cells: Vec<Cell>,
}

#[derive(Default)]
struct Cell {
    environment: String,
    current: Option<Deployment>,
    /// Those that are not over, the oldest first, and the newest if it ended without success.
    others: Vec<Deployment>,
    /// What is not as it was deployed.
    drift: Vec<String>,
    containers: Vec<Container>,
}

struct Deployment {
    id: String,
    version: String,
    word: &'static str,
    tone: &'static str,
    at: String,
    ago: String,
    by: String,
    reason: Option<String>,
    /// The gates that are open.
    waits: Vec<String>,
    /// The failed tasks that a person is asked about: step and target.
    asks: Vec<(String, String)>,
}

struct Container {
    step: String,
    target: String,
    name: String,
    ports: String,
}

/// The page for a person, at a time.
pub fn page(board: Board, person: &PersonName, seq: u64, now: DateTime<Utc>) -> Page {
    let unfinished = board.projects.iter().flat_map(|row| row.cells.values()).flat_map(|cell| &cell.unfinished);
    let waiting = unfinished.filter(|deployment| deployment.waits()).count();
    Page {
        person: person.to_string(),
        seq,
        waiting,
        environments: board.environments.iter().map(ToString::to_string).collect(),
        rows: board.projects.into_iter().map(|project| row(project, &board.environments, now)).collect(),
    }
}

fn row(mut project: BoardRow, environments: &[EnvironmentName], now: DateTime<Utc>) -> Row {
    let cells = environments.iter().map(|environment| cell(environment, project.cells.remove(environment), now));
    let cells = cells.collect();
    Row { project: project.project.to_string(), newest: project.newest_release, cells }
}

fn cell(environment: &EnvironmentName, cell: Option<BoardCell>, now: DateTime<Utc>) -> Cell {
    let environment = environment.to_string();
    let Some(cell) = cell else { return Cell { environment, ..Cell::default() } };
    let over = cell.latest.filter(|latest| latest.outcome.is_some()).map(|latest| deployment(latest, now));
    Cell {
        environment,
        current: cell.current.map(|current| deployment(current, now)),
        others: cell.unfinished.into_iter().map(|one| unfinished(one, now)).chain(over).collect(),
        drift: cell.drift.iter().map(|what| shortened(what)).collect(),
        containers: cell.containers.into_iter().map(container).collect(),
    }
}

fn unfinished(one: Unfinished, now: DateTime<Utc>) -> Deployment {
    let tone = if one.waits() { "waits" } else { "" };
    let told = deployment(one.summary, now);
    Deployment {
        waits: one.waiting_for.iter().map(ToString::to_string).collect(),
        asks: one.asks_about.iter().map(|task| (task.step.to_string(), task.target.to_string())).collect(),
        tone: if told.tone.is_empty() { tone } else { told.tone },
        ..told
    }
}

fn deployment(summary: DeploymentSummary, now: DateTime<Utc>) -> Deployment {
    let (word, tone) = word(&summary);
    let at = summary.finished_at.or(summary.started_at).unwrap_or(summary.requested_at);
    let id: String = summary.id.to_string().chars().take(SHORT_ID).collect();
    Deployment {
        id,
        version: summary.version,
        word,
        tone,
        at: at.to_rfc3339_opts(SecondsFormat::Secs, true),
        ago: ago(now - at),
        by: summary.requested_by.to_string(),
        reason: summary.reason.map(|reason| shortened(&reason)),
        waits: Vec::new(),
        asks: Vec::new(),
    }
}

/// What is said of a deployment, and in which colour.
fn word(summary: &DeploymentSummary) -> (&'static str, &'static str) {
    match (summary.outcome, summary.status) {
        (Some(Outcome::Succeeded), _) => ("succeeded", "good"),
        (Some(Outcome::Failed), _) => ("failed", "bad"),
        (Some(Outcome::Cancelled), _) => ("cancelled", "bad"),
        (Some(Outcome::Rejected), _) => ("could not be planned", "bad"),
        (None, Status::Requested) => ("requested", ""),
        (None, Status::Queued) => ("queued behind an earlier deployment", ""),
        (None, Status::Running) => ("running", ""),
        (None, Status::WaitingForPerson) => ("waiting", "waits"),
        (Some(Outcome::Superseded), _) => ("superseded by a newer one", ""),
        (None, Status::Paused) => ("paused", "waits"),
        (None, Status::Cancelling) => ("being cancelled", "bad"),
        (None, Status::Finished) => ("finished", ""),
    }
}

fn container(container: ContainerView) -> Container {
    let ports: Vec<_> = container.ports.iter().map(|(inside, host)| format!(":{host} → {inside}")).collect();
    Container {
        step: container.step.to_string(),
        target: container.target.to_string(),
        name: container.name,
        ports: ports.join(", "),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A span of time in the words of its largest unit.
fn ago(span: TimeDelta) -> String {
    match span.num_seconds() {
        ..5 => "just now".to_owned(),
        seconds @ 5..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn summary(version: &str, status: &str, outcome: Option<&str>) -> Value {
        let mut summary = json!({
            "id": "0194e0a4-0000-7000-8000-000000000001", "seq": 7, "project": "shop", "environment": "staging",
            "version": version, "status": status, "requested_by": {"kind": "trigger", "name": "lifecycle"},
            "requested_at": "2026-11-21T10:00:00Z", "started_at": "2026-11-21T10:00:01Z"
        });
        if let Some(outcome) = outcome {
            summary["outcome"] = json!(outcome);
            summary["finished_at"] = json!("2026-11-21T10:01:00Z");
        }
        summary
    }

    fn html(board: Value) -> String {
        let now = DateTime::parse_from_rfc3339("2026-11-21T10:03:00Z").unwrap().to_utc();
        let board = serde_json::from_value(board).unwrap();
        page(board, &PersonName::new("ana").unwrap(), 42, now).render().unwrap()
    }

    #[test]
    fn a_cell_says_what_runs_and_what_is_on_its_way() {
        let mut failed = summary("1.1.0<b>", "finished", Some("failed"));
        failed["reason"] = json!("step web failed: <script>");
        let queued = summary("1.1.0", "queued", None);
        let mut waiting = summary("1.0.0", "waiting-for-person", None);
        waiting["waiting_for"] = json!(["sign-off"]);
        waiting["asks_about"] = json!([{"step": "web", "target": "web-02"}]);
        let html = html(json!({
            "environments": ["staging", "production"],
            "projects": [{"project": "shop", "newest_release": "1.1.0", "cells": {
                "staging": {
                    "current": summary("1.0.0", "finished", Some("succeeded")),
                    "latest": failed,
                    "drift": ["on web-01: shop-web-1 does not run"],
                    "containers": [{"step": "web", "target": "web-01", "name": "shop-web-1", "ports": {"80": 8081}, "digest": "sha256:x"}]
                },
                "production": {"latest": queued, "unfinished": [waiting, queued]}
            }}]
        }));
        for text in [
            "1.0.0",
            "2 min ago",
            "failed",
            "web-01",
            ":8081 → 80",
            "on web-01: shop-web-1 does not run",
            "slipway approve 0194e0a4 sign-off",
            "slipway guide 0194e0a4 web web-02",
            "queued behind an earlier deployment",
            "0194e0a4",
            "trigger lifecycle",
        ] {
            assert!(html.contains(text), "{text} in {html}");
        }
        assert!(html.contains("<strong>1</strong> waiting for a person"));
        assert!(!html.contains("<script>") && !html.contains("1.1.0<b>"), "what people write is text, not markup");
    }

    #[test]
    fn an_empty_board_says_how_to_begin() {
        assert!(html(json!({"environments": [], "projects": []})).contains("slipway apply -f DIR"));
        let html = html(json!({"environments": ["staging"], "projects": [{"project": "shop", "cells": {}}]}));
        assert!(html.contains("nothing yet"));
    }

    #[test]
    fn time_is_told_in_its_largest_unit() {
        for (seconds, text) in [
            (-3, "just now"),
            (4, "just now"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (7300, "2 h ago"),
            (200_000, "2 d ago"),
        ] {
            assert_eq!(ago(TimeDelta::seconds(seconds)), text);
        }
    }
}
