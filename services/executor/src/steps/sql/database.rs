//! The databases that can be migrated, behind one face.

use std::collections::BTreeMap;

use super::{postgres::Postgres, source::Migration, sqlite::Sqlite};
use crate::task::{Stop, Task, failed, wrong_order};

/// An open database.
pub enum Database {
    /// PostgreSQL
    Postgres(Postgres),
    /// SQLite
    Sqlite(Sqlite),
}

/// Whether a file had to be applied.
pub enum Applied {
    /// It was applied here.
    Now,
    /// It was in the history when its turn came.
    BySomebodyElse,
}

impl Database {
    /// Connects. The URL is in no error.
    pub async fn open(url: &str) -> Result<Self, Stop> {
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => Ok(Self::Postgres(Postgres::open(url).await?)),
            Some("sqlite") => Ok(Self::Sqlite(Sqlite::open(url).await?)),
            _ => Err(wrong_order("the database's address begins with neither postgres:// nor sqlite://")),
        }
    }

    /// Waits until nobody else migrates this project here, and makes the history table.
    pub async fn lock(&mut self, task: &Task<'_>, project: &str) -> Result<(), Stop> {
        match self {
            Self::Postgres(database) => database.lock(task, project).await,
            Self::Sqlite(database) => database.prepare(task).await,
        }
    }

    /// Name and checksum of the files that were applied.
    pub async fn history(&mut self, project: &str) -> Result<BTreeMap<String, String>, Stop> {
        match self {
            Self::Postgres(database) => database.history(project).await,
            Self::Sqlite(database) => database.history(project).await,
        }
        .map_err(|error| failed(format!("reading slipway_migrations: {error}")))
    }

    /// Applies a file and notes it, in one transaction.
    pub async fn apply(&mut self, task: &Task<'_>, project: &str, file: &Migration) -> Result<Applied, Stop> {
        match self {
            Self::Postgres(database) => database.apply(task, project, file).await,
            Self::Sqlite(database) => database.apply(task, project, file).await,
        }
    }
}
