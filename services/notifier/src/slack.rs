//! Slack's Web API, as far as it is needed: post a message, change one, answer a press.
//!
//! One call here is one HTTP request; whether a failure is worth another try is said by
//! [`SlackError::again`], who tries again is the caller's business. The token is in no error and
//! in no Debug output.

pub mod interaction;
pub mod message;
pub mod signature;

use std::{fmt, time::Duration};

use reqwest::{StatusCode, header::RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Value, json};

use message::Message;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause that a rate limit without `Retry-After` is answered with.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(5);
/// How often a failed request is repeated.
pub const RETRIES: u32 = 3;

/// A secret text that shows itself to nobody.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes the secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A message that Slack has: what is needed to change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Channel id.
    pub channel: String,
    /// Slack's timestamp, which identifies the message in its channel.
    pub ts: String,
}

/// Why Slack did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SlackError {
    /// There is no token.
    #[error(
        "Slack is not configured: start the notifier with SLIPWAY_SLACK_TOKEN_FILE (--slack-token-file) naming a \
         file that holds a bot token with the scope chat:write"
    )]
    NotConfigured,
    /// Slack said no; asking again will not help.
    #[error("Slack refused {method}: {code}; {advice}")]
    Refused {
        /// The API method.
        method: &'static str,
        /// Slack's word for it.
        code: String,
        /// What to do.
        advice: &'static str,
    },
    /// Slack asks to slow down.
    #[error("Slack limits the rate of {method}; it asks to wait {}s", pause.as_secs())]
    RateLimited {
        /// The API method.
        method: &'static str,
        /// How long Slack asks to wait.
        pause: Duration,
    },
    /// Slack did not answer, or not as Slack does.
    #[error("Slack can not be reached for {method}: {reason}; check SLIPWAY_SLACK_API_URL and the network")]
    Unreachable {
        /// The API method.
        method: &'static str,
        /// What happened.
        reason: String,
    },
}

impl SlackError {
    /// How long to wait before the next try, after `tried` tries that could not reach Slack. None: give up.
    pub fn again(&self, tried: u32) -> Option<Duration> {
        match self {
            Self::RateLimited { pause, .. } => Some(*pause),
            Self::Unreachable { .. } if tried <= RETRIES => Some(Duration::from_millis(250 << (2 * tried.max(1) - 2))),
            Self::Unreachable { .. } | Self::Refused { .. } | Self::NotConfigured => None,
        }
    }
}

/// A client of the Web API.
#[derive(Debug, Clone)]
pub struct Slack {
    http: reqwest::Client,
    api: String,
    token: Option<Token>,
}

#[derive(Deserialize)]
struct ApiAnswer {
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
}

impl Slack {
    /// A client for the API at `api`, such as `https://slack.com/api`. Without a token every call fails.
    pub fn new(api: &str, token: Option<Token>) -> Result<Self, reqwest::Error> {
        let builder = || reqwest::Client::builder().timeout(REQUEST_TIMEOUT);
        // A machine without CA certificates, such as a bare container, still serves what needs no Slack.
        let http = builder().build().or_else(|error| {
            tracing::warn!(
                reason = chain(error),
                "no https address can be verified; install the package ca-certificates to reach Slack"
            );
            builder().tls_certs_only([]).build()
        })?;
        Ok(Self { http, api: api.trim_end_matches('/').to_owned(), token })
    }

    /// Whether there is a token.
    pub fn is_configured(&self) -> bool {
        self.token.is_some()
    }

    /// Posts a message to a channel, by name or id.
    pub async fn post(&self, channel: &str, message: &Message) -> Result<Posted, SlackError> {
        const METHOD: &str = "chat.postMessage";
        let answer = self.call(METHOD, &body(json!({"channel": channel}), message)).await?;
        match (answer.channel, answer.ts) {
            (Some(channel), Some(ts)) => Ok(Posted { channel, ts }),
            _ => Err(unreachable(METHOD, "the answer names no channel and ts, so it is not Slack's")),
        }
    }

    /// Replaces a message.
    pub async fn update(&self, posted: &Posted, message: &Message) -> Result<(), SlackError> {
        let to = json!({"channel": posted.channel, "ts": posted.ts});
        self.call("chat.update", &body(to, message)).await.map(|_| ())
    }

