//! Errors.

use serde::{Deserialize, Serialize};

use crate::manifest::parse::Problem as TextProblem;

/// An error answer, RFC 9457, media type `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// `https://slipway.dev/errors/<code>`; the page is docs/errors/<code>.md.
    #[serde(rename = "type")]
    pub kind: String,
    /// Stable word, such as `unknown-project`.
    pub code: String,
    /// HTTP status.
    pub status: u16,
    /// The code in a few words.
    pub title: String,
    /// What failed, why, what to do.
    pub detail: String,
    /// All problems of the input, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<TextProblem>,
    /// Trace to look for, when the server is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}
