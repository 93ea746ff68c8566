//! Channels: which tags a project's releases may take. The rules are asked when a release is made
//! and never again.

use fancy_regex::{Regex, RegexBuilder};
use serde::Serialize;
use slipway_domain::{
    manifest::{Channel, Project},
    name::ChannelName,
    text::did_you_mean,
    version::Tag,
};

use crate::version_range::VersionRange;

/// The channel of a project that names none.
pub const DEFAULT: &str = "default";

/// Steps that one match of a pattern may take; a tag has 128 characters, so honest patterns need far fewer.
const BACKTRACK_LIMIT: usize = 20_000;

/// The rules of one channel, ready to be asked.
#[derive(Debug, Clone)]
pub struct Rules {
    range: Option<VersionRange>,
    prerelease: Option<Regex>,
}

impl Rules {
    /// Reads the rules of a channel. Errs with what is wrong and with which key.
    pub fn parse(channel: &Channel) -> Result<Self, String> {
        Self::from_texts(channel.versions.as_deref(), channel.prerelease.as_deref())
            .map_err(|e| format!("channel `{}`: {e}", channel.name))
    }

    /// Rules from a version range and a pattern for the pre-release; without either, every version is taken.
    pub fn from_texts(range: Option<&str>, prerelease: Option<&str>) -> Result<Self, String> {
        let range = range.map(VersionRange::parse).transpose().map_err(|e| format!("versions: {e}"))?;
        let prerelease = prerelease.map(pattern).transpose().map_err(|e| format!("prerelease: {e}"))?;
        Ok(Self { range, prerelease })
    }

    /// The tag as a version if the channel takes it, else why not.
    pub fn check(&self, tag: &str) -> Result<Tag, String> {
        let version = Tag::parse(tag).map_err(|e| e.to_string())?;
        if let Some(range) = &self.range
            && !range.contains(&version)
        {
            return Err(format!("{tag} is not in the range {range}"));
        }
        if let Some(pattern) = &self.prerelease {
            self::matches(pattern, version.prerelease())?;
        }
        Ok(version)
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .backtrack_limit(BACKTRACK_LIMIT)
        .build()
        .map_err(|e| format!("`{text}` is not a regular expression: {e}"))
}

fn matches(pattern: &Regex, prerelease: &str) -> Result<(), String> {
    let what = if prerelease.is_empty() {
        "having no pre-release".to_owned()
    } else {
        format!("the pre-release `{prerelease}`")
    };
    match pattern.is_match(prerelease) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{what} does not match {}", pattern.as_str())),
        Err(_) => Err(format!(
            "{} takes too many steps to match against {what}; write a simpler expression",
            pattern.as_str()
        )),
    }
}

/// What a channel makes of a list of tags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Choice {
    /// The newest accepted tag.
    pub chosen: Option<String>,
    /// The tags that the channel takes, newest first.
    pub accepted: Vec<String>,
    /// The others, in the order given.
    pub rejected: Vec<Rejected>,
}

/// A tag that a channel does not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The tag.
    pub tag: String,
    /// Why.
    pub reason: String,
}

/// Sorts tags into what the channel takes and what not. Of tags with equal versions the longer one
/// counts as newer: `1.25.0` says more than the moving `1.25`.
pub fn choose<T: AsRef<str>>(rules: &Rules, tags: impl IntoIterator<Item = T>) -> Choice {
    let mut versions = Vec::new();
    let mut rejected = Vec::new();
    for tag in tags {
        let tag = tag.as_ref();
        match rules.check(tag) {
            Ok(version) => versions.push(version),
            Err(reason) => rejected.push(Rejected { tag: tag.to_owned(), reason }),
        }
    }
    versions.sort_by(|a, b| {
        b.cmp(a).then_with(|| b.as_str().len().cmp(&a.as_str().len())).then_with(|| b.as_str().cmp(a.as_str()))
    });
    let mut accepted: Vec<String> = versions.into_iter().map(String::from).collect();
    accepted.dedup();
    Choice { chosen: accepted.first().cloned(), accepted, rejected }
}

