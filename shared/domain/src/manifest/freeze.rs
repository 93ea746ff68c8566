//! A freeze as people write it.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration::Span,
    name::{EnvironmentName, FreezeName, ProjectName, TeamName},
};

/// When deployments do not start: a span, or a window that comes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Freeze {
    /// Its name.
    pub name: FreezeName,
    /// Where; everywhere if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<EnvironmentName>,
    /// What; everything if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<ProjectName>,
    /// Its times are those in which deployments start, and the others are frozen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow: bool,
    /// The beginning of a span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// The end of a span; no longer part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// When windows begin: minute, hour, day of month, month, day of week, as cron has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How long each window is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// The clock of the schedule, such as `Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Members of these teams may deploy all the same, with a reason; nobody if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignorable_by: Vec<TeamName>,
}

impl Freeze {
    /// Whether it concerns deployments of a project to an environment.
    pub fn is_about(&self, project: &ProjectName, environment: &EnvironmentName) -> bool {
        (self.projects.is_empty() || self.projects.contains(project))
            && (self.environments.is_empty() || self.environments.contains(environment))
    }
}
