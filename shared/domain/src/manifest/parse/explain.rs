//! What serde and the YAML reader say, in the words of somebody who writes manifests.

use serde_saphyr::Error;

use crate::text::did_you_mean;

/// A YAML error, without its place.
pub(super) fn yaml(error: &Error) -> String {
    match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => unknown_key(field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown_word(variant, expected),
        Error::SerdeMissingField { field, .. } => missing(field),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("key `{key}` is there twice: keep one"),
        Error::DuplicateMappingKey { key: None, .. } => "a key is there twice: keep one".to_owned(),
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => mismatch(unexpected, expected),
        Error::InvalidScalar { ty, .. } => format!("expected a value of type {ty}"),
        Error::Unexpected { expected, .. } => format!("expected {expected}"),
        Error::AliasError { error, .. } => yaml(error),
        Error::Message { msg, .. } => serde_text(msg),
        other => without_place(&other.to_string()),
    }
}

/// A message of serde itself, as texts such as serde_json's errors carry it.
pub(super) fn serde_text(text: &str) -> String {
    let quoted = |s: &str| -> Vec<String> { s.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    if let Some(rest) = text.strip_prefix("unknown field ") {
        let words = quoted(rest);
        if let Some((field, expected)) = words.split_first() {
            return unknown_key(field, &expected.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
    if let Some(rest) = text.strip_prefix("unknown variant ") {
        let words = quoted(rest);
        if let Some((word, expected)) = words.split_first() {
            return unknown_word(word, &expected.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
    if let Some(field) = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return missing(field);
    }
    if let Some(rest) = text.strip_prefix("data did not match any variant of untagged enum ") {
        return untagged(rest).to_owned();
    }
    if let Some((unexpected, expected)) = text
        .strip_prefix("invalid type: ")
        .or_else(|| text.strip_prefix("invalid value: "))
        .and_then(|rest| rest.split_once(", expected "))
    {
        return mismatch(unexpected, expected);
    }
    text.to_owned()
}

fn unknown_key<S: AsRef<str>>(key: &str, expected: &[S]) -> String {
    let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
    if let Some((.., why)) = ABSENT.iter().find(|(absent, beside, _)| *absent == key && expected.contains(beside)) {
        return (*why).to_owned();
    }
    let hint = did_you_mean(key, expected.iter().copied());
    format!("unknown key `{key}`{hint}; known here: {}", expected.join(", "))
}

/// Keys that people look for and that are not there: the key, one that tells where it would be, and what to do instead.
const ABSENT: [(&str, &str, &str); 2] = [
    (
        "insecure",
        "follow-redirects",
        "`insecure` is not offered: a certificate is always verified; name the file of the authority that signed it as `ca`",
    ),
    (
        "host",
        "shell",
        "a script runs in a container; `host` is not offered: give it an image with what it needs as `package` or `image`",
    ),
];

fn unknown_word<S: AsRef<str>>(word: &str, expected: &[S]) -> String {
    let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
    let hint = did_you_mean(word, expected.iter().copied());
    format!("`{word}` is not known here{hint}; write one of {}", expected.join(", "))
}

fn missing(key: &str) -> String {
    format!("key `{key}` is missing")
}

fn mismatch(unexpected: &str, expected: &str) -> String {
    let expected = match expected.strip_prefix("struct ") {
        Some(name) => format!("keys with values ({name})"),
        None => expected.to_owned(),
    };
    format!("expected {expected}, found {unexpected}")
}

/// What may stand where an either-or type is read; serde only knows the type's name.
fn untagged(name: &str) -> &'static str {
    match name {
        "PhaseEnvironment" => {
            "expected the name of an environment, or {name: NAME, automatic: true} with no other keys"
        }
        "Member" => "expected the name of a person, or {name: NAME, slack: ID} with no other keys",
        "File" => "expected the text of the file, or {text: TEXT, mode: \"0440\"} with no other keys",
        "Networks" => {
            "expected a list of names, or names with what is said about each: {NAME: {aliases: [..], ipv4: IP}}"
        }
        "Volume" => {
            "expected SOURCE:TARGET, SOURCE:TARGET:ro, or {source, target, read-only, no-copy, driver, driver-options} \
             with no other keys"
        }
        "Statuses" => "expected a status such as 200, a class of them such as 2xx, or a list of these",
        "HeaderValue" => "expected the text that the header must be, or {contains: TEXT} with no other keys",
        "OneOrMany" => "expected a name or a list of names (a-z, 0-9 and `-`)",
        _ => "this is none of the forms that may stand here",
    }
}

/// The reader's own messages end in ` at line 3, column 5`; the problem tells the line itself.
fn without_place(text: &str) -> String {
    match text.rfind(" at line ") {
        Some(at) if text[at..].len() < 40 => text[..at].to_owned(),
        _ => text.to_owned(),
    }
}
