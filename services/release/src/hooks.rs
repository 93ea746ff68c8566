//! Where registries post their webhooks: `POST /hooks/{source}/{token}`.
//!
//! A delivery is checked, put into the inbox and answered; what it means is worked out later, in
//! [`crate::pushes`], so that a sender never waits for that. The token is part of the address:
//! nothing here, no log and no span, may repeat it.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use slipway_bus::{BusError, StoredPush};
use slipway_domain::manifest::{Kind, Manifest, Webhook};
use slipway_engine::webhook::{content_types, normalise};
use slipway_service::telemetry;
use subtle::ConstantTimeEq as _;
use tracing::Instrument as _;

use crate::{
    app::{App, Shared},
    problem::Problem,
};

/// Largest body, in bytes.
const MAX_BODY: usize = 1 << 20;
/// How long the inbox may take before the sender is asked to come again.
const STORE_WITHIN: Duration = Duration::from_millis(800);
/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The routes under `/hooks`.
pub fn router() -> Router<Shared> {
    Router::new().route("/hooks/{source}/{token}", post(receive)).layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn receive(
    State(app): State<Shared>,
    Path((source, token)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let webhook = webhook_of(&app, &token).await?;
    let span = tracing::info_span!("webhook", webhook = %webhook.name, source = webhook.source.as_str());
    deliver(&app, webhook, &source, request).instrument(span).await
}

/// The sender is told whether the token is known before anything that it sent is looked at.
async fn webhook_of(app: &App, token: &str) -> Result<Webhook, Problem> {
    if let Some(name) = app.store.webhook_of_token(token).await?
        && let Some(Manifest::Webhook(webhook)) = app.store.manifest(Kind::Webhook, name.as_str()).await?
    {
        return Ok(webhook);
    }
    Err(Problem::new(
        StatusCode::UNAUTHORIZED,
        "unknown-webhook-token",
        "the token in the address belongs to no webhook, or was replaced; `slipway webhook create` tells the address",
    ))
}

async fn deliver(app: &Shared, webhook: Webhook, source: &str, request: Request) -> Result<Response, Problem> {
    if source != webhook.source.as_str() {
        return Err(Problem::not_found(
            "wrong-webhook-source",
            format!(
                "webhook {} is of source `{}`; use /hooks/{}/…",
                webhook.name,
                webhook.source.as_str(),
                webhook.source.as_str()
            ),
        ));
    }
    authorize(app, &webhook, request.headers()).await?;
    let content_type = content_type(&webhook, request.headers())?;
    let body = read(app, request).await?;
    let images = normalise(webhook.source, &body)
        .map_err(|e| Problem::invalid("malformed-body", format!("{e}; nothing was kept")))?;
    let push = StoredPush {
        webhook: webhook.name.to_string(),
        content_type,
        body: body.into(),
        trace: telemetry::traceparent(),
    };
    let seq = keep(app, webhook.source.as_str(), &push).await?;
    tracing::info!(seq, images = images.iter().filter(|image| !image.ignored).count(), "a registry delivered");
    Ok((StatusCode::ACCEPTED, Json(json!({ "seq": seq }))).into_response())
}

async fn authorize(app: &App, webhook: &Webhook, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(wanted) = &webhook.authorization else { return Ok(()) };
    let secret = app.secret_value(&wanted.secret).await?;
    if secret.is_none() {
        tracing::warn!(secret = %wanted.secret, "the webhook's secret has no value, so every delivery is refused; `slipway secret set` gives it one");
    }
    match (secret, headers.get(header::AUTHORIZATION)) {
        (Some(secret), Some(given)) if same(secret.as_bytes(), given.as_bytes()) => Ok(()),
        _ => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "webhook-authorization",
            format!(
                "the Authorization header is not what webhook {} expects; the sender's configuration has to send the value of secret `{}`",
                webhook.name, wanted.secret
            ),
        )),
    }
}

/// Compares in a time that tells neither content nor length.
fn same(a: &[u8], b: &[u8]) -> bool {
    Sha256::digest(a).as_slice().ct_eq(Sha256::digest(b).as_slice()).into()
}

/// The media type without parameters. A sender that names none is taken at its body.
fn content_type(webhook: &Webhook, headers: &HeaderMap) -> Result<String, Problem> {
    let accepted = content_types(webhook.source);
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(String::new()) };
    let given = String::from_utf8_lossy(given.as_bytes());
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if accepted.contains(&essence.as_str()) {
        return Ok(essence);
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "wrong-content-type",
        format!("a webhook of source `{}` takes {}", webhook.source.as_str(), accepted.join(", ")),
    ))
}

async fn read(app: &Shared, request: Request) -> Result<Bytes, Problem> {
    let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", "the body did not arrive within 10 s");
    tokio::time::timeout(BODY_WITHIN, Bytes::from_request(request, app)).await.map_err(late)?.map_err(|rejection| {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Problem::invalid("malformed-body", "the body ended early"),
        }
    })
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body-too-large",
        "a delivery may have 1 MiB, and 512 KiB when compressed; let the sender leave out layers and send fewer events at once",
    )
}

async fn keep(app: &App, source: &str, push: &StoredPush) -> Result<u64, Problem> {
    let unavailable = || Problem::unavailable("inbox-unavailable", "the delivery could not be kept now; send it again");
    match tokio::time::timeout(STORE_WITHIN, app.bus.store_push(source, push)).await {
        Ok(Ok(seq)) => Ok(seq),
        Ok(Err(BusError::TooLarge { .. })) => Err(too_large()),
        Ok(Err(error)) => {
            tracing::error!(%error, "a delivery could not be kept");
            Err(unavailable())
        }
        Err(_) => {
            tracing::warn!("a delivery could not be kept in time; it may arrive twice");
            Err(unavailable())
        }
    }
}
