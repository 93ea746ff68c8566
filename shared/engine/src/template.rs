//! Texts with `#{…}` in them.
//!
//! Syntax: `#{Name}` is a value, `#{% if … %}…#{% endif %}` a block, `#{# … #}` a comment and `##{` a
//! literal `#{`. Everything else, `{{`, `{%` and `${` among it, is plain text. The language inside is
//! minijinja's. An undefined name is an error, never an empty text.

mod octopus;

use std::{collections::BTreeSet, sync::OnceLock};

use minijinja::{Environment, Error, UndefinedBehavior, syntax::SyntaxConfig, value::ValueKind};
use serde_json::{Map, Value};
use slipway_domain::text::did_you_mean;

/// Stands for an escaped `#{` while the engine works; users can not type it in a manifest.
const ESCAPED: &str = "\u{f8f2}";
/// Work that one text may cost, in minijinja's units; a loop that exceeds it is an error.
const FUEL: u64 = 200_000;

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .block_delimiters("#{%", "%}")
            .variable_delimiters("#{", "}")
            .comment_delimiters("#{#", "#}")
            .keep_trailing_newline(true)
            .build()
            .expect("invariant: the delimiters differ");
        environment.set_syntax(syntax);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_formatter(|out, state, value| match bool::try_from(value.clone()) {
            // As in JSON, YAML and shells, not as in Python.
            Ok(truth) if value.kind() == ValueKind::Bool => {
                out.write_str(if truth { "true" } else { "false" }).map_err(Error::from)
            }
            _ => minijinja::escape_formatter(out, state, value),
        });
        environment.set_fuel(Some(FUEL));
        octopus::add(&mut environment);
        environment
    })
}

/// Whether rendering would change the text at all.
pub fn is_plain(text: &str) -> bool {
    !text.contains("#{")
}

/// The dotted names that a text uses, such as `Port` or `steps.web.outputs.port`.
/// Errs with what is wrong with its syntax.
pub fn names(text: &str) -> Result<BTreeSet<String>, String> {
    if is_plain(text) {
        return Ok(BTreeSet::new());
    }
    let source = text.replace("##{", ESCAPED);
    let template = environment().template_from_str(&source).map_err(|e| explain(&e, text))?;
    Ok(template.undeclared_variables(true).into_iter().collect())
}

/// The text with every name replaced. `values` is a map from first name parts to values.
pub fn render(text: &str, values: &Value) -> Result<String, String> {
    if is_plain(text) {
        return Ok(text.to_owned());
    }
    let source = text.replace("##{", ESCAPED);
    let rendered = environment().render_str(&source, minijinja::value::Serde(values)).map_err(|e| explain(&e, text))?;
    Ok(rendered.replace(ESCAPED, "#{"))
}

/// What a dotted name of a text stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Named {
    /// A value under the name's first part, taken whole.
    Whole(String, Value),
    /// A text under the part of the name that was known.
    Text(String, String),
    /// A text that has names in turn.
    Template(String, String),
}

/// The text with every name replaced by what `lookup` finds for it.
pub fn render_named(text: &str, lookup: &dyn Fn(&str) -> Result<Named, String>) -> Result<String, String> {
    render_within(text, lookup, &mut Vec::new())
}

fn render_within(
    text: &str,
    lookup: &dyn Fn(&str) -> Result<Named, String>,
    path: &mut Vec<String>,
) -> Result<String, String> {
    if is_plain(text) {
        return Ok(text.to_owned());
    }
    let mut values = Map::new();
    for name in names(text)? {
        match lookup(&name)? {
            Named::Whole(first, value) => drop(values.insert(first, value)),
            Named::Text(name, text) => insert(&mut values, &name, text),
            Named::Template(name, inner) => {
                enter(&name, path)?;
                let text = render_within(&inner, lookup, path)?;
                path.pop();
                insert(&mut values, &name, text);
            }
        }
    }
    render(text, &Value::Object(values))
}

/// Begins with a variable, unless it is being replaced already.
pub(crate) fn enter(name: &str, path: &mut Vec<String>) -> Result<(), String> {
    if path.iter().any(|p| p == name) {
        return Err(format!("variable `{name}` needs itself ({} -> {name})", path.join(" -> ")));
    }
    path.push(name.to_owned());
    Ok(())
}

