//! Teams: persons, and who they are in chat.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{PersonName, TeamName};

/// Persons that may decide at gates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// Its name.
    pub name: TeamName,
    /// Its members.
    #[serde(default)]
    pub members: Vec<Member>,
}

/// `ana` or `{name: ana, slack: U012AB3CD}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Member {
    /// A person.
    Person(PersonName),
    /// A person with chat identities.
    With(MemberIdentities),
}

/// A person and who they are in chat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberIdentities {
    /// The person.
    pub name: PersonName,
    /// Slack user id, such as `U012AB3CD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<String>,
}

impl Member {
    /// The person.
    pub fn person(&self) -> &PersonName {
        match self {
            Self::Person(name) => name,
            Self::With(with) => &with.name,
        }
    }

    /// The person's Slack user id.
    pub fn slack(&self) -> Option<&str> {
        match self {
            Self::Person(_) => None,
            Self::With(with) => with.slack.as_deref(),
        }
    }
}
