//! The one HTTP server: API, webhooks, web page, health; and what goes around every request.
//!
//! A request is logged and traced by its route, never by its URI: the address of a webhook holds
//! its token.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    middleware::{self, Next},
    response::Response,
};
use slipway_service::{ops, telemetry};
use tracing::Instrument as _;

use crate::{api, app::Shared, hooks, web};

/// Largest body of a request, in bytes.
const BODY_LIMIT: usize = 1 << 20;
/// A request slower than this is told in the log.
const SLOW: Duration = Duration::from_secs(2);

/// Everything that is served.
pub fn router(app: Shared) -> Router {
    let readiness = app.readiness.clone();
    Router::new()
        .merge(api::router())
        .merge(hooks::router())
        .merge(web::router())
        .with_state(app)
        .merge(ops::router(readiness))
        .fallback(async || api::unknown_route())
        .method_not_allowed_fallback(async || api::wrong_method())
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn(observe))
}

async fn observe(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let span = tracing::info_span!("request", otel.name = %format!("{method} {route}"), %method, route, status = tracing::field::Empty);
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    telemetry::continue_from(&span, parent);
    let started = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), started.elapsed());
    span.record("status", status.as_u16());
    let _entered = span.enter();
    if took > SLOW {
        tracing::info!(took_ms = took.as_millis(), "slow request");
    }
    tracing::debug!(took_ms = took.as_millis(), "answered");
    let labels = [("route", route), ("method", method.to_string()), ("status", status.as_str().to_owned())];
    metrics::counter!("slipway_release_requests_total", &labels).increment(1);
    metrics::histogram!("slipway_release_request_seconds", &labels[..2]).record(took.as_secs_f64());
    response
}
