//! Version ranges in NuGet's interval notation, such as `[1.0,2.0)`.
//!
//! A range is compared by the order of [`Tag`] alone: `2.0-beta` ranks below `2.0`, so it lies in
//! `[1.0,2.0)`. Who does not want pre-releases says so with a channel's `prerelease`.

use std::fmt;

use slipway_domain::version::Tag;

/// A range of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    lower: Option<Bound>,
    upper: Option<Bound>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    version: Tag,
    inclusive: bool,
}

/// Why a text is not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{range}` is not a version range: {reason}; write it like [1.0,2.0) or [1.2] or 1.0 (at least)")]
pub struct InvalidRange {
    /// The text.
    pub range: String,
    /// What is wrong with it.
    pub reason: String,
}

impl VersionRange {
    /// Reads `[1.0,2.0)`, `(1.0,)`, `(,2.0]`, `[1.2]` (exactly) or `1.0` (at least).
    pub fn parse(text: &str) -> Result<Self, InvalidRange> {
        parse(text.trim()).map_err(|reason| InvalidRange { range: text.to_owned(), reason })
    }

    /// Whether the version lies in the range.
    pub fn contains(&self, version: &Tag) -> bool {
        let above = self.lower.as_ref().is_none_or(|b| *version > b.version || (b.inclusive && *version == b.version));
        let below = self.upper.as_ref().is_none_or(|b| *version < b.version || (b.inclusive && *version == b.version));
        above && below
    }
}

fn parse(text: &str) -> Result<VersionRange, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if !text.starts_with(['[', '(']) {
        return Ok(VersionRange { lower: Some(bound(text, true)?), upper: None });
    }
    let opens_inclusive = text.starts_with('[');
    let closes_inclusive = text.ends_with(']');
    let inner = text[1..].strip_suffix([']', ')']).ok_or("it does not end with `]` or `)`")?;
    let mut parts = inner.split(',');
    match (parts.next().map(str::trim), parts.next().map(str::trim), parts.next()) {
        (Some(only), None, _) if opens_inclusive && closes_inclusive => {
            let exact = bound(only, true)?;
            Ok(VersionRange { lower: Some(exact.clone()), upper: Some(exact) })
        }
        (_, None, _) => Err("a single version stands in `[` and `]`".to_owned()),
        (Some(lower), Some(upper), None) => {
            interval(optional_bound(lower, opens_inclusive)?, optional_bound(upper, closes_inclusive)?)
        }
        _ => Err("it has more than two ends; a range is one interval".to_owned()),
    }
}

fn interval(lower: Option<Bound>, upper: Option<Bound>) -> Result<VersionRange, String> {
    if let (Some(low), Some(high)) = (&lower, &upper) {
        if low.version > high.version {
            return Err(format!("its lower end {} is above its upper end {}", low.version, high.version));
        }
        if low.version == high.version && !(low.inclusive && high.inclusive) {
            return Err("no version lies in it".to_owned());
        }
    }
    Ok(VersionRange { lower, upper })
}

fn optional_bound(text: &str, inclusive: bool) -> Result<Option<Bound>, String> {
    if text.is_empty() { Ok(None) } else { bound(text, inclusive).map(Some) }
}

fn bound(text: &str, inclusive: bool) -> Result<Bound, String> {
    if text.contains('*') {
        return Err("`*` is not known".to_owned());
    }
    let version = Tag::parse(text).map_err(|e| e.to_string())?;
    Ok(Bound { version, inclusive })
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inclusive = |bound: &Option<Bound>| bound.as_ref().is_some_and(|b| b.inclusive);
        f.write_str(if inclusive(&self.lower) { "[" } else { "(" })?;
        if let Some(lower) = &self.lower {
            lower.version.fmt(f)?;
        }
        f.write_str(",")?;
        if let Some(upper) = &self.upper {
            upper.version.fmt(f)?;
        }
        f.write_str(if inclusive(&self.upper) { "]" } else { ")" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &str, inside: &[&str], outside: &[&str]) {
        let parsed = VersionRange::parse(range).unwrap_or_else(|e| panic!("{e}"));
        let contains = |text: &&str| parsed.contains(&Tag::parse(text).unwrap());
        for version in inside {
            assert!(contains(version), "{version} lies in {range}");
        }
        for version in outside {
            assert!(!contains(version), "{version} lies outside {range}");
        }
    }

    #[test]
    fn intervals_contain_what_lies_between_their_ends() {
        check("1.0", &["1.0", "v1.0.0", "1.0.1", "99"], &["1.0-rc1", "0.9"]);
        check("[1.0,2.0)", &["1", "1.9.9", "2.0-beta", "1.5-alpine"], &["2.0", "2", "0.9", "1.0-alpine"]);
        check("(1.0,2.0]", &["1.0.0.1", "2.0"], &["1.0", "2.0.1"]);
        check("[1.2]", &["1.2", "1.2.0.0"], &["1.2.1", "1.1", "1.2-rc"]);
        check("(,2.0]", &["0", "2.0", "1.0-x"], &["2.0.0.1"]);
        check("(1.0,)", &["1.0.1", "100"], &["1.0", "0.9"]);
        check("(,)", &["0", "5"], &[]);
        check(" [ 1.0 , 2.0 ) ", &["1.5"], &["2.0"]);
        check(
            "[2.0.0-alpha.1,2.0.0)",
            &["2.0.0-alpha.1", "2.0.0.beta1", "2.0.0-rc.1"],
            &["2.0.0", "2.0.0-alpha", "1.9.9"],
        );
        check("[1.5,20)", &["19.4-jre"], &["23.4-jre"]);
    }

    #[test]
    fn a_text_that_is_no_interval_is_refused_with_the_reason() {
        for (range, reason) in [
            ("", "it is empty"),
            ("(1.0)", "a single version stands in `[` and `]`"),
            ("[1.0)", "a single version stands in `[` and `]`"),
            ("[1.0,2.0", "does not end with"),
            ("[]", "`` is not a version"),
            ("[1,2],[3,4]", "more than two ends"),
            ("[2.0,1.0]", "its lower end 2.0 is above its upper end 1.0"),
            ("(1.0,1.0]", "no version lies in it"),
            ("1.*", "`*` is not known"),
            ("latest", "does not begin with a number"),
            (">=1.0", "letters, digits"),
        ] {
            let error = VersionRange::parse(range).expect_err(range).to_string();
            assert!(error.contains(reason), "{range}: {error}");
        }
    }

    #[test]
    fn a_range_prints_as_an_interval() {
        for (range, printed) in [("1.0", "[1.0,)"), ("[1.2]", "[1.2,1.2]"), ("(,2.0]", "(,2.0]"), ("(1, 2)", "(1,2)")] {
            assert_eq!(VersionRange::parse(range).unwrap().to_string(), printed);
        }
    }
}
