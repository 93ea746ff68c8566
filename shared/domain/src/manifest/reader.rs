//! Reads the texts of a step for its order: renders them, makes numbers of them, and collects what is wrong.

use indexmap::IndexMap;

use super::Scalar;
use crate::secret;

/// What labels of Slipway begin with.
const OWN_LABELS: &str = "slipway.";

/// Makes a template's text.
pub type Render<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// What is wrong so far.
pub struct Reader<'a> {
    render: Render<'a>,
    /// Every mistake, in words.
    pub problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Nothing is wrong yet. A text that `render` errs about without words is taken for unknown.
    pub fn new(render: Render<'a>) -> Self {
        Self { render, problems: Vec::new() }
    }

    /// A text that may be made of secrets.
    pub fn secret(&mut self, key: &str, text: &str) -> Option<String> {
        (self.render)(text).map_err(|problem| self.say(key, &problem)).ok()
    }

    /// A text that is read, or shown by Docker to everybody, so that no secret may be in it.
    pub fn read<T>(&mut self, key: &str, text: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.secret(key, text)?;
        if secret::has_marker_chars(&text) {
            self.say(key, "a secret can not be part of it: Docker and `slipway plan` show it to everybody");
            return None;
        }
        read(&text).map_err(|problem| self.say(key, &problem)).ok()
    }

    /// Notes a mistake; one without words is none.
    pub fn say(&mut self, key: &str, problem: &str) {
        if !problem.is_empty() {
            self.problems.push(format!("`{key}`: {problem}"));
        }
    }

    /// A text that may be written as a number, if it is there.
    pub fn one<T>(&mut self, key: &str, text: &Option<Scalar>, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        text.as_ref().and_then(|text| self.read(key, &text.0, read))
    }

    /// A text, if it is there.
    pub fn text<T>(&mut self, key: &str, text: &Option<String>, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        text.as_ref().and_then(|text| self.read(key, text, read))
    }

    /// Texts.
    pub fn list<T>(&mut self, key: &str, texts: &[String], read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        texts.iter().filter_map(|text| self.read(key, text, &read)).collect()
    }

    /// Texts that may be made of secrets.
    pub fn words(&mut self, key: &str, texts: &[String]) -> Vec<String> {
        texts.iter().filter_map(|text| self.secret(key, text)).collect()
    }

    /// Values that may be made of secrets, by name.
    pub fn values(&mut self, key: &str, texts: &IndexMap<String, Scalar>) -> IndexMap<String, String> {
        texts.iter().filter_map(|(name, text)| Some((name.clone(), self.secret(key, &text.0)?))).collect()
    }

    /// Labels, none of them of those that are Slipway's.
    pub fn labels(&mut self, labels: &IndexMap<String, Scalar>) -> IndexMap<String, String> {
        for name in labels.keys() {
            if name.starts_with(OWN_LABELS) {
                self.say(
                    "labels",
                    &format!("`{name}`: labels that begin with `{OWN_LABELS}` are Slipway's: choose another name"),
                );
            } else if name.is_empty() {
                self.say("labels", "a label has no name");
            }
        }
        self.values("labels", labels)
    }
}

/// A text that says something.
pub fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}
