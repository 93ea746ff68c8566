//! The HTTP API, typed, as a program of somebody else would call it.

use anyhow::{Context, Result};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use slipway_domain::api::Problem;

/// A client with one token.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// An answer that is not a success.
#[derive(Debug)]
pub struct Refused {
    /// The status.
    pub status: StatusCode,
    /// The problem document.
    pub problem: Problem,
}

impl Client {
    /// A client of the release service at `base`, such as `http://127.0.0.1:7300`.
    pub fn new(base: impl Into<String>, token: Option<String>) -> Self {
        // A second call finds the provider installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(std::time::Duration::from_secs(20))
            .no_proxy()
            .build()
            .expect("an HTTP client without files");
        Self { base: base.into(), token, http }
    }

    /// The same server with another token.
    pub fn with_token(&self, token: Option<String>) -> Self {
        Self { token, ..self.clone() }
    }

    /// The server's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The token.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A request, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// GET that must succeed.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        success(self.request(Method::GET, path)).await
    }

    /// POST that must succeed.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &(impl Serialize + Sync)) -> Result<T> {
        success(self.request(Method::POST, path).json(body)).await
    }

    /// PUT that must succeed.
    pub async fn put(&self, path: &str, body: &(impl Serialize + Sync)) -> Result<()> {
        let answer = self.request(Method::PUT, path).json(body).send().await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "PUT {path}: {status}: {}", answer.text().await?);
        Ok(())
    }

    /// POST that must be refused with a problem document.
    pub async fn refused(&self, path: &str, body: &(impl Serialize + Sync)) -> Refused {
        refusal(self.request(Method::POST, path).json(body)).await.expect("a problem document")
    }
}

async fn success<T: DeserializeOwned>(request: RequestBuilder) -> Result<T> {
    let answer = request.send().await?;
    let (status, url) = (answer.status(), answer.url().path().to_owned());
    let text = answer.text().await?;
    anyhow::ensure!(status.is_success(), "{url}: {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{url}: not the shape expected: {text}"))
}

/// Sends a request that must be answered by a problem document.
pub async fn refusal(request: RequestBuilder) -> Result<Refused> {
    let answer = request.send().await?;
    let status = answer.status();
    let kind = answer.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let text = answer.text().await?;
    anyhow::ensure!(kind.starts_with("application/problem+json"), "{status}, {kind}: {text}");
    anyhow::ensure!(status.is_client_error() || status.is_server_error(), "{status}: {text}");
    let problem: Problem = serde_json::from_str(&text).with_context(|| text.clone())?;
    anyhow::ensure!(problem.status == status.as_u16(), "{status}, but the document says {}", problem.status);
    Ok(Refused { status, problem })
}
