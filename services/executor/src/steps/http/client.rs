//! The request of an `http` step, with its secrets, and what is told when there is no answer.

use std::{error::Error, fmt, io, time::Instant};

use indexmap::IndexMap;
use reqwest::{Certificate, Client, Method, Url, header, redirect::Policy};
use serde_json::Value;
use slipway_domain::{duration::Span, manifest::Http, secret};

use super::answer::Answer;
use crate::task::{Stop, Task, failed, wrong_order};

const REDIRECTS: usize = 10;
const AGENT: &str = concat!("slipway/", env!("CARGO_PKG_VERSION"));

/// A call that can be made. Shown as its method and URL, with secrets masked.
pub(super) struct Call {
    client: Client,
    method: Method,
    url: Url,
    headers: header::HeaderMap,
    body: Option<String>,
    timeout: Span,
    shown: String,
    wants_json: bool,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Call {
    pub(super) fn new(task: &Task<'_>, work: &Http) -> Result<Self, Stop> {
        let method = Method::from_bytes(work.method.as_str().as_bytes()).map_err(|e| wrong_order(e.to_string()))?;
        let written = task.held.fill(&work.url)?;
        let url =
            url(written.trim()).map_err(|why| wrong_order(format!("{} can not be called: {why}", shown(&work.url))))?;
        let body = match (&work.body, &work.json) {
            (Some(text), _) => Some(task.held.fill(text)?),
            (None, Some(value)) => Some(filled(task, value)?.to_string()),
            (None, None) => None,
        };
        let ca = work.ca.as_deref().map(|path| task.held.fill(path)).transpose()?;
        let policy = redirects(work.follow_redirects, !task.order().secrets.is_empty());
        Ok(Self {
            client: client(&url, ca.as_deref(), policy, work.timeout)?,
            headers: headers(task, &work.headers, work.json.is_some())?,
            shown: task.held.mask(&format!("{method} {}", shown(&work.url))),
            method,
            url,
            body,
            timeout: work.timeout,
            wants_json: !work.expect.json.is_empty(),
        })
    }

    /// Makes the call. Errs with why there is no answer.
    pub(super) async fn send(&self) -> Result<Answer, String> {
        let started = Instant::now();
        let request = self.client.request(self.method.clone(), self.url.clone()).headers(self.headers.clone());
        let request = match &self.body {
            Some(body) => request.body(body.clone()),
            None => request,
        };
        let answer = async { Answer::read(request.send().await?, started, self.wants_json).await };
        answer.await.map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &reqwest::Error) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let place = match self.url.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let causes: Vec<&(dyn Error + 'static)> = chain(error).skip(1).collect();
        let text = causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(": ");
        let kinds: Vec<_> =
            causes.iter().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).collect();
        if error.is_timeout() {
            format!("no answer within {}", self.timeout)
        } else if kinds.contains(&io::ErrorKind::ConnectionRefused) {
            format!("connection refused: nothing listens at {place}")
        } else if text.contains("dns error") {
            format!(
                "the name {host} can not be resolved: {}",
                causes.last().map(ToString::to_string).unwrap_or_default()
            )
        } else if text.contains("certificate") {
            format!(
                "the certificate of {place} is not believed: {}; name the file of the authority that signed it as `ca`",
                causes.last().map(ToString::to_string).unwrap_or_default()
            )
        } else if error.is_redirect() {
            format!("it redirects more than {REDIRECTS} times")
        } else if error.is_connect() {
            format!("no connection to {place}: {text}")
        } else {
            format!("the answer of {place} could not be read: {text}")
        }
    }
}

/// An error and its causes.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next = Some(error as &(dyn Error + 'static));
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("{e}; write a whole URL, such as https://example.org/healthz"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(format!("`{scheme}` is not spoken here; begin the URL with http:// or https://")),
    }
}

/// A URL for people. Its secrets are left out before it is one: a URL would have them in encodings of its own. A
/// password is none of Slipway's secrets if it was written there, and not shown all the same.
fn shown(written: &str) -> String {
    let masks = secret::referenced(written).into_iter().map(|reference| (reference, "***".to_owned())).collect();
    let text = secret::fill(written.trim(), &masks).unwrap_or_default();
    match Url::parse(&text) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("***"));
            url.to_string()
        }
        _ => text,
    }
}

