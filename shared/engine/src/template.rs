//! Texts with `#{…}` in them.
//!
//! Syntax: `#{Name}` is a value, `#{% if … %}…#{% endif %}` a block, `#{# … #}` a comment and `##{` a
//! literal `#{`. Everything else, `{{`, `{%` and `${` among it, is plain text. The language inside is
//! minijinja's. An undefined name is an error, never an empty text.

use std::{collections::BTreeSet, sync::OnceLock};

use minijinja::{Environment, Error, UndefinedBehavior, syntax::SyntaxConfig, value::ValueKind};

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
    let template = environment().template_from_str(&source).map_err(|e| explain(&e))?;
    Ok(template.undeclared_variables(true).into_iter().collect())
}

/// The text with every name replaced. `values` is a map from first name parts to values.
pub fn render(text: &str, values: &serde_json::Value) -> Result<String, String> {
    if is_plain(text) {
        return Ok(text.to_owned());
    }
    let source = text.replace("##{", ESCAPED);
    let rendered = environment().render_str(&source, minijinja::value::Serde(values)).map_err(|e| explain(&e))?;
    Ok(rendered.replace(ESCAPED, "#{"))
}

fn explain(error: &minijinja::Error) -> String {
    let detail = error.detail().map(|d| format!(": {d}")).unwrap_or_default();
    format!("{}{detail}", error.kind())
}

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
}
