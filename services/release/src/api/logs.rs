//! `/api/v1/deployments/{id}/logs`: what the steps print, as server-sent events.
//!
//! The stream ends when the deployment is over and everything printed was told.

use std::convert::Infallible;

use axum::{extract::State, http::HeaderMap, response::sse::Event};
use slipway_domain::{
    api::{LogLine, Right},
    id::DeploymentId,
};
use tokio::sync::mpsc;

use super::{
    events::{Events, Follow, is_over, resume, stream},
    extract::{Path, Query},
};
use crate::{app::Shared, auth::Person, operations::deployments, problem::Problem};

/// Lines read at once when only what is there is wanted.
const PAGE: usize = 5_000;

pub async fn logs(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
    Query(query): Query<Follow>,
    headers: HeaderMap,
) -> Result<Events, Problem> {
    person.may(Right::Read)?;
    let id = deployments::find(&app, &text).await?;
    deployments::exists(&app, id).await?;
    let after = resume(&headers, &query);
    Ok(stream(move |out| send_logs(app, id, after, query.follow, out)))
}

type Out = mpsc::Sender<Result<Event, Infallible>>;

async fn send_logs(app: Shared, id: DeploymentId, after: u64, follow: bool, out: Out) {
    let mut next = if after == 0 { 0 } else { after + 1 };
    if follow && !is_over(&app, id) {
        match follow_logs(&app, id, next, &out).await {
            Some(reached) => next = reached,
            None => return,
        }
    }
    drain(&app, id, next, &out).await;
}

/// Tells lines as they come until the deployment is over; none if nobody listens any more.
async fn follow_logs(app: &Shared, id: DeploymentId, mut next: u64, out: &Out) -> Option<u64> {
    let mut reader = app.bus.logs(id, next);
    let mut folded = app.folded.watch();
    loop {
        tokio::select! {
            biased;
            () = app.shutdown.cancelled() => return None,
            () = out.closed() => return None,
            line = reader.next() => {
                next = line.seq + 1;
                if !tell(&line, out).await {
                    return None;
                }
            }
            changed = folded.changed() => {
                changed.ok()?;
                if is_over(app, id) {
                    return Some(next);
                }
            }
        }
    }
}

/// Tells everything that is there.
async fn drain(app: &Shared, id: DeploymentId, mut next: u64, out: &Out) {
    loop {
        let lines = match app.bus.read_logs(id, next, PAGE).await {
            Ok(lines) => lines,
            Err(error) => return tracing::error!(%error, "step output can not be read"),
        };
        for line in &lines {
            next = line.seq + 1;
            if !tell(line, out).await {
                return;
            }
        }
        if lines.len() < PAGE {
            return;
        }
    }
}

async fn tell(line: &LogLine, out: &Out) -> bool {
    match Event::default().id(line.seq.to_string()).json_data(line) {
        Ok(event) => out.send(Ok(event)).await.is_ok(),
        Err(_) => true,
    }
}
