//! What can go wrong with the database.

use sea_orm::{DbErr, SqlErr};

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address of the database can not be used.
    #[error(
        "the database address can not be used: {reason}; expected sqlite://FILE?mode=rwc or postgres://USER:PASSWORD@HOST/NAME"
    )]
    Address {
        /// What is wrong with it, without the address itself (it may hold a password).
        reason: String,
    },
    /// A row with that key is there already.
    #[error("{what} exists already")]
    Exists {
        /// What exists.
        what: String,
    },
    /// A stored text is not what was written.
    #[error("the database holds {what} that can not be read: {source}")]
    Corrupt {
        /// Which row.
        what: String,
        /// Why it can not be read.
        source: serde_json::Error,
    },
    /// The database refused or did not answer.
    #[error("the database failed: {0}")]
    Database(String),
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::Exists { what: "a row with that key".to_owned() },
            _ => Self::Database(error.to_string()),
        }
    }
}

/// Reads a stored JSON text; `what` names the row.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    what: impl FnOnce() -> String,
    json: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|source| StoreError::Corrupt { what: what(), source })
}

/// Writes a JSON text.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("invariant: stored types have only string keys")
}

/// A log sequence as a column. Sequences count messages, so they stay far below 2^63.
pub(crate) fn column(seq: u64) -> i64 {
    i64::try_from(seq).expect("invariant: a log sequence is below 2^63")
}

/// A column as a log sequence.
pub(crate) fn sequence(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}
