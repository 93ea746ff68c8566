//! An answer: as much of it as is looked at, and as much as is kept.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, SET_COOKIE},
};
use serde_json::Value;

use crate::task::Task;

/// How much of a body is read. Far above any that somebody expects something of.
const READ: usize = 1 << 20;
/// How much of it is kept for later steps.
const KEPT: usize = 64 << 10;

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The beginning of its body.
    pub(super) body: String,
    /// Whether that is all of it.
    pub(super) is_whole: bool,
    /// Its body, if it is JSON.
    pub(super) json: Option<Value>,
    /// How long it took.
    pub(super) took: Duration,
}

impl Answer {
    /// Reads an answer. What does not say that it is JSON is looked at for it if `wants_json`.
    pub(super) async fn read(
        mut response: Response,
        started: Instant,
        wants_json: bool,
    ) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status(), response.headers().clone());
        let (mut bytes, mut is_whole) = (Vec::new(), true);
        while let Some(chunk) = response.chunk().await? {
            let room = READ - bytes.len();
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                is_whole = false;
                break;
            }
        }
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let says_json = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_json);
        let json = (is_whole && (says_json || wants_json)).then(|| serde_json::from_str(&body).ok()).flatten();
        Ok(Self { status, headers, body, is_whole, json, took: started.elapsed() })
    }

    /// The body as it is kept, without secrets, and whether that is all of it. Masked before it is cut: half a secret
    /// would not be known for one.
    pub(super) fn shown_body(&self, task: &Task<'_>) -> (String, bool) {
        let masked = task.held.mask(&self.body);
        match masked.len() {
            0..=KEPT => (masked, self.is_whole),
            _ => (beginning(&masked, KEPT).to_owned(), false),
        }
    }

    /// The headers by name. Cookies are for whoever asked.
    pub(super) fn shown_headers(&self) -> BTreeMap<String, String> {
        let names = self.headers.keys().filter(|name| **name != SET_COOKIE);
        names.filter_map(|name| Some((name.to_string(), self.header(name.as_str())?))).collect()
    }

    /// The value of a header; several are joined as RFC 9110 has it.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<_> =
            self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// Whether a content type is one of JSON.
fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}

/// At most so many bytes of a text.
pub(super) fn beginning(text: &str, at_most: usize) -> &str {
    let mut end = at_most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_of_json_are_known() {
        assert!(is_json("application/json; charset=utf-8") && is_json("application/problem+json"));
        assert!(!is_json("text/plain") && !is_json("application/jsonp"));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!((beginning("aäb", 2), beginning("aäb", 3), beginning("aäb", 9)), ("a", "aä", "aäb"));
    }
}
