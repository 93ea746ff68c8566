//! Variables, where they hold, and sets of them that several projects include.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{ChannelName, EnvironmentName, RoleName, SecretName, StepName, TargetName, VariableSetName};

/// Variables that projects include. Their scopes name no steps and channels: those are a project's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariableSet {
    /// Its name.
    pub name: VariableSetName,
    /// The variables.
    #[serde(default)]
    pub variables: Vec<Variable>,
}

/// A value, or a secret, under a name, where the scope fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name; names that differ only in case are the same.
    pub name: String,
    /// The value; may use other variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The secret that holds the value, instead of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// Where it holds; everywhere without.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// Whoever asks for a deployment may give the value; `value` is what holds otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
}

/// What is said about a value that is given when a deployment is asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// For people, instead of the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What the value is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Without a value nothing is deployed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// Where a variable holds. All that is said must fit; of several values of one dimension one must.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// In these environments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<OneOrMany<EnvironmentName>>,
    /// On these targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<OneOrMany<TargetName>>,
    /// On targets of these roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<OneOrMany<RoleName>>,
    /// In these steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<OneOrMany<StepName>>,
    /// In releases of these channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<OneOrMany<ChannelName>>,
}

impl Scope {
    /// Whether it holds everywhere.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `x` or `[x, y]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T: PartialEq> OneOrMany<T> {
    /// Whether `x` is among them.
    pub fn contains(&self, x: &T) -> bool {
        self.as_slice().contains(x)
    }

    /// All of them.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}
