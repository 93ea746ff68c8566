//! What an `http` step can get wrong by itself.

use crate::{
    duration::Span,
    manifest::{Http, Method},
};

const SCHEMES: [&str; 2] = ["http://", "https://"];

pub(super) fn check(call: &Http, attempt: Span, messages: &mut Vec<String>) {
    messages.extend(wrong_url(&call.url));
    check_request(call, messages);
    check_expectations(call, messages);
    if call.timeout.0.is_zero() {
        messages.push("`http.timeout` is 0: write how long one answer may take, such as 10s".to_owned());
    }
    if call.timeout > attempt {
        let wait = call.timeout;
        messages.push(format!(
            "`http.timeout` of {wait} is longer than the step's of {attempt}: give it a longer `timeout`"
        ));
    }
    if let Some(until) = &call.retry_until {
        if until.within > attempt {
            messages.push(format!(
                "`http.retry-until.within` of {} is longer than the step's time-out of {attempt}: give it a longer `timeout`",
                until.within
            ));
        }
        if until.every.0.is_zero() {
            messages.push("`http.retry-until.every` is 0: write the pause between two calls, such as 2s".to_owned());
        }
    }
    if call.ca.is_some() && call.url.starts_with(SCHEMES[0]) {
        messages.push("`http.ca` is for https, and `url` says http: take `ca` out or write https".to_owned());
    }
}

/// What is wrong with a URL, as far as it is known before it is rendered.
fn wrong_url(url: &str) -> Option<String> {
    let (known, open) = url.split_once("#{").map_or((url, false), |(known, _)| (known, true));
    let rest = SCHEMES.iter().find_map(|scheme| known.strip_prefix(scheme));
    let may_become_one = open && SCHEMES.iter().any(|scheme| scheme.starts_with(known));
    match rest {
        None if may_become_one => None,
        None => Some(format!("`http.url: {url}` is no URL to call: begin it with http:// or https://")),
        Some("") if !open => Some(format!("`http.url: {url}` names no host")),
        Some(rest) if rest.starts_with(['/', '?', '#', ':']) => Some(format!("`http.url: {url}` names no host")),
        Some(rest) if rest.contains(char::is_whitespace) => {
            Some(format!("`http.url: {url}` has a blank: write %20 for it"))
        }
        Some(_) => None,
    }
}

fn check_request(call: &Http, messages: &mut Vec<String>) {
    for (name, value) in &call.headers {
        if !is_token(name) {
            messages.push(format!("`http.headers`: `{name}` can not be the name of a header"));
        }
        if value.trim_end_matches('\n').contains(['\n', '\r']) {
            messages.push(format!("`http.headers`: the value of `{name}` has several lines: write it on one"));
        }
    }
    if call.body.is_some() && call.json.is_some() {
        messages.push("`http` has both `body` and `json`: keep one".to_owned());
    }
    if call.method == Method::Head && (call.body.is_some() || call.json.is_some()) {
        messages.push("`http.method: HEAD` sends no body: take it out, or choose another method".to_owned());
    }
}

fn check_expectations(call: &Http, messages: &mut Vec<String>) {
    let expect = &call.expect;
    if expect.status.as_slice().is_empty() {
        messages.push("`http.expect.status` is empty: nothing would be good; write one, such as 200".to_owned());
    }
    for status in expect.status.as_slice().iter().filter(|status| status.range().is_none()) {
        messages.push(format!(
            "`http.expect.status`: `{status}` is no status: write one from 100 to 599, or a class such as 2xx"
        ));
    }
    for name in expect.headers.keys().filter(|name| !is_token(name)) {
        messages.push(format!("`http.expect.headers`: `{name}` can not be the name of a header"));
    }
    if expect.json.keys().any(String::is_empty) {
        messages
            .push("`http.expect.json` has an empty path: write where the value is, such as `state.ready`".to_owned());
    }
    if call.method == Method::Head && (!expect.json.is_empty() || expect.body_contains.is_some()) {
        messages.push("`http.method: HEAD` is answered without a body: expect status and headers alone".to_owned());
    }
}

/// Whether a text may be the name of a header (RFC 9110, 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
