//! A small local Slack: takes what the notifier posts, and presses buttons as Slack would.
//!
//! It stands in for a service that nobody can have on their machine. It keeps every call, can refuse or
//! break in chosen ways, and signs interactions by itself, so that a notifier that checks signatures
//! wrongly is found out. What it does not know of Slack: users, channels, scopes.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::{Context as _, bail};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{sync::watch, task::JoinHandle};

/// A running local Slack. It ends when dropped.
pub struct LocalSlack {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    token: String,
    signing_secret: String,
    state: Mutex<Recorded>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Recorded {
    calls: Vec<Call>,
    troubles: VecDeque<Trouble>,
    presses: u64,
}

/// A request that the local Slack got.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// `chat.postMessage`, `chat.update`, or `whisper` for a text that only the presser sees.
    pub method: String,
    /// What was sent.
    pub body: Value,
    /// The timestamp of the message that it made or changed; none if it was refused.
    pub ts: Option<String>,
}

/// What goes wrong with one call of the Web API.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// `ok: false` with this word.
    Refuse(&'static str),
    /// 429, with this many seconds in `Retry-After`.
    RateLimit(u64),
    /// An HTTP status without a body.
    Status(u16),
}

/// A button of a gate's announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Button {
    /// Go on.
    Approve,
    /// Do not.
    Reject,
}

impl Button {
    fn label(self) -> &'static str {
        match self {
            Self::Approve => "Approve",
            Self::Reject => "Reject",
        }
    }
}

/// How an interaction is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// As Slack does.
    Right,
    /// With another secret.
    Forged,
    /// Rightly, ten minutes ago.
    Old,
    /// Rightly; then the body was changed.
    Tampered,
    /// Not at all.
    Missing,
}

/// What the notifier answered to a press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// How long it took.
    pub took: Duration,
}

impl Call {
    /// The text, blocks included: all that a person could read of it.
    pub fn readable(&self) -> String {
        let mut texts = Vec::new();
        collect_texts(&self.body, &mut texts);
        texts.join("\n")
    }

    /// The channel that it went to.
    pub fn channel(&self) -> &str {
        self.body["channel"].as_str().unwrap_or_default()
    }

    /// The button of that kind: its `action_id` and `value`.
    pub fn button(&self, button: Button) -> anyhow::Result<(String, String)> {
        let blocks = self.body["blocks"].as_array().context("the message has no blocks")?;
        let elements = blocks.iter().filter_map(|block| block["elements"].as_array()).flatten();
        let found = elements.into_iter().find(|e| e["type"] == "button" && e["text"]["text"] == button.label());
        let found = found.with_context(|| format!("the message has no button {}", button.label()))?;
        let text = |field: &str| found[field].as_str().map(str::to_owned).with_context(|| format!("no {field}"));
        Ok((text("action_id")?, text("value")?))
    }
}

fn collect_texts(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "text" => texts.push(text.clone()),
                    other => collect_texts(other, texts),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        _ => {}
    }
}

