//! The version of a release: as asked, as the project's template makes it, or the tag of its first package.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Utc};
use serde_json::{Map, Value, json};
use slipway_domain::{
    api::CreateRelease,
    manifest::Project,
    name::{ChannelName, PackageName},
    release::Package,
    version::Tag,
};
use slipway_engine::template;

use crate::{app::App, problem::Problem};

/// The version; by the template, and so by what is there at the moment, if none is asked for.
pub async fn of(
    app: &App,
    project: &Project,
    channel: &ChannelName,
    body: &CreateRelease,
    packages: &BTreeMap<PackageName, Package>,
) -> Result<String, Problem> {
    let version = match (&body.version, &project.version) {
        (Some(version), _) => version.clone(),
        (None, Some(template)) => {
            let channels = app.store.channels_of(&project.name).await?;
            let of_channel =
                channels.iter().filter(|(_, its)| its.as_ref() == Some(channel)).map(|(version, _)| version);
            let last = of_channel.filter_map(|version| Tag::parse(version).ok()).max();
            rendered(template, &values(channel, packages, last.as_ref(), Utc::now()))?
        }
        (None, None) => first(project, packages)?,
    };
    check(version)
}

fn first(project: &Project, packages: &BTreeMap<PackageName, Package>) -> Result<String, Problem> {
    let first = project.packages.keys().next().and_then(|name| packages.get(name));
    first.map(|package| package.image.tag.clone()).ok_or_else(|| {
        Problem::unprocessable(
            "invalid-version",
            format!("project {} has no packages; say the release's version", project.name),
        )
    })
}

fn rendered(template: &str, values: &Map<String, Value>) -> Result<String, Problem> {
    let rendered = template::render_given(template, values);
    let rendered = rendered.map(|version| version.trim().to_owned());
    rendered.map_err(|reason| {
        Problem::unprocessable(
            "invalid-version",
            format!("the project's `version: {template}` can not be used: {reason}"),
        )
    })
}

/// What a version template may look at.
fn values(
    channel: &ChannelName,
    packages: &BTreeMap<PackageName, Package>,
    last: Option<&Tag>,
    now: DateTime<Utc>,
) -> Map<String, Value> {
    let tags: BTreeMap<&str, &str> =
        packages.iter().map(|(name, package)| (name.as_str(), package.image.tag.as_str())).collect();
    let numbers = last.map_or(["0"; 4], Tag::numbers).map(|digits| digits.parse::<u64>().unwrap_or(u64::MAX));
    let of = |numbers: [u64; 4]| {
        let [major, minor, patch, revision] = numbers;
        json!({ "Major": major, "Minor": minor, "Patch": patch, "Revision": revision })
    };
    let values = json!({
        "Channel": channel,
        "Packages": tags,
        "Last": of(numbers),
        "Next": of(numbers.map(|number| number.saturating_add(1))),
        "Date": { "Year": now.year(), "Month": now.month(), "Day": now.day() },
    });
    match values {
        Value::Object(values) => values,
        _ => Map::new(),
    }
}

fn check(version: String) -> Result<String, Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    if version.is_empty() || version.len() > 128 || !version.chars().all(good) {
        return Err(Problem::unprocessable(
            "invalid-version",
            format!("`{version}` can not be a release's version: use 1 to 128 letters, digits, `.`, `-`, `_`, `+`"),
        ));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(template: &str, last: Option<&str>) -> Result<String, String> {
        let package: Package = serde_json::from_value(json!({
            "image": {"registry": "r", "repository": "w", "tag": "v1.4.2", "digest": format!("sha256:{}", "0".repeat(64))}
        }))
        .unwrap();
        let packages = BTreeMap::from([("web-app".parse().unwrap(), package)]);
        let last = last.map(|tag| Tag::parse(tag).unwrap());
        let noon = "2026-03-09T12:00:00Z".parse().unwrap();
        let values = values(&"beta".parse().unwrap(), &packages, last.as_ref(), noon);
        let made = rendered(template, &values).and_then(check);
        made.map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn a_template_counts_on_from_the_last_release_of_the_channel() {
        let patch = "#{Last.Major}.#{Last.Minor}.#{Next.Patch}";
        assert_eq!(version(patch, None).unwrap(), "0.0.1");
        assert_eq!(version(patch, Some("1.4")).unwrap(), "1.4.1");
        assert_eq!(version(patch, Some("v1.4.9-rc.1")).unwrap(), "1.4.10");
        assert_eq!(version("#{Next.Major}.0.0-#{Channel}", Some("1.4.9")).unwrap(), "2.0.0-beta");
    }

    #[test]
    fn a_template_uses_packages_and_the_day() {
        assert_eq!(version("#{Packages[\"web-app\"]}", None).unwrap(), "v1.4.2");
        assert_eq!(version("#{Date.Year}.#{Date.Month}.#{Next.Patch}", Some("2026.2.7")).unwrap(), "2026.3.8");
    }

    #[test]
    fn what_makes_no_version_says_so() {
        let unknown = version("#{Lst.Major}", None).unwrap_err();
        assert!(unknown.contains("`version: #{Lst.Major}` can not be used: unknown variable `Lst.Major`"), "{unknown}");
        assert!(version("#{Channel}/x", None).unwrap_err().contains("`beta/x` can not be a release's version"));
        let huge = format!("{}.0", "9".repeat(30));
        assert_eq!(version("#{Last.Major}.1", Some(&huge)).unwrap(), format!("{}.1", u64::MAX));
    }
}
