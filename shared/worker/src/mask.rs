//! Replacing secrets by `***` in whatever leaves the process.
//!
//! Looks for each value, for each line of a value, and for their base64 (at every alignment, so also
//! inside a longer encoded text) and percent-encoded forms.

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
                let derived = base64_forms(text).into_iter().chain([text.to_owned(), percent_encoded(text)]);
                found.extend(derived.filter(|form| form.len() >= SHORTEST_DERIVED));
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

/// Every byte but the unreserved ones of RFC 3986 as `%XX`.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
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
        ] {
            let masked = masker.mask(&text);
            assert!(masked.contains(MASK), "{text} -> {masked}");
            assert!(!masked.contains("s3cr3t") && !masked.contains("czNjcjN0"), "{text} -> {masked}");
        }
        assert_eq!(masker.mask("nothing here"), "nothing here");
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
