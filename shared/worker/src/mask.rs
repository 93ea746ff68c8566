//! Replacing secrets by `***` in whatever leaves the process.
//!
//! Looks for each value, for each line of a value, and for the forms that programs give them: base64 (at every
//! alignment, so also inside a longer encoded text), percent-encoded, escaped for JSON, for a shell and for compose.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose};
use serde_json::Value;

const MASK: &str = "***";
/// Encoded forms and single lines shorter than this would hit innocent text.
const SHORTEST_DERIVED: usize = 6;

/// Finds secrets in texts. No `Debug`: it holds them.
pub(crate) struct Masker {
    /// Longest first, so that a secret inside another does not uncover the rest.
    patterns: Vec<String>,
}

impl Masker {
    /// Finds nothing.
    pub(crate) const fn nothing() -> Self {
        Self { patterns: Vec::new() }
    }

    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = BTreeSet::new();
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            found.insert(secret.to_owned());
            let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_DERIVED);
            for text in lines.chain([secret]) {
                let derived = base64_forms(text).into_iter().chain(percent_encoded(text)).chain(escaped(text));
                found.extend(derived.chain([text.to_owned()]).filter(|form| form.len() >= SHORTEST_DERIVED));
            }
        }
        let mut patterns: Vec<String> = found.into_iter().collect();
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        Self { patterns }
    }

    /// The text without secrets.
    pub(crate) fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for pattern in self.patterns.iter().filter(|pattern| text.contains(pattern.as_str())) {
            masked = masked.replace(pattern, MASK);
        }
        masked
    }

    /// The value without secrets, in keys too.
    pub(crate) fn mask_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mask(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.mask_value(value)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(key, value)| (self.mask(&key), self.mask_value(value))).collect()
            }
            Value::Number(number) if self.patterns.iter().any(|p| *p == number.to_string()) => MASK.into(),
            plain => plain,
        }
    }

    /// Where a text may be cut at or before `at` without cutting a secret in two: one that lies across `at`, or that
    /// may go on behind the end.
    pub(crate) fn safe_cut(&self, text: &str, at: usize) -> usize {
        let longest = self.patterns.first().map_or(0, String::len);
        let mut cut = at.min(text.len().saturating_sub(longest.saturating_sub(1)));
        loop {
            while !text.is_char_boundary(cut) {
                cut -= 1;
            }
            let crossing = self.patterns.iter().find_map(|pattern| {
                text.match_indices(pattern.as_str())
                    .map(|(start, _)| start)
                    .find(|s| *s < cut && cut < s + pattern.len())
            });
            match crossing {
                Some(start) => cut = start,
                None => return cut,
            }
        }
    }
}

/// What of the value's base64 is the same wherever in a longer text the value begins.
fn base64_forms(text: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for engine in [&general_purpose::STANDARD_NO_PAD, &general_purpose::URL_SAFE_NO_PAD] {
        for before in 0..3_usize {
            let mut bytes = vec![0; before];
            bytes.extend_from_slice(text.as_bytes());
            let encoded = engine.encode(&bytes);
            let start = (before * 8).div_ceil(6);
            // The last character also holds bits of what follows, unless the value ends on a boundary.
            let end = bytes.len() * 8 / 6;
            if start < end {
                forms.push(encoded[start..end].to_owned());
            }
            if before == 0 {
                forms.push(encoded);
            }
        }
    }
    forms
}

/// Every byte but the unreserved ones of RFC 3986 as `%XX`, in either case, and as a form has it, with `+` for a space;
/// and as URLs have it whose writer left to their parser what has to be encoded: in their path, and in their query.
fn percent_encoded(text: &str) -> [String; 6] {
    use std::fmt::Write as _;
    let encode = |lower: bool, stays: &dyn Fn(u8) -> bool| {
        text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
            if stays(byte) {
                encoded.push(char::from(byte));
            } else {
                let _ = if lower { write!(encoded, "%{byte:02x}") } else { write!(encoded, "%{byte:02X}") };
            }
            encoded
        })
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let [upper, lower] = [false, true].map(|lower| encode(lower, &unreserved));
    let in_query = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>'".contains(&byte);
    let in_path = |byte: u8| byte == b'\'' || in_query(byte) && !b"?^`{}".contains(&byte);
    let forms = [&upper, &lower].map(|encoded| encoded.replace("%20", "+"));
    let [upper_form, lower_form] = forms;
    [upper, lower, upper_form, lower_form, encode(false, &in_path), encode(false, &in_query)]
}

