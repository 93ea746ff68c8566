//! `slipway release`: make, list, show, block and unblock releases.

use std::{collections::BTreeMap, path::PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use slipway_domain::{
    api::{CreateRelease, Keep, ReleaseView, SayWhy, TagState},
    name::{ChannelName, PackageName, ProjectName},
};

use super::Shared;
use crate::{
    client::segment,
    failure::{Failure, Result},
    output, times,
};

#[derive(Debug, Subcommand)]
pub enum Release {
    /// Make a release; each tag is resolved to its digest at the registry
    Create(Create),
    /// List a project's releases, newest first
    List {
        /// Project
        project: ProjectName,
    },
    /// Show which releases are kept, and why; the others go in the next round of retention
    Retention {
        /// Project
        project: ProjectName,
    },
    /// Keep a release from phases of its lifecycle that it was not in
    Block(Say),
    /// Let a blocked release go on
    Unblock(Say),
    /// Show a release
    Show {
        /// Project
        project: ProjectName,
        /// Version
        version: String,
    },
}

#[derive(Debug, Args)]
pub struct Say {
    /// Project
    project: ProjectName,
    /// Version
    version: String,
    /// Why, for the others
    #[arg(long)]
    reason: String,
}

impl Say {
    async fn run(self, shared: &Shared, what: &str) -> Result<()> {
        let path = format!("{}/{}/{what}", path(&self.project), segment(&self.version));
        let release: ReleaseView = shared.client()?.post(&path, &SayWhy { reason: self.reason }).await?;
        shared.output.show(&release, |_| details(&release, times::now()))
    }
}

#[derive(Debug, Args)]
pub struct Create {
    /// Project
    project: ProjectName,
    /// Tag of a package, such as web=1.2.0; the newest that the channel takes without. May be repeated
    #[arg(long = "package", value_name = "PACKAGE=TAG", value_parser = package_tag)]
    packages: Vec<(PackageName, String)>,
    /// Channel; the project's first without
    #[arg(long)]
    channel: Option<ChannelName>,
    /// Version of the release; the tag of the first package without
    #[arg(long)]
    version: Option<String>,
    /// What is new in it, for people
    #[arg(long, conflicts_with = "notes_file")]
    notes: Option<String>,
    /// The same from a file
    #[arg(long, value_name = "FILE")]
    notes_file: Option<PathBuf>,
}

impl Create {
    fn notes(&self) -> Result<Option<String>> {
        let Some(file) = &self.notes_file else { return Ok(self.notes.clone()) };
        let text = std::fs::read_to_string(file).map_err(|e| Failure::failed(format!("{}: {e}", file.display())))?;
        Ok(Some(text))
    }
}

fn retention(decisions: &[Keep]) -> String {
    let row = |keep: &Keep| {
        vec![keep.version.clone(), if keep.kept { "stays" } else { "goes" }.to_owned(), keep.reason.clone()]
    };
    output::table(&["version", "", "why"], decisions.iter().map(row).collect())
}

fn package_tag(text: &str) -> std::result::Result<(PackageName, String), String> {
    let (package, tag) = text.split_once('=').ok_or("write it as PACKAGE=TAG, such as web=1.2.0")?;
    Ok((PackageName::new(package).map_err(|e| e.to_string())?, tag.to_owned()))
}

impl Release {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let client = shared.client()?;
        match self {
            Self::Create(create) => {
                let body = CreateRelease {
                    notes: create.notes()?,
                    packages: create.packages.into_iter().collect::<BTreeMap<_, _>>(),
                    channel: create.channel,
                    version: create.version,
                };
                let made: ReleaseView = client.post(&path(&create.project), &body).await?;
                shared.output.show(&made, |_| details(&made, times::now()))
            }
            Self::Retention { project } => {
                let decisions: Vec<Keep> = client.get(&format!("/api/v1/projects/{project}/retention")).await?;
                shared.output.show(&decisions, |_| retention(&decisions))
            }
            Self::Block(say) => say.run(shared, "block").await,
            Self::Unblock(say) => say.run(shared, "unblock").await,
            Self::List { project } => {
                let releases: Vec<ReleaseView> = client.get(&path(&project)).await?;
                shared.output.show(&releases, |wide| list(&releases, wide, times::now()))
            }
            Self::Show { project, version } => {
                let path = format!("{}/{}?tags=true", path(&project), segment(&version));
                let release: ReleaseView = client.get(&path).await?;
                shared.output.show(&release, |_| details(&release, times::now()))
            }
        }
    }
}

