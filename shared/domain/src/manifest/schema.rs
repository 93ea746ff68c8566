//! The JSON Schema of manifests, for editors that complete and check YAML. What it can not say, `slipway check` does.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::{
    Environment, Feed, Freeze, Kind, Lifecycle, Limits, Project, Target, Team, VariableSet, Webhook, parse::API_VERSION,
};

/// The schema of one YAML document: any of the kinds.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let documents: Vec<Value> = Kind::ALL.into_iter().map(|kind| document(kind, &mut generator)).collect();
    let definitions = generator.take_definitions(true);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Slipway manifest",
        "type": "object",
        "required": ["kind", "name"],
        "oneOf": documents,
        "$defs": definitions,
    })
}

/// The schema of a kind, with the keys that say which one it is.
fn document(kind: Kind, generator: &mut SchemaGenerator) -> Value {
    let schema = match kind {
        Kind::Feed => body::<Feed>(generator),
        Kind::Environment => body::<Environment>(generator),
        Kind::Target => body::<Target>(generator),
        Kind::Limits => body::<Limits>(generator),
        Kind::Freeze => body::<Freeze>(generator),
        Kind::Lifecycle => body::<Lifecycle>(generator),
        Kind::VariableSet => body::<VariableSet>(generator),
        Kind::Project => body::<Project>(generator),
        Kind::Webhook => body::<Webhook>(generator),
        Kind::Team => body::<Team>(generator),
    };
    let mut value = schema.to_value();
    value["title"] = kind.as_str().into();
    value["properties"]["kind"] = json!({ "const": kind.as_str() });
    value["properties"]["apiVersion"] = json!({ "const": API_VERSION });
    if let Some(required) = value["required"].as_array_mut() {
        required.push("kind".into());
    }
    value
}

fn body<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::manifest::parse::parse;

    /// The keys of a manifest that the schema does not know, wherever they are.
    fn unknown(schema: &Value, root: &Value, value: &Value, path: &str, found: &mut BTreeSet<String>) {
        let resolved = match schema["$ref"].as_str() {
            Some(reference) => &root["$defs"][reference.trim_start_matches("#/$defs/")],
            None => schema,
        };
        let branches = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| resolved[key].as_array()).flatten();
        let branches: Vec<&Value> = branches.collect();
        if !branches.is_empty() {
            let of = |branch: &&Value| {
                let mut inside = BTreeSet::new();
                unknown(branch, root, value, path, &mut inside);
                inside
            };
            found.extend(branches.iter().map(of).min_by_key(BTreeSet::len).unwrap_or_default());
        }
        match value {
            Value::Object(object) if resolved["properties"].is_object() => {
                for (key, inner) in object {
                    match resolved["properties"].get(key) {
                        Some(schema) => unknown(schema, root, inner, &format!("{path}.{key}"), found),
                        None => drop(found.insert(format!("{path}.{key}"))),
                    }
                }
            }
            Value::Array(items) if resolved["items"].is_object() => {
                items.iter().for_each(|item| unknown(&resolved["items"], root, item, path, found));
            }
            _ => {}
        }
    }

    #[test]
    fn the_schema_knows_every_key_of_every_manifest_in_the_example_and_no_other() {
        let schema = schema();
        let example = include_str!("parse/example.yml");
        for manifest in parse(None, example).unwrap() {
            let value = serde_json::to_value(&manifest).unwrap();
            let document = schema["oneOf"].as_array().unwrap();
            let document = document.iter().find(|one| one["properties"]["kind"]["const"] == value["kind"]).unwrap();
            assert_eq!(document["additionalProperties"], false, "{}", value["kind"]);
            let mut found = BTreeSet::new();
            unknown(document, &schema, &value, "", &mut found);
            assert!(found.is_empty(), "{}: {found:?}", value["kind"]);
        }
        let step = &schema["$defs"]["Step"];
        assert!(step["properties"]["docker-run"].is_object(), "{step:#}");
        assert!(step["properties"]["steps"].to_string().contains("#/$defs/Step"), "{step:#}");
        assert_eq!(schema["$defs"]["StepName"]["type"], "string");
        assert!(schema["$defs"]["StepName"]["pattern"].as_str().unwrap().starts_with("^[a-z0-9]"));
    }
}
