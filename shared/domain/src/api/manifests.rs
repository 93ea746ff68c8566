//! Applying manifests.

use serde::{Deserialize, Serialize};

use crate::manifest::Kind;

/// `POST /api/v1/apply`: several manifests at once, all or nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// The manifests, as JSON of [`crate::manifest::Manifest`].
    pub manifests: Vec<serde_json::Value>,
    /// Only tell the difference.
    #[serde(default)]
    pub dry_run: bool,
    /// Remove every manifest that is not among them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prune: bool,
}

/// The answer to [`ApplyRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplyAnswer {
    /// One per manifest.
    pub changes: Vec<Change>,
    /// Whether it was only a look.
    pub dry_run: bool,
}

/// What applying does to one manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What happens.
    pub action: ChangeAction,
    /// The keys that differ, such as `steps.web.docker-run.env.GREETING: "a" -> "b"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

/// What applying does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeAction {
    /// It is new.
    Create,
    /// It differs.
    Update,
    /// It is the same.
    Unchanged,
    /// It goes.
    Remove,
}
