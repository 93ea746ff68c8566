//! `slipway status`: the board, projects by environments.

use chrono::{DateTime, Utc};
use clap::Args;
use slipway_domain::{
    api::{Board, BoardCell, DeploymentSummary, Status as State, Unfinished},
    event::Outcome,
};

use super::Shared;
use crate::{failure::Result, output, times, watch::short};

#[derive(Debug, Args)]
pub struct Status {
    /// Only this project
    project: Option<String>,
}

impl Status {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let mut board: Board = shared.client()?.get("/api/v1/board").await?;
        if let Some(project) = &self.project {
            board.projects.retain(|row| row.project.as_str() == project);
        }
        shared.output.show(&board, |wide| text(&board, wide, times::now()))
    }
}

/// The board, then what waits for people, then what runs on which target.
fn text(board: &Board, wide: bool, now: DateTime<Utc>) -> String {
    let mut headings = vec!["project", "newest"];
    headings.extend(board.environments.iter().map(|e| e.as_str()));
    let mut rows = Vec::new();
    let mut waiting = String::new();
    let mut drift = String::new();
    let mut containers = Vec::new();
    for project in &board.projects {
        let mut row =
            vec![project.project.to_string(), project.newest_release.clone().unwrap_or_else(|| "-".to_owned())];
        for environment in &board.environments {
            let Some(cell) = project.cells.get(environment) else {
                row.push("-".to_owned());
                continue;
            };
            row.push(cell_text(cell, now));
            waiting.extend(cell.unfinished.iter().map(waits));
            drift.extend(cell.drift.iter().map(|what| format!("  {} in {environment}, {what}\n", project.project)));
            for c in &cell.containers {
                let ports: Vec<String> = c.ports.iter().map(|(inside, host)| format!("{host}->{inside}")).collect();
                let mut line = vec![
                    project.project.to_string(),
                    environment.to_string(),
                    c.target.to_string(),
                    c.step.to_string(),
                    c.name.clone(),
                    ports.join(", "),
                ];
                if wide {
                    line.push(c.digest.clone());
                }
                containers.push(line);
            }
        }
        rows.push(row);
    }
    let mut text = output::table(&headings, rows);
    if !waiting.is_empty() {
        text.push_str(&format!("\nwaiting for a person:\n{waiting}"));
    }
    if !drift.is_empty() {
        text.push_str(&format!("\nnot as it was deployed:\n{drift}"));
    }
    if !containers.is_empty() {
        let mut headings = vec!["project", "environment", "target", "step", "container", "ports"];
        if wide {
            headings.push("digest");
        }
        text.push_str(&format!("\n{}", output::table(&headings, containers)));
    }
    text
}

fn cell_text(cell: &BoardCell, now: DateTime<Utc>) -> String {
    let mut parts = Vec::new();
    if let Some(current) = &cell.current {
        parts.push(format!(
            "{} ({})",
            current.version,
            times::ago(current.finished_at.unwrap_or(current.requested_at), now)
        ));
    }
    let over = cell.latest.iter().filter(|latest| latest.outcome.is_some());
    for other in cell.unfinished.iter().map(|one| &one.summary).chain(over) {
        parts.push(format!("{} {}", other.version, state(other)));
    }
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

/// Where a deployment is, in a word or two.
fn state(summary: &DeploymentSummary) -> &'static str {
    match (summary.status, summary.outcome) {
        (State::WaitingForPerson, _) => "waits",
        (State::Finished, Some(outcome)) => Outcome::as_str(outcome),
        (status, _) => status.as_str(),
    }
}

/// What a deployment asks people, and how they answer.
fn waits(one: &Unfinished) -> String {
    let DeploymentSummary { project, version, environment, id, .. } = &one.summary;
    let (what, id) = (format!("{project} {version} to {environment}"), short(*id));
    let gates = one.waiting_for.iter().map(|step| format!("  {what}: {step}; `slipway approve {id} {step}`\n"));
    let tasks = one.asks_about.iter().map(|task| {
        let (step, target) = (&task.step, &task.target);
        format!("  {what}: {step} failed on {target}; `slipway guide {id} {step} {target} retry` (or ignore, exclude, abort)\n")
    });
    gates.chain(tasks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_tells_who_runs_what_where_and_what_waits_for_whom() {
        let deployment = |version: &str, environment: &str, status: &str| {
            serde_json::json!({
                "id": "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", "seq": 1, "project": "shop", "environment": environment,
                "version": version, "status": status, "requested_by": {"kind": "trigger", "name": "push"},
                "requested_at": "2026-11-21T11:50:00Z"
            })
        };
        let mut waiting = deployment("1.1.0", "production", "waiting-for-person");
        waiting["waiting_for"] = serde_json::json!(["sign-off"]);
        waiting["asks_about"] = serde_json::json!([{"step": "web", "target": "web-01"}]);
        let mut failed = deployment("0.9.0", "staging", "finished");
        failed["outcome"] = "failed".into();
        let board: Board = serde_json::from_value(serde_json::json!({
            "environments": ["staging", "production"],
            "projects": [{"project": "shop", "newest_release": "1.1.0", "cells": {
                "staging": {"current": deployment("1.1.0", "staging", "finished"), "latest": failed},
                "production": {
                    "current": deployment("1.0.0", "production", "finished"),
                    "latest": deployment("1.2.0", "production", "queued"),
                    "unfinished": [waiting, deployment("1.2.0", "production", "queued")],
                    "containers": [{"step": "web", "target": "web-01", "name": "shop-web-production-web-01-0a1b2c3d",
                                    "ports": {"80": 8081}, "digest": "sha256:00"}]
                }
            }}, {"project": "blog", "cells": {}}]
        }))
        .unwrap();
        let shown = text(&board, false, "2026-11-21T12:00:00Z".parse().unwrap());
        assert_eq!(
            shown,
            "PROJECT  NEWEST  STAGING                        PRODUCTION\n\
             shop     1.1.0   1.1.0 (10m ago), 0.9.0 failed  1.0.0 (10m ago), 1.1.0 waits, 1.2.0 queued\n\
             blog     -       -                              -\n\
             \n\
             waiting for a person:\n  \
               shop 1.1.0 to production: sign-off; `slipway approve 0192aaaa-bbbb sign-off`\n  \
               shop 1.1.0 to production: web failed on web-01; `slipway guide 0192aaaa-bbbb web web-01 retry` (or ignore, exclude, abort)\n\
             \n\
             PROJECT  ENVIRONMENT  TARGET  STEP  CONTAINER                            PORTS\n\
             shop     production   web-01  web   shop-web-production-web-01-0a1b2c3d  8081->80\n"
        );
    }
}
