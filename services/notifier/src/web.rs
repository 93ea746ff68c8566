//! `POST /slack/interactions`: a press of a button, from Slack.
//!
//! Order matters: the signature is checked over the raw body before anything is read of it. Slack wants an
//! answer within three seconds, so a vote that takes longer goes on behind the answer.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use chrono::Utc;
use slipway_domain::{api::Problem, event::Verdict};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::{
    gates::Refusal,
    slack::{
        self, Posted, Slack, Token,
        interaction::{self, Interaction, Press},
        message, signature,
    },
    votes::{Counted, VoteError, Votes},
};

/// How long an answer waits for the vote. Slack's limit is three seconds, the way there and back included.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Slack's payloads carry the whole message; the largest message has 50 blocks of 3,000 characters.
const BODY_MAX: usize = 1 << 20;

/// What the HTTP face needs.
pub struct Face {
    /// What Slack signs with; without it no press is believed.
    pub signing_secret: Option<Token>,
    /// Where votes go; empty until the log is reached.
    pub votes: OnceLock<Votes>,
    /// How pressers are answered.
    pub slack: Slack,
    /// The work that goes on behind answers.
    pub tasks: TaskTracker,
}

/// The routes for Slack.
pub fn router(face: Arc<Face>) -> Router {
    Router::new()
        .route("/slack/interactions", post(interactions))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(face)
}

async fn interactions(State(face): State<Arc<Face>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(secret) = &face.signing_secret else {
        let detail = "the notifier has no signing secret, so it can not tell Slack from anybody else; start it with \
                      SLIPWAY_SLACK_SIGNING_SECRET_FILE naming a file with the app's signing secret";
        return problem(StatusCode::SERVICE_UNAVAILABLE, "slack-not-configured", "Slack is not configured", detail);
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (timestamp, signed) = (header("x-slack-request-timestamp"), header("x-slack-signature"));
    if let Err(no) = signature::verify(secret.reveal().as_bytes(), timestamp, signed, &body, Utc::now().timestamp()) {
        tracing::warn!(reason = %no, "an interaction was refused");
        let detail = format!("{no}; check the signing secret and the clock");
        return problem(StatusCode::UNAUTHORIZED, "slack-signature", "Not signed by Slack", &detail);
    }
    match interaction::parse(&body) {
        Ok(Interaction::Press(press)) => match face.votes.get() {
            Some(votes) => answer(votes.clone(), face, *press).await,
            None => {
                let detail = "the notifier has not reached NATS yet; press again in a moment";
                problem(StatusCode::SERVICE_UNAVAILABLE, "starting", "Not ready", detail)
            }
        },
        Ok(Interaction::Other) => StatusCode::OK.into_response(),
        Err(error) => {
            tracing::warn!(%error, "an interaction could not be read");
            problem(StatusCode::BAD_REQUEST, "slack-payload", "Not an interaction", &error.to_string())
        }
    }
}

/// Waits for the vote as long as Slack does.
async fn answer(votes: Votes, face: Arc<Face>, press: Press) -> Response {
    let (done, outcome) = oneshot::channel();
    let span = tracing::info_span!(
        "slack interaction",
        deployment.id = %press.button.deployment,
        step = %press.button.step,
        verdict = %press.verdict,
        slack.user = press.user,
    );
    let tasks = face.tasks.clone();
    tasks.spawn(async move { deal_with(&votes, &face, &press, done).await }.instrument(span));
    match tokio::time::timeout(ANSWER_WITHIN, outcome).await {
        Ok(Ok(Some(text))) => Json(slack::whisper_body(&text)).into_response(),
        Ok(Ok(None) | Err(_)) | Err(_) => StatusCode::OK.into_response(),
    }
}

/// Casts the vote and tells the person: through `response_url` if there is one, else by the answer's body.
async fn deal_with(votes: &Votes, face: &Face, press: &Press, done: oneshot::Sender<Option<String>>) {
    let outcome = votes.cast(press).await;
    let text = told(press.verdict, &outcome);
    // Nobody may be waiting any more; then the answer went out without it.
    match &press.response_url {
        None => drop(done.send(Some(text))),
        Some(url) => {
            drop(done.send(None));
            if let Err(error) = face.slack.whisper(url, &text).await {
                tracing::warn!(%error, "the person who pressed could not be told");
            }
        }
    }
    if let Err(VoteError::Refused(Refusal::Decided { title, result })) = &outcome
        && let Some((channel, ts)) = &press.message
    {
        close_leftover(face, channel, ts, title, result).await;
    }
}

/// A message with buttons for what is decided: one that was posted by an attempt that was lost.
async fn close_leftover(face: &Face, channel: &str, ts: &str, title: &str, result: &str) {
    let posted = Posted { channel: channel.to_owned(), ts: ts.to_owned() };
    if let Err(error) = face.slack.update(&posted, &message::closed(title, result)).await {
        tracing::debug!(%error, "a leftover announcement keeps its buttons");
    }
}

fn told(verdict: Verdict, outcome: &Result<Counted, VoteError>) -> String {
    let word = match verdict {
        Verdict::Approve => "approval",
        Verdict::Reject => "rejection",
        Verdict::Retry | Verdict::Ignore | Verdict::Exclude => "answer",
    };
    match outcome {
        Ok(Counted { person, before: false }) => {
            tracing::info!(%person, "vote recorded");
            format!("Your {word} is recorded, {person}.")
        }
        Ok(Counted { person, before: true }) => format!("Your {word} was recorded before, {person}."),
        Err(VoteError::Refused(refusal)) => {
            tracing::info!(%refusal, "press refused");
            refusal.to_string()
        }
        Err(drift @ VoteError::Drift { .. }) => {
            tracing::info!(reason = %drift, "press refused");
            drift.to_string()
        }
        Err(error @ VoteError::Log(cause)) => {
            tracing::error!(%error, %cause, "vote lost");
            format!("Your {word} could not be recorded. Press again, or use `slipway approve` or `slipway reject`.")
        }
        Err(error @ VoteError::Slow) => {
            tracing::warn!(%error, "nobody knows whether the vote is in the log");
            format!("It is not known yet whether your {word} is recorded. Press again; that is safe.")
        }
    }
}

fn problem(status: StatusCode, code: &str, title: &str, detail: &str) -> Response {
    let problem = Problem {
        kind: format!("https://slipway.dev/errors/{code}"),
        code: code.to_owned(),
        status: status.as_u16(),
        title: title.to_owned(),
        detail: detail.to_owned(),
        problems: Vec::new(),
        trace: None,
    };
    (status, [(CONTENT_TYPE, "application/problem+json")], Json(problem)).into_response()
}
