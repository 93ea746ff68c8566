//! What differs between two versions of a manifest, as dotted paths:
//! `steps.web.docker-run.env.GREETING: "a" -> "b"`.
//!
//! Items of a list are told apart by their `name` where all have a different one, so that a step put
//! in front of others is one difference and not many.

use indexmap::IndexMap;
use serde_json::Value;

/// Every difference, in the order of the newer one.
pub fn between(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", Some(old), Some(new), &mut found);
    found
}

fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<String>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            entries(path, &old.iter().collect(), &new.iter().collect(), found);
        }
        (Some(Value::Array(old_items)), Some(Value::Array(new_items))) => match (named(old_items), named(new_items)) {
            (Some(old), Some(new)) => {
                entries(path, &old, &new, found);
                let kept = old.keys().filter(|name| new.contains_key(*name));
                if kept.ne(new.keys().filter(|name| old.contains_key(*name))) {
                    found.push(format!("{path}: another order"));
                }
            }
            _ => found.push(format!("{path}: {} -> {}", shown(old), shown(new))),
        },
        (old, new) => found.push(format!("{path}: {} -> {}", shown(old), shown(new))),
    }
}

type Entries<'a> = IndexMap<&'a String, &'a Value>;

fn entries(path: &str, old: &Entries<'_>, new: &Entries<'_>, found: &mut Vec<String>) {
    for key in new.keys().chain(old.keys().filter(|key| !new.contains_key(*key))) {
        let path = if path.is_empty() { (*key).clone() } else { format!("{path}.{key}") };
        compare(&path, old.get(key).copied(), new.get(key).copied(), found);
    }
}

/// The items by name, if each has one of its own. Variables of one name with several scopes have not.
fn named(items: &[Value]) -> Option<Entries<'_>> {
    let mut entries = Entries::new();
    for item in items {
        let Value::String(name) = item.get("name")? else { return None };
        if entries.insert(name, item).is_some() {
            return None;
        }
    }
    Some(entries)
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