impl LocalSlack {
    /// Starts one on a free port of loopback.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            token: format!("xoxb-{}", uuid::Uuid::new_v4().simple()),
            signing_secret: uuid::Uuid::new_v4().simple().to_string(),
            state: Mutex::default(),
            changes: watch::Sender::new(0),
        });
        let router = Router::new()
            .route("/api/{method}", post(api))
            .route("/actions/{press}", post(whisper))
            .with_state(shared.clone());
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                panic!("the local Slack ended: {error}");
            }
        });
        Ok(Self { address, shared, serving })
    }

    /// For `SLIPWAY_SLACK_API_URL`.
    pub fn api_url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// The bot token that it accepts.
    pub fn token(&self) -> &str {
        &self.shared.token
    }

    /// The secret that it signs with.
    pub fn signing_secret(&self) -> &str {
        &self.shared.signing_secret
    }

    /// The next calls of the Web API fail, one after the other, in these ways.
    pub fn fail_next(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.shared.lock().troubles.extend(troubles);
    }

    /// Every call so far, refused ones too.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.clone()
    }

    /// The calls of one method that were not refused.
    pub fn accepted(&self, method: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.method == method && call.ts.is_some()).collect()
    }

    /// The first posted message that fits; waits for it.
    pub async fn wait_for_message(&self, deadline: Duration, fits: impl Fn(&Call) -> bool) -> anyhow::Result<Call> {
        self.wait_for("chat.postMessage", deadline, fits).await
    }

    /// The first edit that fits; waits for it.
    pub async fn wait_for_update(&self, deadline: Duration, fits: impl Fn(&Call) -> bool) -> anyhow::Result<Call> {
        self.wait_for("chat.update", deadline, fits).await
    }

    /// The first text for a presser alone that fits; waits for it.
    pub async fn wait_for_whisper(&self, deadline: Duration, fits: impl Fn(&Call) -> bool) -> anyhow::Result<Call> {
        self.wait_for("whisper", deadline, fits).await
    }

    async fn wait_for(&self, method: &str, deadline: Duration, fits: impl Fn(&Call) -> bool) -> anyhow::Result<Call> {
        let mut changes = self.shared.changes.subscribe();
        let look = async {
            loop {
                changes.borrow_and_update();
                if let Some(call) = self.accepted(method).into_iter().find(&fits) {
                    return Ok(call);
                }
                changes.changed().await.context("the local Slack is gone")?;
            }
        };
        match tokio::time::timeout(deadline, look).await {
            Ok(found) => found,
            Err(_) => bail!("no fitting {method} within {deadline:?}; calls were {:#?}", self.calls()),
        }
    }

    /// Presses a button of a posted message as the person with that Slack id.
    pub async fn press(&self, notifier: &str, message: &Call, button: Button, user: &str) -> anyhow::Result<Answer> {
        self.press_signed(notifier, message, button, user, Signing::Right).await
    }

    /// Presses a button, with a signature of that kind.
    pub async fn press_signed(
        &self,
        notifier: &str,
        message: &Call,
        button: Button,
        user: &str,
        signing: Signing,
    ) -> anyhow::Result<Answer> {
        let payload = self.payload(message, button, user)?;
        self.send(notifier, &form(&payload), signing).await
    }

    /// The `block_actions` payload of a press; each one has a trigger of its own.
    pub fn payload(&self, message: &Call, button: Button, user: &str) -> anyhow::Result<Value> {
        let (action, value) = message.button(button)?;
        let press = {
            let mut state = self.shared.lock();
            state.presses += 1;
            state.presses
        };
        let (channel, ts) = (message.channel(), message.ts.as_deref().unwrap_or_default());
        Ok(json!({
            "type": "block_actions",
            "user": {"id": user, "username": user.to_lowercase(), "team_id": "T0LOCAL"},
            "team": {"id": "T0LOCAL", "domain": "local"},
            "api_app_id": "A0LOCAL",
            "container": {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": false},
            "channel": {"id": channel, "name": channel.trim_start_matches('#')},
            "message": {"type": "message", "ts": ts, "text": message.body["text"], "blocks": message.body["blocks"]},
            "trigger_id": format!("{press}.local"),
            "response_url": format!("http://{}/actions/{press}", self.address),
            "actions": [{
                "type": "button",
                "block_id": "b1",
                "action_id": action,
                "text": {"type": "plain_text", "text": button.label()},
                "value": value,
                "action_ts": format!("{press}.000001"),
            }],
        }))
    }

    /// Sends a raw body to the notifier's `/slack/interactions`.
    pub async fn send(&self, notifier: &str, body: &str, signing: Signing) -> anyhow::Result<Answer> {
        let now = chrono::Utc::now().timestamp();
        let sent = if signing == Signing::Old { now - 600 } else { now };
        let secret = if signing == Signing::Forged { "not the secret" } else { &self.shared.signing_secret };
        let signature = sign(secret, sent, body);
        let body = if signing == Signing::Tampered { format!("{body}&x=1") } else { body.to_owned() };
        let mut request = reqwest::Client::new()
            .post(format!("{}/slack/interactions", notifier.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if signing != Signing::Missing {
            request = request.header("X-Slack-Request-Timestamp", sent).header("X-Slack-Signature", signature);
        }
        let begun = std::time::Instant::now();
        let response = request.body(body).send().await.context("the notifier does not answer")?;
        let (status, took) = (response.status().as_u16(), begun.elapsed());
        Ok(Answer { status, body: response.text().await?, took })
    }
}

impl Drop for LocalSlack {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.state.lock().expect("invariant: nobody panics while holding the calls")
    }

    fn record(&self, method: &str, body: Value, ts: impl FnOnce(usize) -> Option<String>) -> Option<String> {
        let ts = {
            let mut state = self.lock();
            let ts = ts(state.calls.len());
            state.calls.push(Call { method: method.to_owned(), body, ts: ts.clone() });
            ts
        };
        self.changes.send_modify(|n| *n += 1);
        ts
    }
}

/// The form in which Slack sends a payload.
pub fn form(payload: &Value) -> String {
    let mut url = Url::parse("http://form").expect("invariant: a constant URL");
    url.query_pairs_mut().append_pair("payload", &payload.to_string());
    url.query().unwrap_or_default().to_owned()
}

fn sign(secret: &str, timestamp: i64, body: &str) -> String {
    use std::fmt::Write as _;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("invariant: HMAC takes keys of any length");
    mac.update(format!("v0:{timestamp}:{body}").as_bytes());
    mac.finalize().into_bytes().iter().fold("v0=".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

async fn api(
    State(shared): State<Arc<Shared>>,
    Path(method): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let trouble = shared.lock().troubles.pop_front();
    let authorized = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value.as_bytes() == format!("Bearer {}", shared.token).as_bytes());
    let refuse = |word: &str| Json(json!({"ok": false, "error": word})).into_response();
    let refused = match trouble {
        Some(Trouble::Refuse(word)) => Some(refuse(word)),
        Some(Trouble::RateLimit(secs)) => {
            Some((StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, secs.to_string())]).into_response())
        }
        Some(Trouble::Status(status)) => {
            Some(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response())
        }
        None if !authorized => Some(refuse("invalid_auth")),
        None => None,
    };
    if let Some(response) = refused {
        shared.record(&method, body, |_| None);
        return response;
    }
    let channel = body["channel"].clone();
    let changed = body["ts"].as_str().map(str::to_owned);
    let ts = match method.as_str() {
        "chat.postMessage" => shared.record(&method, body, |n| Some(format!("1795000000.{n:06}"))),
        "chat.update" => {
            let known = shared.lock().calls.iter().any(|c| c.method == "chat.postMessage" && c.ts == changed);
            if !known {
                shared.record(&method, body, |_| None);
                return refuse("message_not_found");
            }
            shared.record(&method, body, |_| changed)
        }
        _ => {
            shared.record(&method, body, |_| None);
            return refuse("unknown_method");
        }
    };
    Json(json!({"ok": true, "channel": channel, "ts": ts})).into_response()
}

async fn whisper(
    State(shared): State<Arc<Shared>>,
    Path(press): Path<String>,
    Json(body): Json<Value>,
) -> &'static str {
    shared.record("whisper", body, |_| Some(press));
    "ok"
}
