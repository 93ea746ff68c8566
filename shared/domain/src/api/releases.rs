//! Releases.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{
    event::Actor,
    image::ImageRef,
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
}
