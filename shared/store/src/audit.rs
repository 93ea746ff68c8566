//! Who did what. An entry is written in the transaction of the deed, so neither is there alone.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, QueryOrder, QuerySelect};
use slipway_domain::{api::AuditEntry, event::Actor};

use crate::{
    Store, StoreError,
    error::{from_json, to_json},
};

/// One deed.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: Actor,
    /// Such as `apply` or `token.create`.
    pub action: &'static str,
    /// On what.
    pub subject: String,
    /// Details, without secrets.
    pub detail: String,
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub at: DateTimeUtc,
        pub actor: String,
        pub action: String,
        pub subject: String,
        pub detail: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Writes an entry.
pub(crate) async fn write(db: &impl ConnectionTrait, audit: &Audit) -> Result<(), StoreError> {
    row::Entity::insert(row::ActiveModel {
        at: Set(audit.at),
        actor: Set(to_json(&audit.actor)),
        action: Set(audit.action.to_owned()),
        subject: Set(audit.subject.clone()),
        detail: Set(audit.detail.clone()),
        ..Default::default()
    })
    .exec_without_returning(db)
    .await?;
    Ok(())
}

impl Store {
    /// Writes an entry for a deed that changes nothing else in the database.
    pub async fn audit(&self, audit: &Audit) -> Result<(), StoreError> {
        let writing = self.write().await?;
        write(&writing.tx, audit).await?;
        writing.commit().await
    }

    /// The newest entries, newest first.
    pub async fn audit_entries(&self, limit: u64) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = row::Entity::find().order_by_desc(row::Column::Id).limit(limit).all(self.db()).await?;
        rows.into_iter()
            .map(|row| {
                Ok(AuditEntry {
                    id: row.id,
                    at: row.at,
                    actor: from_json(|| format!("audit entry {}", row.id), &row.actor)?,
                    action: row.action,
                    subject: row.subject,
                    detail: row.detail,
                })
            })
            .collect()
    }
}
