//! What differs between two versions of a manifest, as dotted paths:
//! `steps.web.docker-run.env.GREETING: "a" -> "b"`.
//!
//! Items of a list are told apart by their `name` where all have a different one, so that a step put
//! in front of others is one difference and not many.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Every difference, in the order of the newer one.
pub fn between(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", Some(old), Some(new), &mut found);
    found
}

fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<String>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => objects(path, old, new, found),
        (Some(Value::Array(old_items)), Some(Value::Array(new_items))) => match (named(old_items), named(new_items)) {
            (Some(old), Some(new)) => {
                let reordered =
                    old.keys().filter(|k| new.contains_key(*k)).ne(new.keys().filter(|k| old.contains_key(*k)));
                objects(path, &old, &new, found);
                if reordered {
                    found.push(format!("{path}: another order"));
                }
            }
            _ => found.push(format!("{path}: {} -> {}", shown(old), shown(new))),
        },
        (old, new) => found.push(format!("{path}: {} -> {}", shown(old), shown(new))),
    }
}

fn objects(path: &str, old: &Map<String, Value>, new: &Map<String, Value>, found: &mut Vec<String>) {
    let known: BTreeSet<&String> = new.keys().collect();
    for key in new.keys().chain(old.keys().filter(|key| !known.contains(key))) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        compare(&path, old.get(key), new.get(key), found);
    }
}

/// The items by name, if each has one of its own. Variables of one name with several scopes have not.
fn named(items: &[Value]) -> Option<Map<String, Value>> {
    let mut map = Map::new();
    for item in items {
        let name = item.get("name")?.as_str()?;
        if map.insert(name.to_owned(), item.clone()).is_some() {
            return None;
        }
    }
    Some(map)
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(old: Value, new: Value, expect: &[&str]) {
        assert_eq!(between(&old, &new), expect);
    }

    #[test]
    fn a_difference_names_its_path_and_both_values() {
        check(
            json!({"steps": [{"name": "web", "docker-run": {"env": {"GREETING": "a"}}}]}),
            json!({"steps": [{"name": "web", "docker-run": {"env": {"GREETING": "b", "X": "1"}}}]}),
            &[r#"steps.web.docker-run.env.GREETING: "a" -> "b""#, r#"steps.web.docker-run.env.X: nothing -> "1""#],
        );
        check(json!({"a": 1, "b": 2}), json!({"b": 2}), &["a: 1 -> nothing"]);
        check(json!({"a": [1]}), json!({"a": [1]}), &[]);
    }

    #[test]
    fn named_items_are_compared_by_name_and_others_whole() {
        check(
            json!({"steps": [{"name": "b"}]}),
            json!({"steps": [{"name": "a"}, {"name": "b"}]}),
            &[r#"steps.a: nothing -> {"name":"a"}"#],
        );
        check(
            json!({"steps": [{"name": "a"}, {"name": "b"}]}),
            json!({"steps": [{"name": "b"}, {"name": "a"}]}),
            &["steps: another order"],
        );
        check(
            json!({"variables": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
            json!({"variables": [{"name": "A", "value": "1"}]}),
            &[r#"variables: [{"name":"A","value":"1"},{"name":"A","value":"2"}] -> [{"name":"A","value":"1"}]"#],
        );
    }
}