/// Where a project's releases are.
pub fn path(project: &ProjectName) -> String {
    format!("/api/v1/projects/{project}/releases")
}

fn list(releases: &[ReleaseView], wide: bool, now: DateTime<Utc>) -> String {
    let mut headings = vec!["version", "channel", "packages", "made", "by"];
    if wide {
        headings.push("digests");
    }
    let row = |r: &ReleaseView| {
        let packages: Vec<String> = r.packages.iter().map(|(name, image)| format!("{name}={}", image.tag)).collect();
        let made = if wide { times::exact(r.created_at) } else { times::ago(r.created_at, now) };
        let mut row = vec![version(r), r.channel.to_string(), packages.join(", "), made, r.created_by.to_string()];
        if wide {
            let digests: Vec<String> = r.packages.values().map(|image| image.digest.to_string()).collect();
            row.push(digests.join(", "));
        }
        row
    };
    output::table(&headings, releases.iter().map(row).collect())
}

/// The version, with a mark if it is blocked.
fn version(r: &ReleaseView) -> String {
    if r.blocked.is_some() { format!("{} (blocked)", r.version) } else { r.version.clone() }
}

fn details(r: &ReleaseView, now: DateTime<Utc>) -> String {
    let mut text = format!(
        "{} {}\n  channel  {}\n  made     {} by {}\n",
        r.project,
        r.version,
        r.channel,
        times::ago(r.created_at, now),
        r.created_by
    );
    if let Some(block) = &r.blocked {
        text.push_str(&format!("  blocked  {} by {}: {}\n", times::ago(block.at, now), block.by, block.reason));
    }
    for (name, image) in &r.packages {
        text.push_str(&format!("  package  {name}  {image}\n"));
        if let Some(platforms) = r.platforms.get(name).filter(|platforms| !platforms.is_empty()) {
            text.push_str(&format!("           for {}\n", platforms.join(", ")));
        }
    }
    for tag in &r.tags {
        let told = match &tag.state {
            TagState::Same => continue,
            TagState::Moved { digest } => format!("was moved and is {digest} now; the release keeps its image"),
            TagState::Gone => {
                "is not in the registry any more; hosts that do not have the image may not get it".to_owned()
            }
            TagState::Unknown { reason } => format!("may have been moved: {reason}"),
        };
        text.push_str(&format!("  tag      {} of {} {told}\n", tag.tag, tag.package));
    }
    if let Some(notes) = &r.notes {
        text.push_str("  notes\n");
        notes.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_listed_with_their_tags() {
        let release: ReleaseView = serde_json::from_value(serde_json::json!({
            "project": "shop", "version": "1.1.0", "channel": "stable",
            "packages": {"web": {"registry": "r:5000", "repository": "shop/web", "tag": "1.1.0",
                                 "digest": format!("sha256:{}", "ab".repeat(32))}},
            "created_at": "2026-11-21T11:50:00Z", "created_by": {"kind": "trigger", "name": "push"}
        }))
        .unwrap();
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(
            list(std::slice::from_ref(&release), false, now),
            "VERSION  CHANNEL  PACKAGES   MADE     BY\n1.1.0    stable   web=1.1.0  10m ago  trigger push\n"
        );
        assert!(details(&release, now).contains("package  web  r:5000/shop/web:1.1.0@sha256:abab"));
    }

    #[test]
    fn a_package_is_given_with_its_tag() {
        assert_eq!(package_tag("web=1.2.0").unwrap().1, "1.2.0");
        assert!(package_tag("web").is_err() && package_tag("We b=1").is_err());
    }
}
