//! A proxy that is there already, told by its admin API where a handler of it sends requests. Caddy keeps its connections
//! while it changes, and those who are being answered by the old container are.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use slipway_domain::manifest::Proxy;

/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How much of an answer a message quotes.
const QUOTE: usize = 200;

#[derive(Deserialize)]
struct Upstream {
    address: String,
    num_requests: u64,
}

/// Sends the handler's requests to this address alone, from now on.
pub async fn point(http: &Client, proxy: &Proxy, address: &str) -> Result<(), String> {
    let upstreams = json!([{ "dial": address }]);
    // What is not there can not be replaced, and what is there can not be made.
    let (status, text) = tell(http, proxy, Method::PATCH, &upstreams).await?;
    let (status, text) = match status {
        StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR if !text.contains("unknown object") => {
            tell(http, proxy, Method::PUT, &upstreams).await?
        }
        _ => (status, text),
    };
    if status.is_success() {
        return Ok(());
    }
    let hint = if text.contains("unknown object") {
        "; give the reverse_proxy handler in its configuration that `@id`"
    } else {
        ""
    };
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(QUOTE).collect();
    Err(format!("the proxy {} could not be told to use `{}`: {status} {text}{hint}", proxy.caddy, proxy.id))
}

async fn tell(http: &Client, proxy: &Proxy, method: Method, body: &Value) -> Result<(StatusCode, String), String> {
    let url = format!("{}/id/{}/upstreams", proxy.caddy.trim_end_matches('/'), proxy.id);
    let answer = http.request(method, &url).timeout(ANSWER).json(body).send().await;
    let answer = answer.map_err(|error| unreachable(proxy, &error))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| unreachable(proxy, &error))?;
    Ok((status, text))
}

/// How many requests the proxy has not answered that it sent to this address.
pub async fn under_way(http: &Client, proxy: &Proxy, address: &str) -> Result<u64, String> {
    let url = format!("{}/reverse_proxy/upstreams", proxy.caddy.trim_end_matches('/'));
    let answer = http.get(&url).timeout(ANSWER).send().await.map_err(|error| unreachable(proxy, &error))?;
    let upstreams: Vec<Upstream> = answer.json().await.map_err(|error| unreachable(proxy, &error))?;
    Ok(upstreams.iter().filter(|upstream| upstream.address == address).map(|upstream| upstream.num_requests).sum())
}

fn unreachable(proxy: &Proxy, error: &reqwest::Error) -> String {
    let reason = if error.is_timeout() { "no answer in time" } else { "no connection, or no answer that makes sense" };
    format!(
        "the proxy {}: {reason}; check that it runs and that its admin API can be reached from the executor",
        proxy.caddy
    )
}
