//! How a step goes over its targets: window, canary, and what a failure or a rejection leads to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Approval;
use crate::duration::Span;

/// How a step goes over its targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rolling {
    /// How many targets may be in progress; the window slides.
    pub window: u32,
    /// How many targets may fail before no further one starts.
    #[serde(default)]
    pub max_failures: u32,
    /// How many targets go first; the others start when all of these have succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// What lies between the canary and the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
    /// How long after the end of one target the next one starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Span>,
    /// How long after the first target's start, or after people said yes to the canary, targets may still start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// What becomes of the targets that have the new container when too many others failed.
    #[serde(default, skip_serializing_if = "OnFailure::is_stop")]
    pub on_failure: OnFailure,
}

/// A number of targets: `1`, or `20%`, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
pub enum Canary {
    /// So many.
    Count(u32),
    /// So many of a hundred.
    Percent(u32),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Written {
    Number(u32),
    Text(String),
}

impl TryFrom<Written> for Canary {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let bad = |text: &str| format!("`{text}` is no number of targets: write 1 or more, or 1% to 100%");
        match written {
            Written::Number(0) => Err(bad("0")),
            Written::Number(count) => Ok(Self::Count(count)),
            Written::Text(text) => match text.strip_suffix('%').map(|number| number.trim().parse()) {
                Some(Ok(percent @ 1..=100)) => Ok(Self::Percent(percent)),
                _ => Err(bad(&text)),
            },
        }
    }
}

impl From<Canary> for Written {
    fn from(canary: Canary) -> Self {
        match canary {
            Canary::Count(count) => Self::Number(count),
            Canary::Percent(percent) => Self::Text(format!("{percent}%")),
        }
    }
}

impl Canary {
    /// How many of so many targets.
    pub fn of(self, targets: usize) -> usize {
        match self {
            Self::Count(count) => targets.min(count as usize),
            Self::Percent(percent) => (targets * percent as usize).div_ceil(100),
        }
    }
}

/// What lies between the canary and the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Then {
    /// People look; a rejection brings the canary's old containers back.
    pub approval: Approval,
}

/// What becomes of the targets that have the new container when too many others failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// They keep it.
    #[default]
    Stop,
    /// Their old containers come back.
    Restore,
}

impl OnFailure {
    /// Whether it is the default.
    pub fn is_stop(&self) -> bool {
        *self == Self::Stop
    }
}

impl Rolling {
    /// How many of so many targets go first; 0 if there is nothing for the others to wait for.
    pub fn canaries(&self, targets: usize) -> usize {
        self.canary.map(|canary| canary.of(targets)).filter(|first| *first < targets).unwrap_or(0)
    }

    /// The approval between the canary and the others, where there are others.
    pub fn look(&self, targets: usize) -> Option<&Approval> {
        self.then.as_ref().filter(|_| self.canaries(targets) > 0).map(|then| &then.approval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_a_number_of_targets_or_a_part_of_them() {
        let read = |text: &str| serde_json::from_str::<Canary>(text).map_err(|e| e.to_string());
        for (text, targets, first) in
            [("1", 4, 1), ("9", 4, 4), (r#""25%""#, 4, 1), (r#""20%""#, 11, 3), (r#""1%""#, 3, 1), (r#""100%""#, 3, 3)]
        {
            let canary = read(text).unwrap();
            assert_eq!(canary.of(targets), first, "{text} of {targets}");
            assert_eq!(serde_json::to_string(&canary).unwrap(), text);
        }
        for text in ["0", r#""0%""#, r#""101%""#, r#""many""#, r#""1""#] {
            assert!(read(text).unwrap_err().contains("is no number of targets"), "{text}");
        }
    }
}
