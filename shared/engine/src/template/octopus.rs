//! The filters of Octopus's templates under their own names, for texts that come from there.
//!
//! Arguments are written as Jinja has them, `#{X | Truncate(10)}`. What needs a clock, or gives another text each
//! time, is left out: an order must render to the same text whenever it is made.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use minijinja::{Environment, Error, ErrorKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use slipway_domain::text::sha256_hex;

/// What a part of an address keeps: RFC 3986's unreserved characters.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a whole address keeps: the reserved ones as well.
const WHOLE: &AsciiSet = &PART
    .remove(b':')
    .remove(b'/')
    .remove(b'?')
    .remove(b'#')
    .remove(b'[')
    .remove(b']')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'%');

/// Adds all of them.
pub fn add(environment: &mut Environment<'static>) {
    environment.add_filter("ToUpper", |text: String| text.to_uppercase());
    environment.add_filter("ToLower", |text: String| text.to_lowercase());
    environment.add_filter("Trim", |text: String| text.trim().to_owned());
    environment.add_filter("Append", |text: String, more: String| format!("{text}{more}"));
    environment.add_filter("Prepend", |text: String, more: String| format!("{more}{text}"));
    environment.add_filter("Contains", |text: String, part: String| text.contains(&part));
    environment.add_filter("StartsWith", |text: String, part: String| text.starts_with(&part));
    environment.add_filter("EndsWith", |text: String, part: String| text.ends_with(&part));
    environment.add_filter("Substring", substring);
    environment.add_filter("Truncate", truncate);
    environment.add_filter("HtmlEscape", xml);
    environment.add_filter("XmlEscape", xml);
    environment.add_filter("JsonEscape", json);
    environment.add_filter("YamlSingleQuoteEscape", yaml_single);
    environment.add_filter("YamlDoubleQuoteEscape", json);
    environment.add_filter("PropertiesKeyEscape", |text: String| properties(&text, true));
    environment.add_filter("PropertiesValueEscape", |text: String| properties(&text, false));
    environment.add_filter("UriEscape", |text: String| utf8_percent_encode(&text, WHOLE).to_string());
    environment.add_filter("UriDataEscape", |text: String| utf8_percent_encode(&text, PART).to_string());
    environment.add_filter("ToBase64", |text: String| STANDARD.encode(text));
    environment.add_filter("FromBase64", from_base64);
    environment.add_filter("Sha256", |text: String| sha256_hex(text.as_bytes()));
    environment.add_filter("VersionMajor", |text: String| number(&text, 0));
    environment.add_filter("VersionMinor", |text: String| number(&text, 1));
    environment.add_filter("VersionPatch", |text: String| number(&text, 2));
    environment.add_filter("VersionRevision", |text: String| number(&text, 3));
    environment.add_filter("VersionPreRelease", |text: String| prerelease(&text).to_owned());
    environment.add_filter("VersionPreReleasePrefix", |text: String| counted(&text).0.to_owned());
    environment.add_filter("VersionPreReleaseCounter", |text: String| counted(&text).1.to_owned());
    environment.add_filter("VersionMetadata", |text: String| {
        text.split_once('+').map(|(_, metadata)| metadata.to_owned()).unwrap_or_default()
    });
}

/// From a character on, or so many of the first.
fn substring(text: String, first: usize, length: Option<usize>) -> String {
    match length {
        None => text.chars().take(first).collect(),
        Some(length) => text.chars().skip(first).take(length).collect(),
    }
}

fn truncate(text: String, length: usize) -> String {
    let short: String = text.chars().take(length).collect();
    if short.len() == text.len() { text } else { format!("{short}...") }
}

fn xml(text: String) -> String {
    text.chars().fold(String::new(), |mut all, c| {
        match c {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            '\'' => all.push_str("&apos;"),
            c => all.push(c),
        }
        all
    })
}

fn json(text: String) -> String {
    let quoted = serde_json::to_string(&text).unwrap_or_default();
    quoted[1..quoted.len() - 1].to_owned()
}

/// A line end within single quotes of YAML is a space; two of them are one.
fn yaml_single(text: String) -> String {
    let mut all = String::new();
    let mut before = None;
    for c in text.chars() {
        match c {
            '\'' => all.push_str("''"),
            '\n' if before != Some('\r') => all.push_str("\n\n"),
            c => all.push(c),
        }
        before = Some(c);
    }
    all
}