fn headers(task: &Task<'_>, written: &IndexMap<String, String>, json: bool) -> Result<header::HeaderMap, Stop> {
    let (held, mut headers) = (task.held, header::HeaderMap::new());
    let mut add = |name: &str, value: &str| {
        let wrong = |why: String| wrong_order(format!("header `{name}` can not be sent: {why}"));
        let key = header::HeaderName::from_bytes(name.as_bytes()).map_err(|e| wrong(e.to_string()))?;
        let mut value = header::HeaderValue::from_str(value.trim()).map_err(|e| wrong(e.to_string()))?;
        value.set_sensitive(true);
        headers.insert(key, value);
        Ok::<_, Stop>(())
    };
    add("idempotency-key", &format!("{}/{}/{}", held.deployment(), held.task().step, held.task().target))?;
    if let Some(trace) = slipway_service::telemetry::traceparent() {
        add("traceparent", &trace)?;
    }
    if json {
        add("content-type", "application/json")?;
    }
    for (name, value) in written {
        add(name, &held.fill(value)?)?;
    }
    Ok(headers)
}

/// With secrets a redirect is followed within its host alone: nobody else gets to see them.
fn redirects(follow: bool, has_secrets: bool) -> Policy {
    match (follow, has_secrets) {
        (false, _) => Policy::none(),
        (true, false) => Policy::limited(REDIRECTS),
        (true, true) => Policy::custom(|attempt| {
            let first = attempt.previous().first();
            let same = first.is_some_and(|first| is_within(first, attempt.url()));
            match attempt.previous().len() {
                count if count > REDIRECTS => attempt.error("too many redirects"),
                _ if same => attempt.follow(),
                _ => attempt.stop(),
            }
        }),
    }
}

fn is_within(first: &Url, next: &Url) -> bool {
    let secured = first.scheme() == "http" && next.scheme() == "https" && first.host() == next.host();
    first.origin() == next.origin() || secured
}

fn client(url: &Url, ca: Option<&str>, redirects: Policy, timeout: Span) -> Result<Client, Stop> {
    let mut builder =
        Client::builder().timeout(timeout.0).user_agent(AGENT).redirect(redirects).pool_max_idle_per_host(0);
    if is_own_host(url) {
        builder = builder.no_proxy();
    }
    if let Some(path) = ca {
        let unreadable = |why: String| failed(format!("the certificates of `ca: {path}` can not be read: {why}"));
        let pem = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| unreadable(e.to_string()))?;
        if certificates.is_empty() {
            return Err(unreadable("there is none in the file, which should be PEM".to_owned()));
        }
        builder = builder.tls_certs_only(certificates);
    } else if url.scheme() == "http" {
        // Plain http needs no authorities, and some machines have none.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        let text = chain(&error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
        failed(format!(
            "https can not be spoken: {text}; install the package ca-certificates at the executor, or name a `ca`"
        ))
    })
}

/// Whether only this machine itself can be meant, which no proxy can reach.
fn is_own_host(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A document with its secrets; each stays within its own text, whatever is in it.
pub(super) fn filled(task: &Task<'_>, value: &Value) -> Result<Value, Stop> {
    Ok(match value {
        Value::String(text) => Value::String(task.held.fill(text)?),
        Value::Array(items) => Value::Array(items.iter().map(|item| filled(task, item)).collect::<Result<_, _>>()?),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(key, value)| Ok((key.clone(), filled(task, value)?))).collect::<Result<_, Stop>>()?,
        ),
        plain => plain.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_sent_on_within_their_host_alone() {
        let within = |first: &str, next: &str| is_within(&first.parse().unwrap(), &next.parse().unwrap());
        assert!(within("https://a.org/x", "https://a.org/y") && within("http://a.org/x", "https://a.org/x"));
        assert!(!within("https://a.org/x", "https://b.org/x") && !within("https://a.org/x", "http://a.org/x"));
        assert!(!within("https://a.org/x", "https://a.org:8443/x"));
    }

    #[test]
    fn a_url_has_a_scheme_that_is_spoken_and_shows_no_password() {
        assert!(url("ftp://a.org").unwrap_err().starts_with("`ftp` is not spoken here"));
        assert!(url("a.org/x").is_err() && url("http://").is_err());
        assert_eq!(shown("https://u:hunter2@a.org/x"), "https://u:***@a.org/x");
        let token = secret::SecretRef { name: "token".parse().unwrap(), version: 1 }.marker();
        assert_eq!(shown(&format!("https://a.org/{token}?t={token}")), "https://a.org/***?t=***");
        assert!(is_own_host(&url("http://[::1]:8080/").unwrap()) && is_own_host(&url("http://127.0.0.1/").unwrap()));
        assert!(!is_own_host(&url("http://10.0.0.1/").unwrap()));
    }
}
