//! Docker tags as versions. A tag is an optional `v`, one to four numbers and a pre-release; every
//! place that ranks or filters tags goes through [`Tag`], so that they all agree.
//!
//! The ranking is by meaning: `v1.0`, `1.0` and `1.0.0` are equal. The text is kept, because only
//! the text finds the image in the registry.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use semver::Prerelease;
use serde::{Deserialize, Serialize};

/// Most numbers that a version begins with; what follows a fourth is pre-release.
const NUMBERS: usize = 4;
/// Longest tag that a registry takes.
const MAX_LEN: usize = 128;

/// A tag that is a version.
///
/// `1.25-alpine` is version 1.25.0.0 with the pre-release `alpine`, and so ranks below `1.25`.
/// Pre-releases rank as SemVer says, identifier by identifier between dots; an underscore counts as
/// a dot, leading zeros and empty identifiers do not count.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag {
    text: String,
    numbers: [Number; NUMBERS],
    /// Byte offset in `text` where the pre-release begins; the length of `text` without one.
    prerelease_at: usize,
    prerelease: Prerelease,
}

/// Why a tag is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{tag}` is not a version: {reason}")]
pub struct NotAVersion {
    /// The tag.
    pub tag: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Tag {
    /// Reads a tag as a version.
    pub fn parse(tag: &str) -> Result<Self, NotAVersion> {
        let refuse = |reason| NotAVersion { tag: tag.to_owned(), reason };
        if tag.len() > MAX_LEN {
            return Err(refuse("a tag has at most 128 characters"));
        }
        if !tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
            return Err(refuse("a tag consists of letters, digits, `.`, `-` and `_`"));
        }
        let (numbers, rest) = numbers(tag.strip_prefix(['v', 'V']).unwrap_or(tag))
            .ok_or_else(|| refuse("it does not begin with a number"))?;
        let suffix = rest.strip_prefix(['.', '-', '_']).unwrap_or(rest);
        if !rest.is_empty() && !suffix.bytes().any(|b| b.is_ascii_alphanumeric()) {
            return Err(refuse("nothing follows the separator after its numbers"));
        }
        let prerelease = Prerelease::new(&identifiers(suffix))
            .map_err(|_| refuse("what follows its numbers is not a pre-release"))?;
        Ok(Self { text: tag.to_owned(), numbers, prerelease_at: tag.len() - suffix.len(), prerelease })
    }

    /// The tag as the registry has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its four numbers, missing ones 0: digits without leading zeros, as they may be of any size.
    pub fn numbers(&self) -> [&str; NUMBERS] {
        self.numbers.each_ref().map(|number| if number.0.is_empty() { "0" } else { number.0.as_str() })
    }

    /// The pre-release as written, without the separator before it; empty for a release.
    pub fn prerelease(&self) -> &str {
        &self.text[self.prerelease_at..]
    }
}

/// One to four numbers at the beginning of a text, missing ones 0, and what follows them.
fn numbers(text: &str) -> Option<([Number; NUMBERS], &str)> {
    let mut numbers: [Number; NUMBERS] = Default::default();
    let (first, mut rest) = number(text)?;
    numbers[0] = first;
    for slot in &mut numbers[1..] {
        let Some((next, after)) = rest.strip_prefix('.').and_then(number) else { break };
        *slot = next;
        rest = after;
    }
    Some((numbers, rest))
}

fn number(text: &str) -> Option<(Number, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| (Number(without_zeros(&text[..end]).to_owned()), &text[end..]))
}

fn without_zeros(digits: &str) -> &str {
    digits.trim_start_matches('0')
}

/// The pre-release in a form that SemVer knows.
fn identifiers(suffix: &str) -> String {
    let identifiers: Vec<_> = suffix.split(['.', '_']).filter(|i| !i.is_empty()).map(identifier).collect();
    identifiers.join(".")
}

fn identifier(text: &str) -> &str {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return text;
    }
    match without_zeros(text) {
        "" => "0",
        digits => digits,
    }
}

/// A whole number of any size: its digits without leading zeros, so zero is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Number(String);

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Tag {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| self.prerelease.cmp(&other.prerelease))
    }
}

