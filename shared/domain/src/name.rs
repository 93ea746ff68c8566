//! Names that people give to things. A name is a slug, because it becomes part of NATS subjects,
//! container names and URLs.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest name, in bytes. From the limit of a DNS label, which container names also honour.
pub const MAX_LEN: usize = 63;

/// The pseudo-target of steps without `targets:`; served by executors started with `--worker`.
pub const WORKER: &str = "worker";
/// The pseudo-target of notices; served by the notifier.
pub const NOTIFIER: &str = "notifier";
/// The scope of a gate that covers every target of its step.
pub const ALL: &str = "all";

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{value}` is not a {what}: {reason}; use 1 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit"
)]
pub struct InvalidName {
    /// What the name would have named, such as `project name`.
    pub what: &'static str,
    /// The text that was offered.
    pub value: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

fn check(what: &'static str, value: &str) -> Result<(), InvalidName> {
    let reason = if value.is_empty() {
        "it is empty"
    } else if value.len() > MAX_LEN {
        "it is longer than 63 characters"
    } else if !value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        "it contains other characters"
    } else if value.starts_with('-') || value.ends_with('-') {
        "it begins or ends with a dash"
    } else {
        return Ok(());
    };
    Err(InvalidName { what, value: value.to_owned(), reason })
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("pattern" = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
        pub struct $type(String);

        impl $type {
            /// Checks and takes a name.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
                let value = value.into();
                check($what, &value)?;
                Ok(Self(value))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl std::str::FromStr for $type {
            type Err = InvalidName;
            fn from_str(value: &str) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(/// A project: one thing that is deployed.
    ProjectName, "project name");
name!(/// An environment, such as `staging`.
    EnvironmentName, "environment name");
name!(/// A Docker host that is deployed to, or one of the pseudo-targets `worker` and `notifier`.
    TargetName, "target name");
name!(/// What a target is for, such as `web`.
    RoleName, "role name");
name!(/// A step of a project's process.
    StepName, "step name");
name!(/// A group of persons that may decide at gates.
    TeamName, "team name");
name!(/// A person.
    PersonName, "person name");
name!(/// An image registry.
    FeedName, "feed name");
name!(/// A lifecycle.
    LifecycleName, "lifecycle name");
name!(/// A set of variables that projects include.
    VariableSetName, "name of a variable set");
name!(/// A channel of a project.
    ChannelName, "channel name");
name!(/// A package of a project: an image that its steps use.
    PackageName, "package name");
name!(/// A registered sender of registry webhooks.
    WebhookName, "webhook name");
name!(/// A time in which deployments do not start.
    FreezeName, "freeze name");
name!(/// The limits over all deployments; there is one manifest of them.
    LimitsName, "name of limits");
name!(/// A secret.
    SecretName, "secret name");
name!(/// One running executor or notifier; stable over restarts.
    HolderName, "executor name");

impl TargetName {
    /// The pseudo-target of steps that run on no target.
    pub fn worker() -> Self {
        Self(WORKER.to_owned())
    }

    /// The pseudo-target of notices.
    pub fn notifier() -> Self {
        Self(NOTIFIER.to_owned())
    }

    /// Whether this is `worker` or `notifier`, which no Target manifest may be called.
    pub fn is_reserved(&self) -> bool {
        matches!(self.0.as_str(), WORKER | NOTIFIER | ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_slug_of_at_most_63() {
        for good in ["a", "web-01", "0", &"x".repeat(63)] {
            assert!(ProjectName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Web", "a.b", "-a", "a-", "a b", "ä", "*", &"x".repeat(64)] {
            assert!(ProjectName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_invalid_name_is_refused_on_the_wire_and_says_why() {
        let error = serde_json::from_str::<StepName>("\"Sign Off\"").unwrap_err().to_string();
        assert!(error.contains("`Sign Off` is not a step name"), "{error}");
    }
}
