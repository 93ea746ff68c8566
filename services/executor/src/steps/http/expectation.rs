//! What an answer must be like, and how it is not.

use serde_json::Value;
use slipway_domain::manifest::{Expect, HeaderValue};

use super::{
    answer::{Answer, beginning},
    client::filled,
};
use crate::task::{Stop, Task};

/// How much of a value a message shows.
const QUOTE: usize = 200;
/// How much of a body.
const QUOTE_OF_BODY: usize = 500;

/// Every expectation that is not met, with what was seen; none if all are. Without secrets.
pub(super) fn unmet(task: &Task<'_>, expect: &Expect, answer: &Answer) -> Result<Option<String>, Stop> {
    let mut unmet = Vec::new();
    if !expect.status.contains(answer.status.as_u16()) {
        let place = answer.header("location").map(|to| format!(" to {}", quoted(task, &to))).unwrap_or_default();
        unmet.push(format!("status: expected {}, seen {}{place}", expect.status, answer.status));
    }
    for (name, wanted) in &expect.headers {
        unmet.extend(header(task, name, wanted, answer.header(name))?);
    }
    for (path, wanted) in &expect.json {
        let wanted = filled(task, wanted)?;
        let seen = match &answer.json {
            Some(document) => document.pointer(&pointer(path)).ok_or("nothing there"),
            None if answer.is_whole => Err("a body that is not JSON"),
            None => Err("a body of more than 1 MB"),
        };
        match seen {
            Ok(seen) if fits(&wanted, seen) => {}
            Ok(seen) => {
                unmet.push(format!("json {path}: expected {}, seen {}", value(task, &wanted), value(task, seen)))
            }
            Err(seen) => unmet.push(format!("json {path}: expected {}, seen {seen}", value(task, &wanted))),
        }
    }
    if let Some(wanted) = &expect.body_contains {
        let wanted = task.held.fill(wanted)?;
        if !answer.body.contains(&wanted) {
            unmet.push(format!("body: expected {} in it, not seen", quoted(task, &wanted)));
        }
    }
    if unmet.is_empty() {
        return Ok(None);
    }
    // On one line: it is shown in tables. Masked before it is cut.
    let body = task.held.mask(&answer.body).split_whitespace().collect::<Vec<_>>().join(" ");
    let body = match body.as_str() {
        "" => "; its body is empty".to_owned(),
        body => format!("; its body begins: {}", shortened(body, QUOTE_OF_BODY)),
    };
    Ok(Some(format!("the answer is not as expected: {}{body}", unmet.join("; "))))
}

fn header(task: &Task<'_>, name: &str, wanted: &HeaderValue, seen: Option<String>) -> Result<Option<String>, Stop> {
    let text = task.held.fill(wanted.text())?;
    let (met, how) = match wanted {
        HeaderValue::Is(_) => (seen.as_deref().map(str::trim) == Some(text.trim()), ""),
        HeaderValue::Contains(_) => (seen.as_ref().is_some_and(|seen| seen.contains(&text)), " in it"),
    };
    let told = seen.map_or_else(|| "none".to_owned(), |seen| quoted(task, &seen));
    Ok((!met).then(|| format!("header {name}: expected {}{how}, seen {told}", quoted(task, &text))))
}

/// A path as JSON Pointer has it.
fn pointer(path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    path.split('.').map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

/// Whether a value is what was expected. Templates make texts, so a text also fits a number or a truth value that is
/// written so.
fn fits(wanted: &Value, seen: &Value) -> bool {
    match (wanted, seen) {
        (Value::String(text), Value::Number(_) | Value::Bool(_)) => {
            let written = seen.to_string();
            *text == written
        }
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| fits(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| fits(a, b)))
        }
        (a, b) => a == b,
    }
}

fn value(task: &Task<'_>, value: &Value) -> String {
    shortened(&task.masked(value.clone()).to_string(), QUOTE)
}

fn quoted(task: &Task<'_>, text: &str) -> String {
    shortened(&format!("\"{}\"", task.held.mask(text)), QUOTE)
}

fn shortened(text: &str, at_most: usize) -> String {
    let begins = beginning(text, at_most);
    if begins.len() < text.len() { format!("{begins}…") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_into_documents() {
        let document = json!({"a": {"b": 1}, "items": [{"name": "x"}], "a.b": 2, "x/y": 3});
        for (path, expected) in [("a.b", json!(1)), ("items.0.name", json!("x")), ("/a.b", json!(2)), ("x/y", json!(3))]
        {
            assert_eq!(document.pointer(&pointer(path)), Some(&expected), "{path}");
        }
    }

    #[test]
    fn a_text_fits_what_is_written_like_it() {
        assert!(fits(&json!("3"), &json!(3)) && fits(&json!("true"), &json!(true)) && fits(&json!(1), &json!(1.0)));
        assert!(!fits(&json!(3), &json!("3")) && !fits(&json!("3"), &json!(4)) && !fits(&json!(null), &json!("")));
        assert!(fits(&json!({"a": ["1"]}), &json!({"a": [1]})) && !fits(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
    }
}
