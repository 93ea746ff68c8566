//! `sql`: brings a database to the newest migration.
//!
//! One transaction per file, a history table with checksums, and a lock of the database itself, so
//! that doing it again, or twice at once, ends the same.

mod database;
mod postgres;
mod scan;
mod source;
mod sqlite;

use std::collections::BTreeMap;

use serde_json::json;
use slipway_domain::order::{Outputs, RunSql};

use self::{
    database::{Applied, Database},
    source::Migration,
};
use crate::task::{Stop, Task, failed};

/// Applies what is not applied.
pub async fn perform(task: &Task<'_>, work: &RunSql) -> Result<Outputs, Stop> {
    if task.doorbell.stop {
        source::clean(task, &work.files).await?;
        return Err(Stop::Cancelled);
    }
    let url = task.held.fill(&work.database)?;
    let files = source::files(task, &work.files).await?;
    files.iter().try_for_each(scan::check)?;
    task.effect("open the database").await?;
    let project = task.order().project.as_str();
    let mut database = task.interruptible(Database::open(&url)).await??;
    database.lock(task, project).await?;
    let history = task.interruptible(database.history(project)).await??;
    let pending = pending(task, files, &history)?;
    let mut applied = Vec::new();
    for file in &pending {
        task.effect(&format!("apply {}", file.name)).await?;
        match database.apply(task, project, file).await? {
            Applied::Now => {
                task.held.say(format!("applied {}", file.name));
                applied.push(file.name.clone());
            }
            Applied::BySomebodyElse => task.held.say(format!("{} was applied meanwhile", file.name)),
        }
    }
    let already = history.len();
    task.held.say(format!("{} applied now, {already} before", applied.len()));
    Ok(Outputs::from([("applied".to_owned(), json!(applied)), ("already".to_owned(), json!(already))]))
}

/// The files that are not in the history. One whose content changed is refused, before anything is applied.
fn pending(task: &Task<'_>, files: Vec<Migration>, history: &BTreeMap<String, String>) -> Result<Vec<Migration>, Stop> {
    for name in history.keys().filter(|name| !files.iter().any(|file| file.name == **name)) {
        task.held.say(format!("{name} was applied once and is not among the files any more"));
    }
    let mut pending = Vec::new();
    for file in files {
        match history.get(&file.name) {
            None => pending.push(file),
            Some(checksum) if *checksum == file.checksum => {}
            Some(checksum) => return Err(changed(&file, checksum)),
        }
    }
    Ok(pending)
}

fn changed(file: &Migration, checksum: &str) -> Stop {
    failed(format!(
        "{} was applied with checksum {checksum} and now has {}; nothing was applied. Restore the file and put the change into a new one",
        file.name, file.checksum
    ))
}