/// Puts a value under a dotted name into nested maps.
fn insert(values: &mut Map<String, Value>, name: &str, value: String) {
    match name.split_once('.') {
        None => {
            values.insert(name.to_owned(), Value::String(value));
        }
        Some((first, rest)) => {
            let inner = values.entry(first.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// The text rendered with variables as a JSON object has them: dotted names as they are written, texts that may use
/// others in turn, and values that can be gone into.
pub fn render_given(text: &str, variables: &Map<String, Value>) -> Result<String, String> {
    render_named(text, &|name| {
        let mut candidate = name;
        loop {
            match (variables.get(candidate), candidate.rfind('.')) {
                (Some(Value::String(text)), _) => return Ok(Named::Template(candidate.to_owned(), text.clone())),
                (Some(value), None) => return Ok(Named::Whole(candidate.to_owned(), value.clone())),
                // Only a whole first part can be gone into.
                (Some(value), Some(_)) => return Ok(Named::Text(candidate.to_owned(), value.to_string())),
                (None, Some(dot)) => candidate = &candidate[..dot],
                (None, None) => {
                    let hint = did_you_mean(name, variables.keys().map(String::as_str));
                    return Err(format!("unknown variable `{name}`{hint}"));
                }
            }
        }
    })
}

fn explain(error: &Error, text: &str) -> String {
    let detail = error.detail().map(|d| format!(": {d}")).unwrap_or_default();
    let block = |word: &str| text.contains(&format!("#{{{word}")) || text.contains(&format!("#{{/{word}"));
    let hint = match BLOCKS.iter().find(|(word, _)| block(word)) {
        Some((word, here)) => format!("; Octopus's `#{{{word} …}}` is written `{here}` here"),
        None => String::new(),
    };
    format!("{}{detail}{hint}", error.kind())
}

/// Blocks as Octopus has them, and as they are written here.
const BLOCKS: [(&str, &str); 4] = [
    ("if", "#{% if … %}…#{% endif %}"),
    ("unless", "#{% if not … %}…#{% endif %}"),
    ("each", "#{% for … in … %}…#{% endfor %}"),
    ("calc", "#{…}"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let values =
            serde_json::json!({"Port": 80, "Name": "x", "steps": {"a-b": {"outputs": {"ok": true}}}, "L": [1, 2]});
        match (render(text, &values), expected) {
            (Ok(got), Ok(want)) => assert_eq!(got, want),
            (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
            (got, want) => panic!("{text}: got {got:?}, expected {want:?}"),
        }
    }

    #[test]
    fn names_blocks_and_escapes_render_and_foreign_braces_survive() {
        check("plain ${x} {{y}} {% z %} {# c #}", Ok("plain ${x} {{y}} {% z %} {# c #}"));
        check("#{Port}:80", Ok("80:80"));
        check("##{Port}", Ok("#{Port}"));
        check("#{ Name | upper }", Ok("X"));
        check("#{steps[\"a-b\"].outputs.ok}", Ok("true"));
        check("#{% if Port == 80 %}yes#{% else %}no#{% endif %}", Ok("yes"));
        check("#{% for x in L %}#{x},#{% endfor %}", Ok("1,2,"));
        check("a#{# note #}b", Ok("ab"));
        check("x\n", Ok("x\n"));
        check("#{Missing}", Err("undefined"));
        check("#{Port", Err("syntax error"));
        check("#{% for x in range(100000) %}#{% for y in range(100000) %}#{x}#{% endfor %}#{% endfor %}", Err(""));
    }

    #[test]
    fn the_names_that_a_text_uses_are_found() {
        let found =
            names("#{A} #{% if steps.web.outputs.x %}#{B.C}#{% endif %} ##{D} #{steps.w.targets[\"t\"].outputs.q}")
                .unwrap();
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        assert!(found.contains(&"A") && found.contains(&"B.C") && found.contains(&"steps.web.outputs.x"), "{found:?}");
        assert!(!found.iter().any(|n| n.contains('D')), "{found:?}");
    }

    #[test]
    fn blocks_as_octopus_has_them_are_told_from_other_mistakes() {
        let wrong = |text: &str| render(text, &serde_json::json!({"A": [1]})).unwrap_err();
        assert!(wrong("#{if A}x#{/if}").contains("is written `#{% if … %}…#{% endif %}` here"));
        assert!(wrong("#{each a in A}x#{/each}").contains("#{% for … in … %}"));
        assert!(!wrong("#{A A}").contains("Octopus"));
    }

    #[test]
    fn given_variables_use_each_other_and_can_be_gone_into() {
        let given = serde_json::json!({
            "A": "1#{B}", "B": "#{C.D | upper}", "C.D": "x", "L": [{"n": 1}, {"n": 2}], "Loop": "#{Loop}", "N": 4
        });
        let check = |text: &str, expected: Result<&str, &str>| {
            let rendered = render_given(text, given.as_object().unwrap());
            assert_eq!(rendered.as_deref().map_err(String::as_str), expected, "{text}");
        };
        check("#{A} #{C.D}", Ok("1X x"));
        check("#{L[1].n}#{% for l in L %}-#{l.n}#{% endfor %}", Ok("2-1-2"));
        check("#{N * 2 + 1} ##{A}", Ok("9 #{A}"));
        check("#{a}", Err("unknown variable `a` (did you mean `A`?)"));
        check("#{Loop}", Err("variable `Loop` needs itself (Loop -> Loop)"));
    }
}
