//! Files that are put into containers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file: its text, or the text with a mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum File {
    /// The text.
    Text(String),
    /// With a mode.
    With(FileOptions),
}

/// A file with more to say about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOptions {
    /// The text.
    pub text: String,
    /// Who may read, write and execute it, in octal, such as `"0440"`.
    pub mode: String,
}

impl File {
    /// Mode of a file that says none: everybody reads it.
    pub const MODE: u32 = 0o444;

    /// The text.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::With(options) => &options.text,
        }
    }

    /// The mode; none if what is written is none.
    pub fn mode(&self) -> Option<u32> {
        match self {
            Self::Text(_) => Some(Self::MODE),
            Self::With(options) => u32::from_str_radix(&options.mode, 8).ok().filter(|mode| *mode <= 0o777),
        }
    }
}
