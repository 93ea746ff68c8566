//! `slipway explain template`: a text as a step would have it.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};
use slipway_engine::template;

use super::stdin;
use crate::{
    failure::{Failure, Result},
    output,
};

#[derive(Debug, Args)]
pub struct Template {
    /// JSON file with the variables: an object of names and values; a text may use other variables in turn
    #[arg(long, value_name = "FILE")]
    variables: PathBuf,
}

impl Template {
    pub fn run(self) -> Result<()> {
        let file = self.variables.display();
        let json = std::fs::read_to_string(&self.variables).map_err(|e| Failure::Usage(format!("{file}: {e}")))?;
        let variables: Map<String, Value> = serde_json::from_str(&json)
            .map_err(|e| Failure::Usage(format!("{file} is not a JSON object of variables: {e}")))?;
        let rendered = template::render_given(&stdin("the text")?, &variables).map_err(Failure::failed)?;
        output::say(&rendered);
        Ok(())
    }
}
