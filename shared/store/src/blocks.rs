//! Releases that are blocked: they do not get to phases that they were not in.

use std::collections::BTreeMap;

use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, QueryFilter, entity::prelude::*, sea_query::OnConflict};
use slipway_domain::{api::ReleaseBlock, name::ProjectName};

use crate::{
    Audit, Store, StoreError, audit,
    error::{from_json, to_json},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "release_blocks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub project: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub version: String,
        pub reason: String,
        pub blocked_by: String,
        pub blocked_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Deletes the block of a release, if there is one.
pub(crate) async fn delete(
    db: &impl ConnectionTrait,
    project: &ProjectName,
    version: &str,
) -> Result<bool, StoreError> {
    let key = (project.to_string(), version.to_owned());
    Ok(row::Entity::delete_by_id(key).exec(db).await?.rows_affected > 0)
}

impl Store {
    /// The blocked releases of a project, by version.
    pub async fn blocks_of(&self, project: &ProjectName) -> Result<BTreeMap<String, ReleaseBlock>, StoreError> {
        let rows = row::Entity::find().filter(row::Column::Project.eq(project.as_str())).all(self.db()).await?;
        rows.into_iter()
            .map(|row| {
                let by =
                    from_json(|| format!("the block of release {} {}", row.project, row.version), &row.blocked_by)?;
                Ok((row.version, ReleaseBlock { reason: row.reason, by, at: row.blocked_at }))
            })
            .collect()
    }

    /// Blocks a release, or says another reason for it.
    pub async fn block_release(
        &self,
        project: &ProjectName,
        version: &str,
        block: &ReleaseBlock,
        audit: &Audit,
    ) -> Result<(), StoreError> {
        use row::Column;
        let writing = self.write().await?;
        row::Entity::insert(row::ActiveModel {
            project: Set(project.to_string()),
            version: Set(version.to_owned()),
            reason: Set(block.reason.clone()),
            blocked_by: Set(to_json(&block.by)),
            blocked_at: Set(block.at),
        })
        .on_conflict(
            OnConflict::columns([Column::Project, Column::Version])
                .update_columns([Column::Reason, Column::BlockedBy, Column::BlockedAt])
                .to_owned(),
        )
        .exec_without_returning(&writing.tx)
        .await?;
        audit::write(&writing.tx, audit).await?;
        writing.commit().await
    }

    /// Lets a release go on; false if it was not blocked.
    pub async fn unblock_release(
        &self,
        project: &ProjectName,
        version: &str,
        audit: &Audit,
    ) -> Result<bool, StoreError> {
        let writing = self.write().await?;
        let was = delete(&writing.tx, project, version).await?;
        if was {
            audit::write(&writing.tx, audit).await?;
        }
        writing.commit().await?;
        Ok(was)
    }
}
