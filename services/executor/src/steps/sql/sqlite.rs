//! Migrations of SQLite: the write lock of the file itself, taken anew for each migration, which is
//! looked up again once it is held.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use slipway_service::failpoint;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteError},
};

use super::{changed, database::Applied, source::Migration};
use crate::task::{Stop, Task, failed, wrong_order};

/// How long SQLite itself waits for the lock; between two such waits a cancel is honoured.
const BUSY: Duration = Duration::from_secs(1);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS slipway_migrations (
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    deployment TEXT NOT NULL,
    PRIMARY KEY (project, name)
)";

/// An open database.
pub struct Sqlite {
    connection: SqliteConnection,
}

impl Sqlite {
    /// Opens the file, and makes it if it is not there.
    pub async fn open(url: &str) -> Result<Self, Stop> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| wrong_order("the database's address is not of the form sqlite:///path/to/file"))?
            .create_if_missing(true)
            .busy_timeout(BUSY)
            .disable_statement_logging();
        let connection = options.connect().await.map_err(|error| {
            failed(format!(
                "opening the database file: {error}; its folder must exist and be writable for the executor"
            ))
        })?;
        Ok(Self { connection })
    }

    pub async fn prepare(&mut self, task: &Task<'_>) -> Result<(), Stop> {
        loop {
            let made = sqlx::raw_sql(TABLE).execute(&mut self.connection);
            match task.interruptible(made).await? {
                Ok(_) => return Ok(()),
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(failed(format!("making the table slipway_migrations: {error}"))),
            }
        }
    }

    pub async fn history(&mut self, project: &str) -> sqlx::Result<BTreeMap<String, String>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, checksum FROM slipway_migrations WHERE project = ?1")
                .bind(project)
                .fetch_all(&mut self.connection)
                .await?;
        Ok(rows.into_iter().collect())
    }

    pub async fn apply(&mut self, task: &Task<'_>, project: &str, file: &Migration) -> Result<Applied, Stop> {
        let deployment = task.held.deployment().to_string();
        let mut said = false;
        loop {
            let done = task.interruptible(self.apply_in_transaction(project, file, &deployment)).await?;
            match done {
                Ok(None) => return Ok(Applied::Now),
                Ok(Some(checksum)) if checksum == file.checksum => return Ok(Applied::BySomebodyElse),
                Ok(Some(checksum)) => return Err(changed(file, &checksum)),
                Err(error) if is_busy(&error) => {
                    if !said {
                        task.held.say("somebody else writes to this database; waiting");
                        said = true;
                    }
                }
                Err(error) => return Err(failed(format!("{} was not applied: {error}", file.name))),
            }
        }
    }

    /// Gives the checksum that the history has, if the file is in it, and then changes nothing.
    async fn apply_in_transaction(
        &mut self,
        project: &str,
        file: &Migration,
        deployment: &str,
    ) -> sqlx::Result<Option<String>> {
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let there: Option<String> =
            sqlx::query_scalar("SELECT checksum FROM slipway_migrations WHERE project = ?1 AND name = ?2")
                .bind(project)
                .bind(&file.name)
                .fetch_optional(&mut *transaction)
                .await?;
        if there.is_some() {
            transaction.rollback().await?;
            return Ok(there);
        }
        sqlx::raw_sql(AssertSqlSafe(file.text.clone())).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO slipway_migrations (project, name, checksum, deployment) VALUES (?1, ?2, ?3, ?4)")
            .bind(project)
            .bind(&file.name)
            .bind(&file.checksum)
            .bind(deployment)
            .execute(&mut *transaction)
            .await?;
        failpoint!("executor.migrate.before");
        transaction.commit().await?;
        failpoint!("executor.migrate.after");
        Ok(None)
    }
}

/// `SQLITE_BUSY` and its kin; the low byte is the kind.
fn is_busy(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: u32 = 5;
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<SqliteError>())
        .and_then(|error| sqlx::error::DatabaseError::code(error)?.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == SQLITE_BUSY)
}
