//! How secrets are spoken of without being said: references, markers inside texts, and the
//! request by which a claim's holder obtains the values.
//!
//! A rendered text that used a secret holds a marker in its place. Only the holder of the claim
//! replaces markers by values, in memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    id::{DeploymentId, TaskKey},
    name::{HolderName, SecretName},
};

const OPEN: &str = "\u{f8f0}secret:";
const CLOSE: char = '\u{f8f1}';

/// A secret at one version. The value is nowhere but in the release service's encrypted store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretRef {
    /// Its name.
    pub name: SecretName,
    /// Its version, from 1.
    pub version: u32,
}

impl SecretRef {
    /// The text that stands for the value until the holder of a claim fills it in.
    pub fn marker(&self) -> String {
        format!("{OPEN}{}@{}{CLOSE}", self.name, self.version)
    }
}

/// Whether a text could be mistaken for one with markers. User input with these is refused.
pub fn has_marker_chars(text: &str) -> bool {
    text.contains(['\u{f8f0}', CLOSE])
}

/// Every secret that the markers of a text stand for.
pub fn referenced(text: &str) -> Vec<SecretRef> {
    split(text).into_iter().filter_map(Result::err).collect()
}

/// Replaces each marker by its value. Errs with the first reference that has no value.
pub fn fill(text: &str, values: &BTreeMap<SecretRef, String>) -> Result<String, SecretRef> {
    split(text)
        .into_iter()
        .map(|part| match part {
            Ok(literal) => Ok(literal),
            Err(reference) => values.get(&reference).map(String::as_str).ok_or(reference),
        })
        .collect()
}

/// The text as literals (`Ok`) and references (`Err`), in order.
fn split(text: &str) -> Vec<Result<&str, SecretRef>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(OPEN) {
        let after = &rest[start + OPEN.len()..];
        let Some(end) = after.find(CLOSE) else { break };
        parts.push(Ok(&rest[..start]));
        let parsed = after[..end].split_once('@').and_then(|(name, version)| {
            Some(SecretRef { name: SecretName::new(name).ok()?, version: version.parse().ok()? })
        });
        match parsed {
            Some(reference) => parts.push(Err(reference)),
            None => parts.push(Ok(&rest[start..start + OPEN.len() + end + CLOSE.len_utf8()])),
        }
        rest = &after[end + CLOSE.len_utf8()..];
    }
    parts.push(Ok(rest));
    parts
}

/// A holder asks for the secrets of a task that it has claimed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretRequest {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The claimed task.
    pub task: TaskKey,
    /// The sequence of the `Claimed` event, which also names the key that the answer is sealed to.
    pub epoch: u64,
    /// Who asks.
    pub holder: HolderName,
    /// What it asks for.
    pub secrets: Vec<SecretRef>,
}

/// The release service's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum SecretAnswer {
    /// JSON list of values in the order asked, sealed (xkeys) to the claim's key, base64.
    Sealed {
        /// The release service's public xkey, which opens the box together with the claim's seed.
        sender: String,
        /// The sealed bytes, base64.
        sealed: String,
    },
    /// Ask again: the fold has not reached the epoch yet.
    Later,
    /// No: the claim, the key or the secret does not fit. Asking again will not help.
    Refused {
        /// Why, without any secret in it.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_filled_and_missing_values_are_named() {
        let a = SecretRef { name: SecretName::new("db").unwrap(), version: 2 };
        let b = SecretRef { name: SecretName::new("hook").unwrap(), version: 1 };
        let text = format!("x{}y{}z", a.marker(), b.marker());
        assert_eq!(referenced(&text), vec![a.clone(), b.clone()]);
        let mut values = BTreeMap::from([(a, "1".to_owned())]);
        assert_eq!(fill(&text, &values), Err(b.clone()));
        values.insert(b, "2".to_owned());
        assert_eq!(fill(&text, &values).unwrap(), "x1y2z");
    }
}
