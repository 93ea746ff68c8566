//! From YAML text to manifests. All problems of a text are reported at once, each with its line.
//!
//! A text is first looked over as YAML (where are the documents, what kind is each, is anything in
//! it that YAML drops), then each document is read straight into the struct of its kind, so that
//! errors know their line. Rules that need more than one manifest are not here.

mod explain;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

use self::scan::Document;
use super::{Kind, Manifest, check};
use crate::text::did_you_mean;

/// The only value that `apiVersion` may have.
pub const API_VERSION: &str = "slipway/v1";

/// What is wrong with a manifest text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Problem {
    /// File, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What, why, what to do.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: {}", self.message),
            (Some(file), None) => write!(f, "{file}: {}", self.message),
            (None, Some(line)) => write!(f, "line {line}: {}", self.message),
            (None, None) => f.write_str(&self.message),
        }
    }
}

/// A problem before the file's name is put to it.
struct Found {
    line: u64,
    message: String,
}

/// Reads every document of a text. `file` is only for the problems. Empty documents are left out.
pub fn parse(file: Option<&str>, text: &str) -> Result<Vec<Manifest>, Vec<Problem>> {
    let scan = scan::scan(text);
    let mut found = scan.problems;
    let mut manifests = Vec::new();
    let mut seen: BTreeMap<(Kind, String), u64> = BTreeMap::new();
    for document in &scan.documents {
        let known = found.len();
        let result = read(document);
        match result {
            Ok(manifest) => {
                let key = (manifest.kind(), manifest.name().to_owned());
                if let Some(first) = seen.get(&key) {
                    found.push(Found {
                        line: document.line,
                        message: format!("{} `{}` is already on line {first}: keep one", key.0.as_str(), key.1),
                    });
                }
                seen.entry(key).or_insert(document.line);
                let findings = if document.incomplete { Vec::new() } else { check::findings(&manifest) };
                found.extend(findings.into_iter().map(|finding| Found {
                    line: finding.item.and_then(|at| document.item_line(at.0, at.1)).unwrap_or(document.line),
                    message: finding.message,
                }));
                manifests.push(manifest);
            }
            // What YAML dropped is told already; what its absence leads to is not news.
            Err(problem) if found[..known].iter().any(|f| f.line == problem.line) => {}
            Err(problem) => found.push(problem),
        }
    }
    if found.is_empty() {
        return Ok(manifests);
    }
    found.sort_by_key(|f| f.line);
    Err(found
        .into_iter()
        .map(|f| Problem { file: file.map(str::to_owned), line: Some(f.line), message: f.message })
        .collect())
}

fn read(document: &Document) -> Result<Manifest, Found> {
    if let Some((line, version)) = &document.api_version
        && version != API_VERSION
    {
        return Err(Found { line: *line, message: wrong_version(version) });
    }
    let Some((line, word)) = &document.kind else {
        return Err(Found { line: document.line, message: no_kind() });
    };
    let kind = kind_of(word).map_err(|message| Found { line: *line, message })?;
    let text = document.text.as_str();
    let result = match kind {
        Kind::Feed => typed(text).map(Manifest::Feed),
        Kind::Environment => typed(text).map(Manifest::Environment),
        Kind::Target => typed(text).map(Manifest::Target),
        Kind::Limits => typed(text).map(Manifest::Limits),
        Kind::Freeze => typed(text).map(|freeze| Manifest::Freeze(Box::new(freeze))),
        Kind::Lifecycle => typed(text).map(Manifest::Lifecycle),
        Kind::Team => typed(text).map(Manifest::Team),
        Kind::VariableSet => typed(text).map(Manifest::VariableSet),
        Kind::Project => typed(text).map(|project| Manifest::Project(Box::new(project))),
        Kind::Webhook => typed(text).map(Manifest::Webhook),
    };
    result.map_err(|error| Found {
        line: error.location().map(|l| l.line()).filter(|line| *line > 0).unwrap_or(document.line),
        message: explain::yaml(&error),
    })
}

