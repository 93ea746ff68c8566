//! The HTTP face for operators: `/healthz` (alive), `/readyz` (usable, or why not), `/metrics`.

use std::{io, net::SocketAddr, sync::OnceLock, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::readiness::Readiness;

/// How long open connections may go on after shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// How often what histograms were told is summed up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds of histogram buckets, in seconds: from a log append to a slow image pull.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0];

/// The three routes. Also installs the process-wide recorder behind the `metrics` macros.
pub fn router(readiness: Readiness) -> Router {
    let _ = recorder();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(readiness)
}

/// Listens and serves until the token is cancelled and open requests have ended, at most 10 s later.
pub async fn serve(listen: SocketAddr, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(|e| {
        io::Error::new(e.kind(), format!("cannot listen on {listen}: {e}; choose another address with SLIPWAY_LISTEN"))
    })?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(keep_metrics_small()));
    let graceful = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        result = graceful.into_future() => result,
        () = async { shutdown.cancelled().await; tokio::time::sleep(DRAIN).await } => {
            tracing::info!("closing connections that did not end by themselves");
            Ok(())
        }
    }
}

/// What histograms were told waits in memory until somebody looks; nobody may ever.
async fn keep_metrics_small() {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        if let Some(handle) = recorder() {
            handle.run_upkeep();
        }
    }
}

fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            PrometheusBuilder::new()
                .set_buckets(&BUCKETS)
                .and_then(PrometheusBuilder::install_recorder)
                .inspect_err(|error| tracing::error!(%error, "no metrics: the recorder could not be installed"))
                .ok()
        })
        .as_ref()
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let reasons = readiness.reasons();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons })))
}

async fn metrics() -> impl IntoResponse {
    match recorder() {
        Some(handle) => {
            handle.run_upkeep();
            (StatusCode::OK, handle.render())
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "no recorder\n".to_owned()),
    }
}
