//! `slipway explain`: what a rule makes of an input, without a server.

mod scope;
mod template;

use std::io::Read as _;

use clap::{Args, Subcommand};
use slipway_engine::channel::{Rules, choose};

use super::Shared;
use crate::failure::{Failure, Result};

#[derive(Debug, Subcommand)]
pub enum Explain {
    /// Which of the tags on stdin a channel takes, and which is the newest
    Version(Version),
    /// The text on stdin with its variables replaced
    Template(template::Template),
    /// Which value each variable of a project has at a place, and why
    Scope(scope::Scope),
}

#[derive(Debug, Args)]
pub struct Version {
    /// Version range in interval notation, such as "[1.0,2.0)"
    #[arg(long)]
    range: Option<String>,
    /// Regular expression that the pre-release part must match; ^$ takes only releases without one
    #[arg(long, value_name = "REGEX")]
    prerelease: Option<String>,
}

impl Explain {
    pub fn run(self, shared: &Shared) -> Result<()> {
        match self {
            Self::Version(version) => version.run(shared),
            Self::Template(template) => template.run(),
            Self::Scope(scope) => scope.run(shared),
        }
    }
}

impl Version {
    fn run(self, shared: &Shared) -> Result<()> {
        let rules = Rules::from_texts(self.range.as_deref(), self.prerelease.as_deref()).map_err(Failure::Usage)?;
        let tags = stdin("tags")?;
        let choice = choose(&rules, tags.split_whitespace());
        // JSON is this command's form for people too: it is fixed, so that scripts rely on it.
        shared.output.show(&choice, |_| crate::output::to_json(&choice).map(|json| json + "\n").unwrap_or_default())
    }
}

fn stdin(what: &str) -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Failure::failed(format!("reading {what} from stdin: {e}")))?;
    Ok(text)
}
