//! The list of mutants, `mutants.yml`: each breaks one rule in one place of the source.

use std::path::Path;

use serde::Deserialize;

/// One rule, broken.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mutant {
    pub name: String,
    /// What it breaks.
    pub rule: String,
    /// A source file of this crate.
    pub file: String,
    /// What is there, exactly once.
    pub text: String,
    /// What stands there instead.
    pub becomes: String,
    /// The tests that must go red, each of them.
    #[serde(default)]
    pub killed_by: Vec<String>,
}

impl Mutant {
    /// The broken source; what is wrong with the list if the text is not there exactly once.
    pub fn applied(&self, source: &str) -> Result<String, String> {
        match source.matches(&self.text).count() {
            1 => Ok(source.replacen(&self.text, &self.becomes, 1)),
            n => Err(format!("{}: its text is {n} times in {}: {}", self.name, self.file, self.text)),
        }
    }
}

/// All mutants.
pub fn list(engine: &Path) -> Result<Vec<Mutant>, String> {
    let text = std::fs::read_to_string(engine.join("mutants.yml")).map_err(|e| e.to_string())?;
    serde_saphyr::from_str(&text).map_err(|e| e.to_string())
}