fn properties(text: &str, key: bool) -> String {
    let mut all = String::new();
    for (i, c) in text.chars().enumerate() {
        match c {
            '\\' => all.push_str("\\\\"),
            '\n' => all.push_str("\\n"),
            '\r' => all.push_str("\\r"),
            '\t' => all.push_str("\\t"),
            ' ' if key || i == 0 => all.push_str("\\ "),
            '=' | ':' if key => {
                all.push('\\');
                all.push(c);
            }
            c => all.push(c),
        }
    }
    all
}

fn from_base64(text: String) -> Result<String, Error> {
    let bad = |why: String| Error::new(ErrorKind::InvalidOperation, format!("FromBase64: {why}"));
    let bytes = STANDARD.decode(text.trim()).map_err(|e| bad(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| bad(e.to_string()))
}

/// A version in two: its numbers, and what follows them.
fn version(text: &str) -> (&str, &str) {
    let text = text.split('+').next().unwrap_or_default();
    let text = match text.strip_prefix(['v', 'V']) {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
        _ => text,
    };
    let mut end = 0;
    for part in text.split('.').take(4) {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            break;
        }
        end += digits + usize::from(end > 0);
        if digits < part.len() {
            break;
        }
    }
    text.split_at(end)
}

fn number(text: &str, place: usize) -> String {
    let (numbers, _) = version(text);
    numbers.split('.').nth(place).filter(|number| !number.is_empty()).unwrap_or("0").to_owned()
}

fn prerelease(text: &str) -> &str {
    version(text).1.trim_start_matches(['.', '-', '_'])
}

/// The pre-release before and after its first separator.
fn counted(text: &str) -> (&str, &str) {
    let prerelease = prerelease(text);
    prerelease.split_once(['.', '-', '_']).unwrap_or((prerelease, ""))
}

#[cfg(test)]
mod tests {
    use crate::template::render;

    #[track_caller]
    fn check(value: &str, filter: &str, expected: &str) {
        let text = format!("#{{X | {filter}}}");
        assert_eq!(render(&text, &serde_json::json!({ "X": value })).unwrap(), expected, "{filter} of {value:?}");
    }

    #[test]
    fn texts_are_escaped_for_where_they_go() {
        check("a<b> & \"c\" 'd'", "HtmlEscape", "a&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos;");
        check("a\n\"b\"\\", "JsonEscape", "a\\n\\\"b\\\"\\\\");
        check("it's\n", "YamlSingleQuoteEscape", "it''s\n\n");
        check("a\r\n", "YamlSingleQuoteEscape", "a\r\n");
        check(" a=b:c ", "PropertiesKeyEscape", "\\ a\\=b\\:c\\ ");
        check(" a=b:c ", "PropertiesValueEscape", "\\ a=b:c ");
        check("a b:c/d?e", "UriEscape", "a%20b:c/d?e");
        check("a b:c/d?e", "UriDataEscape", "a%20b%3Ac%2Fd%3Fe");
        check("é!", "ToBase64", "w6kh");
        check("w6kh", "FromBase64", "é!");
        assert!(render("#{X | FromBase64}", &serde_json::json!({ "X": "?" })).unwrap_err().contains("FromBase64"));
    }

    #[test]
    fn texts_are_cut_and_asked() {
        check("Deploy", "Substring(3)", "Dep");
        check("Deploy", "Substring(3, 2)", "lo");
        check("Deploy", "Truncate(3)", "Dep...");
        check("Deploy", "Truncate(6)", "Deploy");
        check("Deploy", "ToUpper", "DEPLOY");
        check("Deploy", "Append('ed') | Prepend('re')", "reDeployed");
        check("Deploy", "StartsWith('De')", "true");
        check("Deploy", "Contains('x')", "false");
    }

    #[test]
    fn versions_are_taken_apart() {
        for (version, parts) in [
            ("1", ["1", "0", "0", "0", "", "", ""]),
            ("v1.2.3.4-branch.1+meta", ["1", "2", "3", "4", "branch.1", "branch", "1"]),
            ("19.0.0.Final", ["19", "0", "0", "0", "Final", "Final", ""]),
            (
                "284.0.0-debian_component_based",
                ["284", "0", "0", "0", "debian_component_based", "debian", "component_based"],
            ),
            ("latest", ["0", "0", "0", "0", "latest", "latest", ""]),
            ("1.2rc1", ["1", "2", "0", "0", "rc1", "rc1", ""]),
        ] {
            let filters =
                ["Major", "Minor", "Patch", "Revision", "PreRelease", "PreReleasePrefix", "PreReleaseCounter"];
            for (filter, expected) in filters.iter().zip(parts) {
                check(version, &format!("Version{filter}"), expected);
            }
        }
        check("1.0+meta", "VersionMetadata", "meta");
    }
}