/// As it stands between the quotes of a JSON text, in a shell's command line, and in a compose file.
fn escaped(text: &str) -> Vec<String> {
    let json = serde_json::to_string(text).unwrap_or_default();
    let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
    let before = |special: &dyn Fn(char) -> bool| {
        text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect::<String>()
    };
    vec![
        json.replace('/', "\\/"),
        // JSON within JSON, as logs have it.
        json.replace('\\', "\\\\").replace('"', "\\\""),
        text.replace('\'', "'\\''"),
        text.replace('\'', "'\"'\"'"),
        before(&|c| "\\\"$`".contains(c)),
        before(&|c| !c.is_ascii_alphanumeric() && !"_-./:=@%+,".contains(c)),
        text.replace('$', "$$"),
        json,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t p@ss/word?";

    #[test]
    fn a_secret_is_masked_in_every_form() {
        let masker = Masker::new([SECRET]);
        let basic = general_purpose::STANDARD.encode(format!("user:{SECRET}"));
        let url_safe = general_purpose::URL_SAFE_NO_PAD.encode(format!("xx{SECRET}yy"));
        for text in [
            SECRET.to_owned(),
            format!("a{SECRET}b{SECRET}"),
            general_purpose::STANDARD.encode(SECRET),
            basic,
            url_safe,
            "postgres://u:s3cr3t%20p%40ss%2Fword%3F@h/db".to_owned(),
            "https://h/s3cr3t%20p@ss/word%3F/x".to_owned(),
            "https://h/?t=s3cr3t%20p@ss/word?".to_owned(),
        ] {
            let masked = masker.mask(&text);
            assert!(masked.contains(MASK), "{text} -> {masked}");
            assert!(!masked.contains("s3cr3t") && !masked.contains("czNjcjN0"), "{text} -> {masked}");
        }
        assert_eq!(masker.mask("nothing here"), "nothing here");
    }

    #[test]
    fn a_secret_is_masked_as_programs_escape_it() {
        let secret = r#"pa$$ "kx\rd'/x"#;
        let masker = Masker::new([secret]);
        let json = serde_json::json!({ "password": secret }).to_string();
        for text in [
            json.clone(),
            json.replace('/', r"\/"),
            serde_json::json!({ "log": json }).to_string(),
            r#"login 'pa$$ "kx\rd'\''/x'"#.to_owned(),
            r#"login 'pa$$ "kx\rd'"'"'/x'"#.to_owned(),
            r#"login "pa\$\$ \"kx\\rd'/x""#.to_owned(),
            r#"login pa\$\$\ \"kx\\rd\'/x"#.to_owned(),
            r#"PASSWORD=pa$$$$ "kx\rd'/x"#.to_owned(),
            "password=pa%24%24+%22kx%5Crd%27%2Fx&".to_owned(),
            "pa%24%24%20%22kx%5crd%27%2fx".to_owned(),
        ] {
            let masked = masker.mask(&text);
            assert!(masked.contains(MASK) && !masked.contains("kx") && !masked.contains("rd'"), "{text} -> {masked}");
        }
        let lines = Masker::new(["first line\nsecond line"]);
        assert_eq!(lines.mask(r#"{"key":"first line\nsecond line"}"#), format!(r#"{{"key":"{MASK}"}}"#));
    }

    #[test]
    fn every_line_of_a_secret_of_many_is_masked() {
        let masker = Masker::new(["-----BEGIN KEY-----\nabcdefgh\nijklmnop\n-----END KEY-----\n"]);
        assert_eq!(masker.mask("ijklmnop"), MASK);
    }

    #[test]
    fn a_secret_that_begins_like_another_is_masked_whole() {
        let masker = Masker::new(["hunter", "hunter2-long"]);
        assert_eq!(masker.mask("hunter2-long hunter"), "*** ***");
    }

    #[test]
    fn outputs_are_masked_down_to_keys_and_numbers() {
        let masker = Masker::new(["12345678", "hunter2"]);
        let masked = masker.mask_value(serde_json::json!({"hunter2": [12345678, "x hunter2", true]}));
        assert_eq!(masked, serde_json::json!({"***": ["***", "x ***", true]}));
    }

    #[test]
    fn a_text_is_never_cut_inside_a_secret() {
        let masker = Masker::new(["0123456789"]);
        for (text, at) in [("ab0123456789cd", 5), ("abcdefghijklmn012345", 20), ("ö0123456789ö", 1)] {
            let cut = masker.safe_cut(text, at);
            let seen = format!("{}{}", masker.mask(&text[..cut]), masker.mask(&format!("{}6789", &text[cut..])));
            assert!(!seen.contains("0123"), "{text} at {cut}");
        }
    }
}
