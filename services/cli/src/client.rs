//! The HTTP API as the command calls it: bearer token, JSON, problem documents.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, header};
use serde::{Serialize, de::DeserializeOwned};
use slipway_domain::api::Problem;

use crate::{
    failure::{Failure, Result},
    settings::Settings,
};

/// Longest time for an answer that is not a stream.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    settings: Settings,
    http: reqwest::Client,
}

impl Client {
    /// A client; asks nothing yet.
    pub fn new(settings: Settings) -> Result<Self> {
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(5))
                .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
        };
        let http = match builder().build() {
            // A machine without CA certificates, such as a bare container, still speaks plain http.
            Err(_) if settings.server.starts_with("http://") => builder().tls_certs_only([]).build(),
            built => built,
        };
        let http = http.map_err(|e| {
            Failure::failed(format!(
                "{} can not be verified on this machine: {}; install the package ca-certificates",
                settings.server,
                chain(&e)
            ))
        })?;
        Ok(Self { settings, http })
    }

    /// Which server, and from where that is known.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A request to a path such as `/api/v1/board`, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.settings.server));
        match &self.settings.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// GET.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.json(self.request(Method::GET, path)).await
    }

    /// POST.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &(impl Serialize + Sync)) -> Result<T> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// A request whose answer's body does not matter.
    pub async fn call(&self, request: RequestBuilder) -> Result<()> {
        self.send(request.timeout(TIMEOUT)).await.map(|_| ())
    }

    /// A request whose answer is JSON.
    pub async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let answer = self.send(request.timeout(TIMEOUT)).await?;
        let path = answer.url().path().to_owned();
        let body = answer.bytes().await.map_err(|e| self.unreachable(&e))?;
        // Answers without a body are good for what asks for nothing.
        let body = if body.is_empty() { b"null" as &[u8] } else { &body };
        serde_json::from_slice(body).map_err(|e| {
            Failure::failed(format!(
                "{}{path} answered something that this version of slipway does not understand: {e}",
                self.settings.server
            ))
        })
    }

    /// An answer that is read bit by bit, such as server-sent events.
    pub async fn stream(&self, path: &str, last_event_id: Option<&str>) -> Result<Response> {
        let mut request = self.request(Method::GET, path).header(header::ACCEPT, "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        self.send(request).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(|e| self.unreachable(&e))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let path = answer.url().path().to_owned();
        let body = answer.bytes().await.unwrap_or_default();
        if let Ok(problem) = serde_json::from_slice::<Problem>(&body) {
            return Err(Failure::Problem(Box::new(problem)));
        }
        let text: String = String::from_utf8_lossy(&body).trim().chars().take(300).collect();
        Err(Failure::failed(format!(
            "{}{path} answered {status} and no problem document: {text}\n  Is this the address of a Slipway release service? (from {})",
            self.settings.server, self.settings.source
        )))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let what = if error.is_timeout() { "does not answer in time" } else { "can not be reached" };
        Failure::Unreachable(format!(
            "{} {what}: {}\n  The address comes from {}. Look with `slipway doctor`, start a local stack with `slipway up`,\n  \
             or name another server with --server or SLIPWAY_SERVER.",
            self.settings.server,
            chain(error),
            self.settings.source
        ))
    }
}

/// The innermost causes of an error, without addresses (those may carry a token).
fn chain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// A part of a path, percent-encoded.
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_segment_is_encoded() {
        assert_eq!(segment("1.0.0-rc.1+b/ä"), "1.0.0-rc.1%2Bb%2F%C3%A4");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_with_its_url_and_what_to_try() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = "http://127.0.0.1:9".to_owned();
        let client = Client::new(Settings { server, token: None, source: "the default".to_owned() }).unwrap();
        let failure = client.get::<serde_json::Value>("/api/v1/board").await.unwrap_err();
        assert!(failure.is_passing());
        let shown = failure.shown();
        assert!(shown.contains("http://127.0.0.1:9 can not be reached") && shown.contains("slipway up"), "{shown}");
    }

    /// Runs another test of this program in a process that finds no CA certificates.
    fn passes_without_ca_certificates(test: &str) {
        let ran = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--include-ignored", test])
            .env("SSL_CERT_FILE", "/dev/null")
            .env("SSL_CERT_DIR", "/dev/null")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    #[ignore = "only where there are no CA certificates, as the test below makes it"]
    fn https_is_refused_for_want_of_ca_certificates() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = "https://127.0.0.1:9".to_owned();
        let refused = Client::new(Settings { server, token: None, source: "the default".to_owned() });
        let shown = refused.err().unwrap().shown();
        assert!(shown.contains("https://127.0.0.1:9") && shown.contains("ca-certificates"), "{shown}");
    }

    #[test]
    fn without_ca_certificates_plain_http_works_and_https_says_what_is_missing() {
        passes_without_ca_certificates(
            "client::tests::a_server_that_is_not_there_is_told_with_its_url_and_what_to_try",
        );
        passes_without_ca_certificates("client::tests::https_is_refused_for_want_of_ca_certificates");
    }
}