/// The project's channel of that name; its first without a name; one called `default` that takes
/// every version if the project has none.
pub fn find(project: &Project, name: Option<&ChannelName>) -> Result<Channel, String> {
    let implied = Channel {
        name: ChannelName::new(DEFAULT).expect("invariant: `default` is a name"),
        versions: None,
        prerelease: None,
        lifecycle: None,
    };
    let channels = if project.channels.is_empty() { std::slice::from_ref(&implied) } else { &project.channels };
    let Some(name) = name else { return Ok(channels[0].clone()) };
    channels.iter().find(|c| c.name == *name).cloned().ok_or_else(|| {
        let known: Vec<_> = channels.iter().map(|c| c.name.as_str()).collect();
        format!(
            "project {} has no channel `{name}`{}; it has {}",
            project.name,
            did_you_mean(name.as_str(), known.iter().copied()),
            known.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(range: Option<&str>, prerelease: Option<&str>) -> Rules {
        Rules::from_texts(range, prerelease).unwrap()
    }

    #[test]
    fn the_newest_version_that_the_rules_take_is_chosen() {
        let choice = choose(
            &rules(Some("[1.0,2.0)"), Some("^$")),
            ["latest", "1.9", "1.10.0", "1.10", "2.0", "1.11-rc1", "0.9", "1.9"],
        );
        assert_eq!(choice.chosen.as_deref(), Some("1.10.0"));
        assert_eq!(choice.accepted, ["1.10.0", "1.10", "1.9"]);
        let rejected: Vec<_> = choice.rejected.iter().map(|r| r.tag.as_str()).collect();
        assert_eq!(rejected, ["latest", "2.0", "1.11-rc1", "0.9"]);
    }

    #[test]
    fn a_refused_tag_says_which_rule_it_breaks() {
        let rules = rules(Some("[1.0,2.0)"), Some("^rc"));
        for (tag, reason) in [
            ("latest", "`latest` is not a version: it does not begin with a number"),
            ("3.0", "3.0 is not in the range [1.0,2.0)"),
            ("1.5", "having no pre-release does not match ^rc"),
            ("1.5-beta", "the pre-release `beta` does not match ^rc"),
        ] {
            assert_eq!(rules.check(tag).unwrap_err(), reason);
        }
    }

    #[test]
    fn patterns_know_look_around() {
        for (pattern, taken, refused) in [
            ("^(?!beta).+", ["1.0-alpha", "1.0-mybeta"], ["1.0-beta2", "1.0"]),
            ("^$", ["1.0", "v2"], ["1.0-x", "1.0rc1"]),
            ("beta", ["1.0-beta", "1.0-mybeta"], ["1.0-alpha", "1.0"]),
            ("^alpine(?=3)", ["1.0-alpine3.19", "1-alpine3"], ["1.0-alpine", "1.0"]),
        ] {
            let rules = rules(None, Some(pattern));
            for tag in taken {
                assert!(rules.check(tag).is_ok(), "{pattern} takes {tag}");
            }
            for tag in refused {
                assert!(rules.check(tag).is_err(), "{pattern} refuses {tag}");
            }
        }
    }

    #[test]
    fn a_pattern_that_explodes_is_a_refusal_and_not_a_hang() {
        let rules = rules(None, Some("^(?:(?=a)a|(?=a)aa)+$"));
        let reason = rules.check(&format!("1.0-{}-x", "a".repeat(100))).unwrap_err();
        assert!(reason.contains("too many steps"), "{reason}");
    }

    #[test]
    fn bad_rules_name_the_channel_and_the_key() {
        let channel = |versions: Option<&str>, prerelease: Option<&str>| Channel {
            name: ChannelName::new("stable").unwrap(),
            versions: versions.map(str::to_owned),
            prerelease: prerelease.map(str::to_owned),
            lifecycle: None,
        };
        let error = Rules::parse(&channel(Some("[1.0"), None)).unwrap_err();
        assert!(error.starts_with("channel `stable`: versions: `[1.0` is not a version range"), "{error}");
        let error = Rules::parse(&channel(None, Some("("))).unwrap_err();
        assert!(error.starts_with("channel `stable`: prerelease: `(` is not a regular expression"), "{error}");
    }

    #[test]
    fn a_project_without_channels_has_the_default_one() {
        let project: Project =
            serde_json::from_str(r#"{"name": "shop", "lifecycle": "standard", "steps": []}"#).unwrap();
        assert_eq!(find(&project, None).unwrap().name.as_str(), DEFAULT);
        let unknown = ChannelName::new("defualt").unwrap();
        let error = find(&project, Some(&unknown)).unwrap_err();
        assert_eq!(error, "project shop has no channel `defualt` (did you mean `default`?); it has default");
    }
}
