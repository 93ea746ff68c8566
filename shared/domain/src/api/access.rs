//! Secrets, tokens, webhook tokens, who one is, and the audit.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    event::Actor,
    name::{PersonName, SecretName, TeamName},
};

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretView {
    /// Its name.
    pub name: SecretName,
    /// Its newest version.
    pub version: u32,
    /// When that was set.
    pub set_at: DateTime<Utc>,
}

/// `PUT /api/v1/secrets/{name}`
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// The value.
    pub value: String,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Look.
    Read,
    /// Look, make releases, deploy, vote, cancel.
    Deploy,
    /// All of it, and manifests, secrets and tokens.
    Admin,
}

/// `POST /api/v1/tokens`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Whose.
    pub person: PersonName,
    /// Also make the person a member of this team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamName>,
    /// What it may do.
    #[serde(default = "deploy_right")]
    pub right: Right,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
}

fn deploy_right() -> Right {
    Right::Deploy
}

/// A token, told once.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreatedToken {
    /// What the list has.
    #[serde(flatten)]
    pub view: TokenView,
    /// The token itself; only its hash is kept.
    pub token: String,
}

/// A token, without itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its id, to revoke it by.
    pub id: String,
    /// Whose.
    pub person: PersonName,
    /// What it may do.
    pub right: Right,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
}

/// `POST /api/v1/webhooks/{name}/token`: the URL path with its token, told once; the one before stops working.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreatedWebhookToken {
    /// `/hooks/<source>/<token>`
    pub path: String,
}

/// One entry of the audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: Actor,
    /// Such as `apply`, `release.create`, `deployment.request`, `gate.vote`, `secret.set`, `token.create`.
    pub action: String,
    /// On what.
    pub subject: String,
    /// Details, without secrets.
    pub detail: String,
}

/// `GET /api/v1/whoami`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhoAmI {
    /// The person.
    pub person: PersonName,
    /// What the token may do.
    pub right: Right,
    /// The teams.
    pub teams: Vec<TeamName>,
}
