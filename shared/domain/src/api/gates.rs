//! Gates and votes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    event::Verdict,
    name::{PersonName, TargetName, TeamName},
};

/// One gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateView {
    /// Whose votes count; anyone's if empty.
    pub teams: Vec<TeamName>,
    /// How many approvals it takes.
    pub votes_needed: u32,
    /// What to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// The sequence of `Opened`, while or after it was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<u64>,
    /// When it counts as rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
    /// The votes that count.
    pub votes: Vec<VoteView>,
    /// The result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Verdict>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VoteView {
    /// Who.
    pub person: PersonName,
    /// What.
    pub verdict: Verdict,
    /// In their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// `POST /api/v1/deployments/{id}/gates/{step}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CastVote {
    /// Yes or no.
    pub verdict: Verdict,
    /// In your words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The digest of the plan that you looked at; the current one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The digest of what you know not to be as it was deployed, as the refusal `drift` told it. An approval of
    /// who does not know it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<String>,
    /// The target whose failed task is meant; none at an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
}
