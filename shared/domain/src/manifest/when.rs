//! Whether a step runs: `when`.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::IntoDeserializer as _};

use crate::name::{ChannelName, EnvironmentName};

/// Whether a step runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "WhenFields")]
pub struct When {
    /// Only in these environments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environments: Option<Vec<EnvironmentName>>,
    /// Only for releases of these channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<ChannelName>>,
    /// Depending on what came before.
    pub result: ResultCondition,
    /// And only where this template comes out true: asked per target when it is the step's turn.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// The form in which it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhenFields {
    #[serde(default)]
    environments: Option<Vec<EnvironmentName>>,
    #[serde(default)]
    channels: Option<Vec<ChannelName>>,
    #[serde(default)]
    #[schemars(with = "String")]
    result: WrittenResult,
    #[serde(default, rename = "if")]
    condition: Option<String>,
}

/// `result` as it is written: a word, or a condition in its place.
#[derive(Default)]
enum WrittenResult {
    #[default]
    Default,
    Word(ResultCondition),
    Expression(String),
}

impl<'de> Deserialize<'de> for WrittenResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.contains("#{") {
            return Ok(Self::Expression(text));
        }
        ResultCondition::deserialize(text.into_deserializer()).map(Self::Word)
    }
}

impl TryFrom<WhenFields> for When {
    type Error = String;

    fn try_from(fields: WhenFields) -> Result<Self, String> {
        let WhenFields { environments, channels, result, condition } = fields;
        let (result, condition) = match (result, condition) {
            (WrittenResult::Default, condition) => (ResultCondition::default(), condition),
            (WrittenResult::Word(word), condition) => (word, condition),
            (WrittenResult::Expression(text), None) => (ResultCondition::default(), Some(text)),
            (WrittenResult::Expression(_), Some(_)) => {
                return Err("`when` has a condition both in `result` and in `if`: keep the one in `if`".to_owned());
            }
        };
        Ok(Self { environments, channels, result, condition })
    }
}

impl When {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Looks at `needs`, transitively; without `needs`, at the deployment so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResultCondition {
    /// Nothing failed.
    #[default]
    Success,
    /// Something failed.
    Failure,
    /// Whatever happened, also after a cancel.
    Always,
}
