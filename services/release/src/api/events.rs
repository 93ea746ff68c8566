//! `/api/v1/deployments/{id}/events`: the deployment's part of the log as server-sent events.
//!
//! The id of an event is its sequence, so a reader that comes back with `Last-Event-ID` misses
//! nothing. The stream ends when the deployment is over.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::Stream;
use serde::Deserialize;
use slipway_domain::id::DeploymentId;
use slipway_engine::view;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::extract::{Path, Query};
use crate::{app::Shared, auth::Person, operations::deployments, problem::Problem};

/// Events read at once.
const PAGE: u64 = 500;
const KEEP_ALIVE: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follow {
    /// Whether to wait for what is to come.
    #[serde(default = "yes")]
    pub follow: bool,
    /// Begin after this one, for readers that can not send `Last-Event-ID`.
    pub after: Option<u64>,
}

fn yes() -> bool {
    true
}

/// A stream of server-sent events, fed through a channel by a task that ends with its reader.
pub type Events = Sse<axum::response::sse::KeepAliveStream<ReceiverStream<Result<Event, Infallible>>>>;

pub async fn events(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
    Query(query): Query<Follow>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    person.may(slipway_domain::api::Right::Read)?;
    let id = deployments::find(&app, &text).await?;
    deployments::exists(&app, id).await?;
    let after = resume(&headers, &query);
    Ok(stream(move |out| send_events(app, id, after, query.follow, out)))
}

/// Where a reader goes on.
pub fn resume(headers: &HeaderMap, query: &Follow) -> u64 {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    last.or(query.after).unwrap_or(0)
}

/// Serves what a task sends.
pub fn stream<F>(feed: impl FnOnce(mpsc::Sender<Result<Event, Infallible>>) -> F) -> Events
where
    F: Future<Output = ()> + Send + 'static,
{
    let (out, events) = mpsc::channel(64);
    tokio::spawn(feed(out));
    Sse::new(ReceiverStream::new(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// Whether the deployment is over.
pub fn is_over(app: &Shared, id: DeploymentId) -> bool {
    app.folded.read(|state| state.get(id).is_none_or(|deployment| deployment.end.is_some()))
}

async fn send_events(
    app: Shared,
    id: DeploymentId,
    mut after: u64,
    follow: bool,
    out: mpsc::Sender<Result<Event, Infallible>>,
) {
    let mut folded = app.folded.watch();
    loop {
        // Asked before reading, so that what ended the deployment is among what is read.
        let over = is_over(&app, id);
        folded.mark_unchanged();
        let page = match app.store.events_of(id, after, PAGE).await {
            Ok(page) => page,
            Err(error) => return tracing::error!(%error, "events can not be read"),
        };
        let full = page.len() as u64 == PAGE;
        for recorded in page {
            after = recorded.seq;
            let event = Event::default().id(after.to_string()).json_data(view::event(&recorded));
            let Ok(event) = event else { continue };
            if out.send(Ok(event)).await.is_err() {
                return;
            }
        }
        if full {
            continue;
        }
        if over || !follow {
            return;
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = out.closed() => return,
            changed = folded.changed() => if changed.is_err() { return },
        }
    }
}
