//! Releases: written once, never changed.

use std::collections::BTreeMap;

use sea_orm::{
    ActiveValue::Set, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*,
};
use slipway_domain::{
    event::Actor,
    image::ImageRef,
    name::{ChannelName, ProjectName},
    release::ReleaseSnapshot,
};

use crate::{
    Audit, Store, StoreError, audit,
    error::{from_json, to_json},
};

/// A release.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseRow {
    /// What it is made of.
    pub snapshot: ReleaseSnapshot,
    /// Who or what made it.
    pub created_by: Actor,
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "releases")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub project: String,
        pub version: String,
        pub channel: Option<String>,
        pub snapshot: String,
        pub created_by: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn release(row: row::Model) -> Result<ReleaseRow, StoreError> {
    let what = || format!("release {} {}", row.project, row.version);
    Ok(ReleaseRow { snapshot: from_json(what, &row.snapshot)?, created_by: from_json(what, &row.created_by)? })
}

/// Deletes a release; whether it was there.
pub(crate) async fn delete(
    db: &impl ConnectionTrait,
    project: &ProjectName,
    version: &str,
) -> Result<bool, StoreError> {
    let deleted = row::Entity::delete_many()
        .filter(row::Column::Project.eq(project.as_str()))
        .filter(row::Column::Version.eq(version))
        .exec(db)
        .await?;
    Ok(deleted.rows_affected > 0)
}

impl Store {
    /// The images of every release of every project.
    pub async fn released_images(&self) -> Result<Vec<ImageRef>, StoreError> {
        let rows = row::Entity::find().all(self.db()).await?;
        let mut images = Vec::new();
        for row in rows {
            images.extend(release(row)?.snapshot.packages.into_values().map(|package| package.image));
        }
        Ok(images)
    }

    /// Adds a release. [`StoreError::Exists`] if the project has one of that version.
    pub async fn add_release(&self, new: &ReleaseRow, audit: &Audit) -> Result<(), StoreError> {
        let writing = self.write().await?;
        let (project, version) = (&new.snapshot.project, &new.snapshot.version);
        row::Entity::insert(row::ActiveModel {
            project: Set(project.to_string()),
            version: Set(version.clone()),
            channel: Set(Some(new.snapshot.channel.to_string())),
            snapshot: Set(to_json(&new.snapshot)),
            created_by: Set(to_json(&new.created_by)),
            ..Default::default()
        })
        .exec_without_returning(&writing.tx)
        .await
        .map_err(|error| match StoreError::from(error) {
            StoreError::Exists { .. } => StoreError::Exists { what: format!("release {version} of {project}") },
            other => other,
        })?;
        audit::write(&writing.tx, audit).await?;
        writing.commit().await
    }

    /// One release.
    pub async fn release(&self, project: &ProjectName, version: &str) -> Result<Option<ReleaseRow>, StoreError> {
        row::Entity::find()
            .filter(row::Column::Project.eq(project.as_str()))
            .filter(row::Column::Version.eq(version))
            .one(self.db())
            .await?
            .map(release)
            .transpose()
    }

    /// The newest releases of a project, newest first.
    pub async fn releases_of(&self, project: &ProjectName, limit: u64) -> Result<Vec<ReleaseRow>, StoreError> {
        let rows = row::Entity::find()
            .filter(row::Column::Project.eq(project.as_str()))
            .order_by_desc(row::Column::Id)
            .limit(limit)
            .all(self.db())
            .await?;
        rows.into_iter().map(release).collect()
    }

    /// The channel of every release of a project, by version; none for those of before channels were kept apart.
    pub async fn channels_of(
        &self,
        project: &ProjectName,
    ) -> Result<BTreeMap<String, Option<ChannelName>>, StoreError> {
        let rows: Vec<(String, Option<String>)> = row::Entity::find()
            .select_only()
            .column(row::Column::Version)
            .column(row::Column::Channel)
            .filter(row::Column::Project.eq(project.as_str()))
            .into_tuple()
            .all(self.db())
            .await?;
        Ok(rows
            .into_iter()
            .map(|(version, channel)| (version, channel.and_then(|c| ChannelName::new(c).ok())))
            .collect())
    }
}
