//! Migrations of PostgreSQL: a session lock over the whole step, so that files of one project are
//! never applied by two at a time.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use slipway_domain::text::sha256_hex;
use slipway_service::failpoint;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgDatabaseError, PgErrorPosition},
};

use super::{database::Applied, source::Migration};
use crate::task::{Stop, Task, failed, wrong_order};

/// Pause between two tries to get the lock.
const POLL: Duration = Duration::from_millis(300);
/// "can not run inside a transaction block"
const IN_TRANSACTION: &str = "25001";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS slipway_migrations (
    project text NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    deployment text NOT NULL,
    PRIMARY KEY (project, name)
)";

/// An open database.
pub struct Postgres {
    connection: PgConnection,
}

impl Postgres {
    pub async fn open(url: &str) -> Result<Self, Stop> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| {
                wrong_order("the database's address is not of the form postgres://user:password@host/database")
            })?
            .application_name("slipway")
            .disable_statement_logging();
        let connection = options.connect().await.map_err(|error| failed(format!("opening the database: {error}")))?;
        Ok(Self { connection })
    }

    /// Takes the lock; it is given back when the connection ends.
    pub async fn lock(&mut self, task: &Task<'_>, project: &str) -> Result<(), Stop> {
        let key = lock_key(project);
        let mut said = false;
        while !task.interruptible(self.try_lock(key)).await?.map_err(|error| failed(format!("locking: {error}")))? {
            if !said {
                task.held.say("somebody else migrates this project here; waiting");
                said = true;
            }
            task.interruptible(tokio::time::sleep(POLL)).await?;
        }
        let made = task.interruptible(self.make_table()).await?;
        made.map_err(|error| failed(format!("making the table slipway_migrations: {error}")))
    }

    async fn try_lock(&mut self, key: i64) -> sqlx::Result<bool> {
        sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(key).fetch_one(&mut self.connection).await
    }

    /// Projects that share a database do not make the table at the same time.
    async fn make_table(&mut self) -> sqlx::Result<()> {
        let mut transaction = self.connection.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock_key("")).execute(&mut *transaction).await?;
        sqlx::raw_sql(TABLE).execute(&mut *transaction).await?;
        transaction.commit().await
    }

    pub async fn history(&mut self, project: &str) -> sqlx::Result<BTreeMap<String, String>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, checksum FROM slipway_migrations WHERE project = $1")
                .bind(project)
                .fetch_all(&mut self.connection)
                .await?;
        Ok(rows.into_iter().collect())
    }

    pub async fn apply(&mut self, task: &Task<'_>, project: &str, file: &Migration) -> Result<Applied, Stop> {
        let deployment = task.held.deployment().to_string();
        let done = task.interruptible(self.apply_in_transaction(project, file, deployment)).await?;
        done.map_err(|error| explain(file, &error))?;
        Ok(Applied::Now)
    }

    async fn apply_in_transaction(&mut self, project: &str, file: &Migration, deployment: String) -> sqlx::Result<()> {
        let mut transaction = self.connection.begin().await?;
        sqlx::raw_sql(AssertSqlSafe(file.text.clone())).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO slipway_migrations (project, name, checksum, deployment) VALUES ($1, $2, $3, $4)")
            .bind(project)
            .bind(&file.name)
            .bind(&file.checksum)
            .bind(deployment)
            .execute(&mut *transaction)
            .await?;
        failpoint!("executor.migrate.before");
        transaction.commit().await?;
        failpoint!("executor.migrate.after");
        Ok(())
    }
}

/// 63 bits of a hash; the advisory locks of other programs are elsewhere with near certainty.
fn lock_key(project: &str) -> i64 {
    let hash = sha256_hex(format!("slipway migrations of {project}").as_bytes());
    i64::from_str_radix(&hash[..15], 16).unwrap_or_default()
}

fn explain(file: &Migration, error: &sqlx::Error) -> Stop {
    let name = &file.name;
    let Some(refused) = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()) else {
        return failed(format!("{name} was not applied: {error}"));
    };
    let mut message = format!("{name} was not applied: {} (SQLSTATE {})", refused.message(), refused.code());
    if let Some(PgErrorPosition::Original(position)) = refused.position() {
        let line = 1 + file.text.chars().take(position.saturating_sub(1)).filter(|c| *c == '\n').count();
        message.push_str(&format!(", line {line}"));
    }
    for more in [refused.detail(), refused.hint()].into_iter().flatten() {
        message.push_str(&format!(". {more}"));
    }
    if refused.code() == IN_TRANSACTION {
        message.push_str(". Each file is one transaction; leave out what can not run in one");
    }
    failed(message)
}