/// Reads one document into the struct of its kind, past `kind` and `apiVersion`.
fn typed<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        serde::Deserializer::deserialize_map(deserializer, scan::Body::new())
    })
}

/// Reads a manifest from JSON, as the HTTP API takes it.
pub fn parse_json(value: &serde_json::Value) -> Result<Manifest, Problem> {
    let problem = |message: String| Problem { file: None, line: None, message };
    let serde_json::Value::Object(object) = value else {
        return Err(problem("a manifest is a JSON object with `kind` and `name`".to_owned()));
    };
    let mut body = object.clone();
    match body.remove("apiVersion") {
        None => {}
        Some(serde_json::Value::String(version)) if version == API_VERSION => {}
        Some(serde_json::Value::String(version)) => return Err(problem(wrong_version(&version))),
        Some(other) => return Err(problem(wrong_version(&other.to_string()))),
    }
    let kind = match body.remove("kind") {
        Some(serde_json::Value::String(word)) => kind_of(&word).map_err(problem)?,
        _ => return Err(problem(no_kind())),
    };
    let name = body.get("name").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let manifest = from_json(kind, body)
        .map_err(|error| problem(format!("{}: {}", label(kind, &name), explain::serde_text(&error.to_string()))))?;
    if json_has_markers(value) {
        return Err(problem(format!("{}: {}", label(kind, &name), scan::MARKERS)));
    }
    match check::check(&manifest).as_slice() {
        [] => Ok(manifest),
        messages => Err(problem(format!("{}: {}", label(kind, &name), messages.join("; ")))),
    }
}

fn from_json(kind: Kind, body: serde_json::Map<String, serde_json::Value>) -> serde_json::Result<Manifest> {
    let body = serde_json::Value::Object(body);
    Ok(match kind {
        Kind::Feed => Manifest::Feed(serde_json::from_value(body)?),
        Kind::Environment => Manifest::Environment(serde_json::from_value(body)?),
        Kind::Target => Manifest::Target(serde_json::from_value(body)?),
        Kind::Limits => Manifest::Limits(serde_json::from_value(body)?),
        Kind::Freeze => Manifest::Freeze(Box::new(serde_json::from_value(body)?)),
        Kind::Lifecycle => Manifest::Lifecycle(serde_json::from_value(body)?),
        Kind::Team => Manifest::Team(serde_json::from_value(body)?),
        Kind::VariableSet => Manifest::VariableSet(serde_json::from_value(body)?),
        Kind::Project => Manifest::Project(Box::new(serde_json::from_value(body)?)),
        Kind::Webhook => Manifest::Webhook(serde_json::from_value(body)?),
    })
}

fn label(kind: Kind, name: &str) -> String {
    if name.is_empty() { kind.as_str().to_owned() } else { format!("{} `{name}`", kind.as_str()) }
}

fn json_has_markers(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => crate::secret::has_marker_chars(text),
        serde_json::Value::Array(items) => items.iter().any(json_has_markers),
        serde_json::Value::Object(object) => {
            object.iter().any(|(key, value)| crate::secret::has_marker_chars(key) || json_has_markers(value))
        }
        _ => false,
    }
}

fn kind_of(word: &str) -> Result<Kind, String> {
    Kind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
        let words = Kind::ALL.map(Kind::as_str);
        format!("unknown kind `{word}`{}; the kinds are {}", did_you_mean(word, words), words.join(", "))
    })
}

fn no_kind() -> String {
    format!(
        "`kind` is missing: begin the document with one of `kind: {}`",
        Kind::ALL.map(Kind::as_str).join("`, `kind: ")
    )
}

fn wrong_version(version: &str) -> String {
    format!("`apiVersion: {version}` is not known: write `apiVersion: {API_VERSION}` or leave it out")
}