impl PartialOrd for Tag {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Tag {}

impl Hash for Tag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.numbers.hash(state);
        self.prerelease.hash(state);
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Tag {
    type Error = NotAVersion;
    fn try_from(text: String) -> Result<Self, NotAVersion> {
        Self::parse(&text)
    }
}

impl std::str::FromStr for Tag {
    type Err = NotAVersion;
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        Self::parse(text)
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> String {
        tag.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Tag {
        Tag::parse(text).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn each_tag_of_a_row_ranks_above_the_one_before() {
        let rows: &[&[&str]] = &[
            &["1.0-alpine", "1.0", "1.0.0.1", "1.0.1", "1.1", "1.10", "2"],
            &[
                "1.0.0-alpha",
                "1.0.0-alpha.1",
                "1.0.0-alpha.beta",
                "1.0.0-beta",
                "1.0.0-beta.2",
                "1.0.0-beta.11",
                "1.0.0-rc.1",
                "1.0.0",
            ],
            &["1.2.3-pre-4", "1.2.3-pre-5", "1.2.3"],
            &["3.13.0a1", "3.13.0b1", "3.13.0rc1", "3.13.0rc2", "3.13.0"],
            &["1.0_rc_2", "1.0_rc_10"],
            &["1.0-rc.2", "1.0-rc.010", "1.0-rc.11"],
            &["2024-01-15", "2024-02-01", "2024"],
            &["18446744073709551615", "18446744073709551616", "18446744073709551616.1", "100000000000000000000"],
            &["1.0-18446744073709551616", "1.0-100000000000000000000", "1.0-a"],
            &["1.2.3.4.5", "1.2.3.4.6", "1.2.3.4"],
        ];
        for row in rows {
            for pair in row.windows(2) {
                assert!(tag(pair[0]) < tag(pair[1]), "{} < {}", pair[0], pair[1]);
                assert!(tag(pair[1]) > tag(pair[0]), "{} > {}", pair[1], pair[0]);
            }
        }
    }

    #[test]
    fn tags_that_mean_the_same_are_equal_and_keep_their_text() {
        use std::hash::{BuildHasher, RandomState};
        let state = RandomState::new();
        for (a, b) in
            [("v1.0", "1.0.0.0"), ("V1", "1"), ("1.0-rc.1", "1.0.0_rc_01"), ("01.02", "1.2"), ("1.0rc1", "1.0-rc1")]
        {
            assert_eq!(tag(a), tag(b), "{a} = {b}");
            assert_eq!(state.hash_one(tag(a)), state.hash_one(tag(b)), "{a} and {b} hash alike");
            assert_ne!(tag(a).as_str(), tag(b).as_str());
        }
    }

    #[test]
    fn the_pre_release_is_what_follows_the_numbers() {
        for (text, prerelease) in [
            ("1.25", ""),
            ("1.25-alpine", "alpine"),
            ("1.25-alpine3.19", "alpine3.19"),
            ("v2.0.0.beta1", "beta1"),
            ("3.13.0rc1", "rc1"),
            ("1.0--x", "-x"),
            ("1.2.3.4.5", "5"),
            ("2024-01-15", "01-15"),
        ] {
            assert_eq!(tag(text).prerelease(), prerelease, "{text}");
        }
    }

    #[test]
    fn a_tag_that_does_not_begin_with_a_number_is_not_a_version() {
        for text in [
            "",
            "latest",
            "v",
            "vnext",
            "-1",
            ".1",
            "1.0-",
            "1.",
            "1.0-_.",
            "1.0+b",
            "1.0 ",
            "1.0/2",
            "é1",
            &"1".repeat(129),
        ] {
            let error = Tag::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("`{text}` is not a version: ")), "{error}");
        }
    }

    #[test]
    fn the_page_about_versions_tells_the_truth() {
        let page = include_str!("../../../docs/versions.md");
        let cell = |text: &str| text.trim().trim_matches('`').to_owned();
        let mut rows = 0;
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.split('|').map(cell).collect();
            let (text, numbers, prerelease) = (&cells[1], &cells[2], &cells[3]);
            rows += 1;
            let Ok(read) = Tag::parse(text) else {
                assert_eq!(numbers, "no version", "{row}");
                continue;
            };
            let shown = read.numbers.each_ref().map(|n| if n.0.is_empty() { "0" } else { n.0.as_str() });
            assert_eq!((&shown.join("."), read.prerelease()), (numbers, prerelease.as_str()), "{row}");
        }
        let chains = |sign: &'static str| {
            let lines =
                page.split(['\n', ',']).map(|line| line.trim_end_matches('.')).filter(move |line| line.contains(sign));
            lines.map(move |line| {
                line.split(sign).filter_map(|part| part.split('`').nth(1)).map(tag).collect::<Vec<_>>()
            })
        };
        let (older, equal): (Vec<_>, Vec<_>) = (chains(" < ").collect(), chains(" = ").collect());
        assert!(rows > 20 && older.len() > 6 && equal.len() > 2, "{rows} {older:?} {equal:?}");
        for pair in older.iter().flat_map(|chain| chain.windows(2)) {
            assert!(pair[0] < pair[1], "{} < {}", pair[0], pair[1]);
        }
        for pair in equal.iter().flat_map(|chain| chain.windows(2)) {
            assert_eq!(pair[0], pair[1]);
        }
    }
}
