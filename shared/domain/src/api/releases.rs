//! Releases.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{
    event::Actor,
    image::{Digest, ImageRef},
    name::{ChannelName, PackageName, ProjectName},
};

/// `POST /api/v1/projects/{project}/releases`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRelease {
    /// Tags by package; the newest that the channel takes, for those not named.
    #[serde(default)]
    pub packages: BTreeMap<PackageName, String>,
    /// The channel; the project's first without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
    /// The release's version; the tag of the first package without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What is new in it, for people; at most 20,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// `POST /api/v1/projects/{project}/releases/{version}/block` and `…/unblock`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SayWhy {
    /// Why; kept in the audit.
    pub reason: String,
}

/// A blocked release gets to no phase that it was not in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseBlock {
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: Actor,
    /// When.
    pub at: DateTime<Utc>,
}

/// `GET /api/v1/projects/{project}/candidates/{environment}`: what may be deployed there next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidates {
    /// The release that is there: the one of the newest successful deployment.
    pub current: Option<String>,
    /// The newest release that may go there and is newer than what is there.
    pub promote: Option<String>,
    /// Why there is none to promote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// What was there before the release that is there now.
    pub rollback: Option<String>,
}

/// A release as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Its project.
    pub project: ProjectName,
    /// Its version.
    pub version: String,
    /// Its channel.
    pub channel: ChannelName,
    /// Its images.
    pub packages: BTreeMap<PackageName, ImageRef>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who or what made it.
    pub created_by: Actor,
    /// What is new in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Why it goes no further, if it is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<ReleaseBlock>,
    /// What its images run on, by package; empty where nobody knows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<PackageName, Vec<String>>,
    /// What its tags mean by now, if that was asked (`?tags=true`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<TagNow>,
}

/// Of `GET /api/v1/projects/{project}/retention`: whether a release is kept, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Its version.
    pub version: String,
    /// Whether it stays.
    pub kept: bool,
    /// Why, for people.
    pub reason: String,
}

/// What a tag of a release means by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagNow {
    /// The package.
    pub package: PackageName,
    /// The tag by which its image was found.
    pub tag: String,
    /// What the registry says now.
    #[serde(flatten)]
    pub state: TagState,
}

/// What a registry says of a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum TagState {
    /// It is the release's image.
    Same,
    /// It is another image. The release keeps its own.
    Moved {
        /// The other one.
        digest: Digest,
    },
    /// There is no such tag any more.
    Gone,
    /// Nobody knows.
    Unknown {
        /// Why.
        reason: String,
    },
}