    /// Answers the person who pressed a button; nobody else sees it.
    pub async fn whisper(&self, response_url: &str, text: &str) -> Result<(), SlackError> {
        const METHOD: &str = "response_url";
        let answer = self.http.post(response_url).json(&whisper_body(text)).send().await;
        let status = answer.map_err(|e| unreachable(METHOD, &chain(e)))?.status();
        if status.is_success() { Ok(()) } else { Err(unreachable(METHOD, &format!("it answered {status}"))) }
    }

    async fn call(&self, method: &'static str, body: &Value) -> Result<ApiAnswer, SlackError> {
        let token = self.token.as_ref().ok_or(SlackError::NotConfigured)?;
        let request = self.http.post(format!("{}/{method}", self.api)).bearer_auth(token.reveal()).json(body);
        let response = request.send().await.map_err(|e| unreachable(method, &chain(e)))?;
        let pause = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let pause = pause.map_or(RATE_LIMIT_PAUSE, Duration::from_secs);
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(SlackError::RateLimited { method, pause });
        }
        if !status.is_success() {
            return Err(unreachable(method, &format!("it answered {status}")));
        }
        let answer: ApiAnswer = response.json().await.map_err(|e| unreachable(method, &chain(e)))?;
        match (answer.ok, answer.error) {
            (true, _) => Ok(ApiAnswer { ok: true, error: None, ..answer }),
            (false, code) => Err(refused(method, code.unwrap_or_else(|| "no reason given".to_owned()), pause)),
        }
    }
}

/// The body of an answer that only the presser sees.
pub fn whisper_body(text: &str) -> Value {
    json!({"response_type": "ephemeral", "replace_original": false, "text": text})
}

fn body(mut to: Value, message: &Message) -> Value {
    to["text"] = message.text.as_str().into();
    if !message.blocks.is_empty() {
        to["blocks"] = message.blocks.clone().into();
    }
    to
}

fn refused(method: &'static str, code: String, pause: Duration) -> SlackError {
    let advice = match code.as_str() {
        "ratelimited" | "rate_limited" => return SlackError::RateLimited { method, pause },
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => {
            return unreachable(method, &format!("it answered {code}"));
        }
        "channel_not_found" => "check the channel's name in the step, and invite the app if the channel is private",
        "not_in_channel" => "invite the app to the channel (/invite @slipway) or give it the scope chat:write.public",
        "is_archived" => "the channel is archived: choose another one in the step",
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
            "the token is not valid: write a current bot token to the file of SLIPWAY_SLACK_TOKEN_FILE and restart \
             the notifier"
        }
        "missing_scope" => "give the app the scope chat:write and install it again",
        "msg_too_long" | "no_text" | "invalid_blocks" | "msg_blocks_too_long" => "change the text of the step",
        "message_not_found" => "the message was deleted",
        _ => "Slack's documentation of the method explains the word",
    };
    SlackError::Refused { method, code, advice }
}

fn unreachable(method: &'static str, reason: &str) -> SlackError {
    SlackError::Unreachable { method, reason: reason.to_owned() }
}

/// An HTTP error with its causes, without the address: a response_url is a capability.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_shows_in_no_debug_output() {
        let token = Token::new("xoxb-canary");
        assert_eq!(format!("{:?}", Some(token)), "Some([redacted])");
    }

    #[test]
    fn a_refusal_says_what_to_do_and_is_not_repeated() {
        for (code, expected) in [
            ("channel_not_found", "channel's name"),
            ("not_in_channel", "/invite"),
            ("invalid_auth", "SLIPWAY_SLACK_TOKEN_FILE"),
            ("some_new_word", "documentation"),
        ] {
            let error = refused("chat.postMessage", code.to_owned(), RATE_LIMIT_PAUSE);
            let text = error.to_string();
            assert!(text.contains(code) && text.contains(expected), "{text}");
            assert_eq!(error.again(1), None, "{code}");
        }
    }

    #[test]
    fn an_unreachable_slack_is_tried_three_times_more_with_growing_pauses() {
        let error = unreachable("chat.postMessage", "connection refused");
        let pauses: Vec<_> = (1..=4).map(|tried| error.again(tried).map(|p| p.as_millis())).collect();
        assert_eq!(pauses, [Some(250), Some(1000), Some(4000), None]);
    }

    #[test]
    fn a_rate_limit_is_waited_for_as_long_as_slack_asks() {
        let pause = Duration::from_secs(30);
        let error = refused("chat.postMessage", "ratelimited".to_owned(), pause);
        assert_eq!((error.again(1), error.again(50)), (Some(pause), Some(pause)));
    }
}
