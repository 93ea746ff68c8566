//! Values of a container's options, as they are written.

use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text that may be written as a number or as true or false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// Which variables of the scope a container gets as environment variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PassVariables {
    /// None but those in `env`.
    #[default]
    None,
    /// All that hold no secret.
    Plain,
    /// All.
    WithSecrets,
}

impl PassVariables {
    /// Whether none are passed.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// How it is written with secrets.
const WITH_SECRETS: &str = "with-secrets";

impl Serialize for PassVariables {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_bool(false),
            Self::Plain => serializer.serialize_bool(true),
            Self::WithSecrets => serializer.serialize_str(WITH_SECRETS),
        }
    }
}

impl<'de> Deserialize<'de> for PassVariables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Scalar(word) = Scalar::deserialize(deserializer)?;
        match word.as_str() {
            "false" => Ok(Self::None),
            "true" => Ok(Self::Plain),
            WITH_SECRETS => Ok(Self::WithSecrets),
            _ => Err(de::Error::custom(format!(
                "`pass-variables: {word}` is not known: write true, or {WITH_SECRETS} to pass secrets too"
            ))),
        }
    }
}

impl JsonSchema for PassVariables {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PassVariables".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [true, false, WITH_SECRETS] })
    }
}

/// Networks: their names, or by name how the container is known there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Networks {
    /// Only the names.
    Names(Vec<String>),
    /// With more to say.
    With(IndexMap<String, Option<NetworkOptions>>),
}

/// How a container is known on a network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkOptions {
    /// Names by which other containers there find it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Its address there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
}

/// Something that is mounted: `SOURCE:TARGET[:ro]`, or with more to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Volume {
    /// `SOURCE:TARGET` or `SOURCE:TARGET:ro`; `TARGET` alone is a volume that goes with the container.
    Short(String),
    /// With more to say.
    Long(VolumeOptions),
}

/// Something that is mounted, part by part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VolumeOptions {
    /// An absolute path of the host, or the name of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where the container sees it.
    pub target: String,
    /// Whether it can not be written there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Whether what the image has there is kept out of a new volume.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_copy: bool,
    /// What makes the volume if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// What the driver is told.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub driver_options: IndexMap<String, String>,
}

/// A folder in memory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TmpfsOptions {
    /// How much fits into it; half of the host's memory without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Scalar>,
    /// Who may read, write and search it, in octal, such as `"1777"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Scalar>,
}

/// Where the output of a container goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The engine's driver, such as `json-file`, `local`, `journald` or `syslog`; its default without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// What it is told, such as `max-size: 10m`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub options: IndexMap<String, Scalar>,
}

/// When the engine starts a container again that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Restart {
    /// Never.
    No,
    /// Always, also when somebody had stopped it before the engine itself was started again.
    Always,
    /// Always, unless somebody stopped it.
    #[default]
    UnlessStopped,
    /// After an exit code other than 0, at most so many times if there is a number.
    OnFailure(Option<u32>),
}

impl Restart {
    /// Whether it is what holds when nothing is written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl TryFrom<String> for Restart {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "no" => return Ok(Self::No),
            "always" => return Ok(Self::Always),
            "unless-stopped" => return Ok(Self::UnlessStopped),
            "on-failure" => return Ok(Self::OnFailure(None)),
            _ => {}
        }
        let times = text.strip_prefix("on-failure:").and_then(|times| times.parse().ok()).filter(|times| *times > 0);
        times.map(|times| Self::OnFailure(Some(times))).ok_or_else(|| {
            format!("`restart: {text}` is not known: write no, always, unless-stopped, on-failure or on-failure:5")
        })
    }
}

impl From<Restart> for String {
    fn from(restart: Restart) -> Self {
        restart.to_string()
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure(None) => f.write_str("on-failure"),
            Self::OnFailure(Some(times)) => write!(f, "on-failure:{times}"),
        }
    }
}

impl JsonSchema for Restart {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Restart".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(no|always|unless-stopped|on-failure(:[1-9][0-9]*)?)$" })
    }
}
