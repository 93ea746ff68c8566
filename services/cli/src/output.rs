//! What is printed: data to stdout in the form that was asked for, everything else to stderr.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::{Failure, Result};

/// The form of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// A table with more columns
    Wide,
}

/// Flags that every command has.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// Form of the data; a table without
    #[arg(short = 'o', long = "output", value_enum, global = true, value_name = "FORM")]
    output: Option<Format>,
    /// Print JSON, as -o json
    #[arg(long, global = true, conflicts_with = "output")]
    json: bool,
}

impl OutputArgs {
    /// The form that was asked for; none for a table.
    pub fn format(&self) -> Option<Format> {
        if self.json { Some(Format::Json) } else { self.output }
    }

    /// Whether a program reads the output.
    pub fn is_data(&self) -> bool {
        matches!(self.format(), Some(Format::Json | Format::Yaml))
    }

    /// Prints data in the form that was asked for; `text` makes the form for people, told whether it may be wide.
    pub fn show<T: Serialize>(&self, data: &T, text: impl FnOnce(bool) -> String) -> Result<()> {
        match self.format() {
            Some(Format::Json) => say(&format!("{}\n", to_json(data)?)),
            Some(Format::Yaml) => say(&to_yaml(data)?),
            Some(Format::Wide) => say(&text(true)),
            None => say(&text(false)),
        }
        Ok(())
    }
}

/// Data as JSON with line ends.
pub fn to_json<T: Serialize>(data: &T) -> Result<String> {
    serde_json::to_string_pretty(data).map_err(|e| Failure::failed(format!("the answer can not be shown as JSON: {e}")))
}

/// Data as YAML, ending in a line end.
pub fn to_yaml<T: Serialize>(data: &T) -> Result<String> {
    let mut text = serde_saphyr::to_string(data)
        .map_err(|e| Failure::failed(format!("the answer can not be shown as YAML: {e}")))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Writes to stdout. A reader that went away (such as `head`) ends the program quietly.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes to stderr. When even that does not work there is nobody left to tell.
pub fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Rows under headings, in columns as wide as they need. Ends in a line end; says so if there are no rows.
pub fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return "nothing to show\n".to_owned();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|h| h.to_uppercase()));
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_headings_and_no_frame() {
        let rows = vec![vec!["shop".to_owned(), "1.0".to_owned()], vec!["b".to_owned(), "10.25".to_owned()]];
        assert_eq!(table(&["project", "version"], rows), "PROJECT  VERSION\nshop     1.0\nb        10.25\n");
        assert_eq!(table(&["project"], Vec::new()), "nothing to show\n");
    }
}
