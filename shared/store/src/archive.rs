//! The archive: every message of the log, kept for as long as the database is, also after the log
//! was purged.

use chrono::DateTime;
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*,
};
use slipway_domain::{
    event::{Address, Entry, Recorded},
    id::DeploymentId,
    presence::Mark,
};

use crate::{
    Store, StoreError,
    error::{column, from_json, sequence, to_json},
    offsets,
};

/// Rows per insert; keeps the number of bound values below the limit of both databases.
const CHUNK: usize = 500;

pub(crate) mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "events")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i64,
        pub deployment: String,
        pub at_nanos: i64,
        pub address: String,
        pub envelope: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn recorded(row: row::Model) -> Result<Recorded, StoreError> {
    let what = || format!("archived event {}", row.seq);
    let address: Address = from_json(what, &row.address)?;
    let entry = Entry::from_json(&address, row.envelope.as_bytes())
        .map_err(|source| StoreError::Corrupt { what: what(), source })?;
    Ok(Recorded { seq: sequence(row.seq), at: DateTime::from_timestamp_nanos(row.at_nanos), address, entry })
}

fn active(event: &Recorded) -> Result<row::ActiveModel, StoreError> {
    let envelope =
        event.entry.to_json().map_err(|source| StoreError::Corrupt { what: format!("event {}", event.seq), source })?;
    Ok(row::ActiveModel {
        seq: Set(column(event.seq)),
        deployment: Set(event.address.deployment().to_string()),
        at_nanos: Set(event.at.timestamp_nanos_opt().unwrap_or(i64::MAX)),
        address: Set(to_json(&event.address)),
        envelope: Set(String::from_utf8_lossy(&envelope).into_owned()),
    })
}

/// Adds messages.
pub(crate) async fn add(db: &impl ConnectionTrait, events: &[Recorded]) -> Result<(), StoreError> {
    for chunk in events.chunks(CHUNK) {
        let rows = chunk.iter().map(active).collect::<Result<Vec<_>, _>>()?;
        row::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

impl Store {
    /// Messages of a deployment after a sequence, oldest first.
    pub async fn events_of(&self, id: DeploymentId, after: u64, limit: u64) -> Result<Vec<Recorded>, StoreError> {
        let rows = row::Entity::find()
            .filter(row::Column::Deployment.eq(id.to_string()))
            .filter(row::Column::Seq.gt(column(after)))
            .order_by_asc(row::Column::Seq)
            .limit(limit)
            .all(self.db())
            .await?;
        rows.into_iter().map(recorded).collect()
    }

    /// The first message of a deployment that is in the archive: its request.
    pub async fn first_event_of(&self, id: DeploymentId) -> Result<Option<Recorded>, StoreError> {
        Ok(self.events_of(id, 0, 1).await?.pop())
    }

    /// Archived messages after one sequence and up to another, oldest first.
    pub async fn events_between(&self, after: u64, to: u64, limit: u64) -> Result<Vec<Recorded>, StoreError> {
        let rows = row::Entity::find()
            .filter(row::Column::Seq.gt(column(after)))
            .filter(row::Column::Seq.lte(column(to)))
            .order_by_asc(row::Column::Seq)
            .limit(limit)
            .all(self.db())
            .await?;
        rows.into_iter().map(recorded).collect()
    }

    /// Drops the archived messages after a sequence, and puts the projection back to it: they are in no log any more.
    pub async fn cut_archive(&self, after: u64) -> Result<u64, StoreError> {
        let writing = self.write().await?;
        let tx = &writing.tx;
        let cut = row::Entity::delete_many().filter(row::Column::Seq.gt(column(after))).exec(tx).await?;
        let at = offsets::read(tx, offsets::DEPLOYMENTS).await?;
        if at > after {
            offsets::advance(tx, offsets::DEPLOYMENTS, at, after).await?;
        }
        writing.commit().await?;
        Ok(cut.rows_affected)
    }

    /// The newest archived messages, newest first; how a log that lost its end is noticed.
    pub async fn newest_events(&self, limit: u64) -> Result<Vec<Mark>, StoreError> {
        let rows = row::Entity::find().order_by_desc(row::Column::Seq).limit(limit).all(self.db()).await?;
        rows.into_iter().map(|row| recorded(row).map(|event| Mark { seq: event.seq, id: event.entry.id() })).collect()
    }
}
