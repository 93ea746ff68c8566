//! The JSON API, `/api/v1/…`: one file per resource. Handlers check who asks and what came in, and
//! call an operation; they hold no rule of their own.

mod board;
mod deployments;
mod events;
pub mod extract;
mod logs;
mod manifests;
mod people;
mod pushes;
mod releases;
mod repair;
mod secrets;
mod targets;

use axum::{
    Router,
    routing::{get, post},
};

use crate::{app::Shared, problem::Problem};

/// Most entries of a list, and how many without a wish.
const LIST_DEFAULT: u64 = 50;
const LIST_MAX: u64 = 1_000;

/// Every route.
pub fn router() -> Router<Shared> {
    Router::new()
        .route("/api/v1/apply", post(manifests::apply))
        .route("/api/v1/projects/{project}/releases", post(releases::create).get(releases::list))
        .route("/api/v1/projects/{project}/releases/{version}", get(releases::get))
        .route("/api/v1/projects/{project}/releases/{version}/block", post(releases::block))
        .route("/api/v1/projects/{project}/releases/{version}/unblock", post(releases::unblock))
        .route("/api/v1/projects/{project}/retention", get(releases::retention))
        .route("/api/v1/projects/{project}/candidates/{environment}", get(releases::candidates))
        .route("/api/v1/plans", post(deployments::preview))
        .route("/api/v1/deployments", post(deployments::create).get(deployments::list))
        .route("/api/v1/deployments/{id}", get(deployments::get))
        .route("/api/v1/deployments/{id}/events", get(events::events))
        .route("/api/v1/deployments/{id}/logs", get(logs::logs))
        .route("/api/v1/deployments/{id}/plan", get(deployments::plan))
        .route("/api/v1/deployments/{id}/cancel", post(deployments::cancel))
        .route("/api/v1/deployments/{id}/pause", post(deployments::pause))
        .route("/api/v1/deployments/{id}/resume", post(deployments::resume))
        .route("/api/v1/deployments/{id}/retry", post(deployments::retry))
        .route("/api/v1/deployments/{id}/steps/{step}/go", post(deployments::go))
        .route("/api/v1/deployments/{id}/abandon", post(repair::abandon))
        .route("/api/v1/damaged", get(repair::damaged))
        .route("/api/v1/rebuild", get(repair::rebuilding).post(repair::rebuild))
        .route("/api/v1/deployments/{id}/why", get(deployments::why))
        .route("/api/v1/deployments/{id}/gates/{step}", post(deployments::vote))
        .route("/api/v1/board", get(board::board))
        .route("/api/v1/target-status", get(board::targets))
        .route("/api/v1/target-status/{target}/check", post(targets::check))
        .route("/api/v1/drift", get(targets::drift))
        .route("/api/v1/audit", get(board::audit))
        .route("/api/v1/pushes", get(pushes::list))
        .route("/api/v1/pushes/{seq}/replay", post(pushes::replay))
        .route("/api/v1/secrets", get(secrets::list))
        .route("/api/v1/secrets/{name}", get(secrets::get).put(secrets::set).delete(secrets::delete))
        .route("/api/v1/tokens", get(people::tokens).post(people::create_token))
        .route("/api/v1/tokens/{id}", axum::routing::delete(people::revoke_token))
        .route("/api/v1/webhooks/{name}/token", post(people::webhook_token))
        .route("/api/v1/whoami", get(people::whoami))
        .route("/api/v1/{kind}", get(manifests::list))
        .route("/api/v1/{kind}/{name}", get(manifests::get).put(manifests::put).delete(manifests::delete))
}

/// The limit of a list.
fn limit(asked: Option<u64>) -> u64 {
    asked.unwrap_or(LIST_DEFAULT).min(LIST_MAX)
}

/// 404 for what is no route.
pub fn unknown_route() -> Problem {
    Problem::not_found("unknown-route", "there is nothing at this address; docs/architecture.md lists what there is")
}

/// 405 for a route that knows other methods.
pub fn wrong_method() -> Problem {
    Problem::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        "wrong-method",
        "this address does not take this method; the `Allow` header names those it takes",
    )
}
