//! Opening the database, and the one way to write to it.

use std::{path::Path, sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{StoreError, migrations::Migrator};

/// How long a writer waits for another process to let go of a SQLite file.
const BUSY: &str = "5000";

/// The advisory lock of whoever migrates a Postgres database: "slipway" in ASCII.
const MIGRATING: i64 = 0x0073_6c69_7077_6179;

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    db: DatabaseConnection,
    /// SQLite has one writer at a time; queueing here is fair, its busy time-out is not.
    writer: Option<Arc<Mutex<()>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens the database and brings its tables up to date. A SQLite file's folder is made if missing.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let sqlite = url.starts_with("sqlite:");
        if !sqlite && !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
            return Err(StoreError::Address { reason: "it names neither SQLite nor Postgres".to_owned() });
        }
        if sqlite {
            make_folder(url)?;
        }
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(if sqlite { 4 } else { 10 })
            .acquire_timeout(Duration::from_secs(10))
            .connect_timeout(Duration::from_secs(10))
            .sqlx_logging(false)
            .map_sqlx_sqlite_opts(|sqlite| {
                sqlite.pragma("journal_mode", "WAL").pragma("busy_timeout", BUSY).pragma("foreign_keys", "ON")
            });
        let db = Database::connect(options).await?;
        let store = Self { db, writer: sqlite.then(|| Arc::new(Mutex::new(()))) };
        store.migrate().await?;
        Ok(store)
    }

    /// Brings the tables up to date. Of several services that start on one Postgres, one does it while the others
    /// wait; a SQLite file has one service.
    async fn migrate(&self) -> Result<(), StoreError> {
        let _writer = self.lock().await;
        if self.db.get_database_backend() != DbBackend::Postgres {
            return Ok(Migrator::up(&self.db, None).await?);
        }
        // Given back by the end of the transaction, so whoever dies here leaves neither a lock nor half a table.
        let tx = self.db.begin().await?;
        tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATING})")).await?;
        Migrator::up(&tx, None).await?;
        Ok(tx.commit().await?)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.db.ping().await?)
    }

    /// For reading.
    pub(crate) fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    /// For writing; nothing is written before [`Writing::commit`].
    pub(crate) async fn write(&self) -> Result<Writing, StoreError> {
        let guard = self.lock().await;
        let mode = (self.db.get_database_backend() == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..TransactionOptions::default() };
        Ok(Writing { tx: self.db.begin_with_options(options).await?, _guard: guard })
    }

    async fn lock(&self) -> Option<OwnedMutexGuard<()>> {
        match &self.writer {
            Some(writer) => Some(Arc::clone(writer).lock_owned().await),
            None => None,
        }
    }
}

/// A write transaction; dropped without commit it changes nothing.
pub(crate) struct Writing {
    pub(crate) tx: DatabaseTransaction,
    _guard: Option<OwnedMutexGuard<()>>,
}

impl Writing {
    /// Makes everything written so far true at once.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}

fn make_folder(url: &str) -> Result<(), StoreError> {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//").split('?').next().unwrap_or_default();
    match Path::new(path).parent() {
        Some(folder) if !path.contains(":memory:") && !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder)
            .map_err(|e| StoreError::Address { reason: format!("folder {} can not be made: {e}", folder.display()) }),
        _ => Ok(()),
    }
}
