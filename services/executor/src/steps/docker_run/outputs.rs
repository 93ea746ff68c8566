//! What a new container gives to later steps.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use slipway_domain::{
    order::{Outputs, RunContainer},
    secret,
};

use crate::{
    docker::container::Seen,
    task::{Stop, Task},
};

/// Outputs have to fit into an envelope of 16 KB; this is for the inspect document.
const INSPECT_BYTES: usize = 12 << 10;

/// `container_id`, `name`, `ports`, `networks`, `image_digest` and `inspect`.
pub fn of(task: &Task<'_>, work: &RunContainer, container: Seen) -> Result<Outputs, Stop> {
    let document = shrink(task.masked(hide_secrets(work, container.document)), INSPECT_BYTES);
    let ports: Map<String, Value> =
        container.published.into_iter().map(|(key, (_, port))| (port_name(&key), json!(port))).collect();
    Ok(Outputs::from([
        ("container_id".to_owned(), json!(container.id)),
        ("name".to_owned(), json!(container.name)),
        ("ports".to_owned(), Value::Object(ports)),
        ("networks".to_owned(), json!(container.networks)),
        ("image_digest".to_owned(), json!(work.image.digest)),
        ("inspect".to_owned(), document),
    ]))
}

/// `80/tcp` is `80`; other protocols keep theirs.
fn port_name(key: &str) -> String {
    key.strip_suffix("/tcp").unwrap_or(key).to_owned()
}

/// Values of variables, labels and options that were made from secrets, whatever they look like.
fn hide_secrets(work: &RunContainer, mut document: Value) -> Value {
    if let Some(env) = document.pointer_mut("/Config/Env").and_then(Value::as_array_mut) {
        for entry in env {
            let name = entry.as_str().and_then(|text| text.split_once('=')).map(|(name, _)| name.to_owned());
            let Some(name) = name else { continue };
            if work.env.get(&name).is_some_and(|text| !secret::referenced(text).is_empty()) {
                *entry = json!(format!("{name}=***"));
            }
        }
    }
    hide(&mut document, "/Config/Labels", &work.options.labels);
    if let Some(log) = &work.options.log {
        hide(&mut document, "/HostConfig/LogConfig/Config", &log.options);
    }
    document
}

fn hide(document: &mut Value, place: &str, texts: &IndexMap<String, String>) {
    let Some(values) = document.pointer_mut(place).and_then(Value::as_object_mut) else { return };
    for (name, _) in texts.iter().filter(|(_, text)| !secret::referenced(text).is_empty()) {
        values.insert(name.clone(), json!("***"));
    }
}

/// Leaves out the biggest parts until the document fits, and says which.
fn shrink(document: Value, limit: usize) -> Value {
    let Value::Object(mut fields) = document else { return document };
    let mut left_out = Vec::new();
    while Value::Object(fields.clone()).to_string().len() > limit {
        let biggest = fields.iter().max_by_key(|(_, value)| value.to_string().len()).map(|(key, _)| key.clone());
        let Some(key) = biggest else { break };
        fields.remove(&key);
        left_out.push(key);
    }
    if !left_out.is_empty() {
        fields.insert("slipway.left_out".to_owned(), json!(left_out));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_biggest_part_is_left_out_and_named() {
        let small = json!({"Id": "x", "Config": {"Env": ["a".repeat(50)]}});
        assert_eq!(shrink(small.clone(), 1000), small);
        assert_eq!(shrink(small, 60), json!({"Id": "x", "slipway.left_out": ["Config"]}));
    }
}
