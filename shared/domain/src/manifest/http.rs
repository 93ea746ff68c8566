//! Steps that call something over HTTP: a call that must be answered as expected, or a probe that waits for it.

use std::fmt;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::Span;

/// Call a URL; the answer must be as expected. Texts are templates, also those within `json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Http {
    /// `http://…` or `https://…`.
    pub url: String,
    /// What is asked.
    #[serde(default, skip_serializing_if = "Method::is_default")]
    pub method: Method,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// Body of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The same, written as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// What the answer must be like.
    #[serde(default, skip_serializing_if = "Expect::is_default")]
    pub expect: Expect,
    /// How long one answer may take.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// Whether an answer that names another place is followed there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow_redirects: bool,
    /// File of the executor with the certificates that the server's is signed with; no other is believed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Ask again until the answer is as expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_until: Option<RetryUntil>,
    /// Whether POST and PATCH may be sent again when an executor was lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
}

fn default_timeout() -> Span {
    Span::secs(10)
}

impl Http {
    /// Whether the call may be sent again when nobody knows whether it was carried out.
    pub fn is_repeatable(&self) -> bool {
        self.idempotent || !matches!(self.method, Method::Post | Method::Patch)
    }
}

/// What is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Look.
    #[default]
    Get,
    /// Look at the headers alone.
    Head,
    /// Do something.
    Post,
    /// Put something there.
    Put,
    /// Change something.
    Patch,
    /// Take something away.
    Delete,
    /// Look what may be asked.
    Options,
}

impl Method {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Until when a call is made again, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryUntil {
    /// The answer must be as expected within this time.
    pub within: Span,
    /// Pause between two calls.
    #[serde(default = "default_every")]
    pub every: Span,
}

fn default_every() -> Span {
    Span::secs(2)
}

/// What an answer must be like; all that is said must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// Its status; 2xx without.
    #[serde(default, skip_serializing_if = "Statuses::is_default")]
    pub status: Statuses,
    /// Headers that it must have.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, HeaderValue>,
    /// Values within its body, by their paths: `a.b`, `items.0.name`, or as JSON Pointer: `/a/b`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub json: IndexMap<String, Value>,
    /// A text that its body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
}

impl Expect {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a header must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HeaderValue {
    /// Exactly this.
    Is(String),
    /// Something with this in it.
    Contains(ContainedText),
}

/// A text that is somewhere within another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainedText {
    /// The text.
    pub contains: String,
}

impl HeaderValue {
    /// The text, exact or contained.
    pub fn text(&self) -> &str {
        match self {
            Self::Is(text) | Self::Contains(ContainedText { contains: text }) => text,
        }
    }
}

/// One status, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Statuses {
    /// One.
    One(Status),
    /// Any of these.
    Any(Vec<Status>),
}

/// A status, or a class of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Status {
    /// `200`.
    Code(u16),
    /// `2xx`.
    Class(String),
}

impl Default for Statuses {
    fn default() -> Self {
        Self::One(Status::Class("2xx".to_owned()))
    }
}

impl Statuses {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Status] {
        match self {
            Self::One(status) => std::slice::from_ref(status),
            Self::Any(all) => all,
        }
    }

    /// Whether an answer's status is one of them.
    pub fn contains(&self, code: u16) -> bool {
        self.as_slice().iter().any(|status| status.range().is_some_and(|range| range.contains(&code)))
    }
}

impl Status {
    /// The codes that it stands for; none if it is written wrongly.
    pub fn range(&self) -> Option<std::ops::RangeInclusive<u16>> {
        let code = |code: u16| (100..=599).contains(&code).then_some(code..=code);
        match self {
            Self::Code(number) => code(*number),
            Self::Class(text) => match text.as_bytes() {
                [digit @ b'1'..=b'5', b'x', b'x'] => {
                    let first = u16::from(digit - b'0') * 100;
                    Some(first..=first + 99)
                }
                _ => text.parse().ok().and_then(code),
            },
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => code.fmt(f),
            Self::Class(text) => text.fmt(f),
        }
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, status) in self.as_slice().iter().enumerate() {
            if i > 0 {
                f.write_str(" or ")?;
            }
            status.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_number_or_a_class() {
        for (written, code, fits) in [
            ("200", 200, true),
            ("200", 201, false),
            ("\"2xx\"", 204, true),
            ("\"2xx\"", 300, false),
            ("[200, \"4xx\"]", 404, true),
            ("\"404\"", 404, true),
            ("\"6xx\"", 600, false),
            ("[]", 200, false),
        ] {
            let statuses: Statuses = serde_json::from_str(written).unwrap();
            assert_eq!(statuses.contains(code), fits, "{written} {code}");
        }
        assert_eq!(serde_json::from_str::<Statuses>("[200, \"3xx\"]").unwrap().to_string(), "200 or 3xx");
    }

    #[test]
    fn what_changes_something_is_repeatable_only_if_somebody_says_so() {
        let call = |text: &str| serde_json::from_str::<Http>(text).unwrap().is_repeatable();
        assert!(call(r#"{"url": "x"}"#) && call(r#"{"url": "x", "method": "PUT"}"#));
        assert!(!call(r#"{"url": "x", "method": "POST"}"#) && !call(r#"{"url": "x", "method": "PATCH"}"#));
        assert!(call(r#"{"url": "x", "method": "POST", "idempotent": true}"#));
    }
}
