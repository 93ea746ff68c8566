//! Releases that retention took away: their rows go, their versions are remembered, and so are their images until
//! hosts have removed them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QuerySelect, sea_query::OnConflict};
use slipway_domain::name::{EnvironmentName, ProjectName};

use crate::{
    Audit, Store, StoreError, audit, blocks,
    deployments::deployment::{Column as Deployment, Entity as Deployments},
    releases,
};

pub(crate) mod release {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "retired_releases")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub project: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub version: String,
        pub retired_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod image {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "retired_images")]
    pub struct Model {
        /// `REGISTRY/REPOSITORY@DIGEST`
        #[sea_orm(primary_key, auto_increment = false)]
        pub image: String,
        pub retired_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The newest deployment of a release to an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReach {
    /// The release's version.
    pub version: String,
    /// The environment.
    pub environment: EnvironmentName,
    /// Place of the deployment in the log.
    pub seq: u64,
    /// When one of these deployments last ended.
    pub ended: Option<DateTime<Utc>>,
}

impl Store {
    /// Of every release of the project the newest deployment to every environment.
    pub async fn last_reached(&self, project: &ProjectName) -> Result<Vec<LastReach>, StoreError> {
        let rows: Vec<(String, String, i64, Option<i64>)> = Deployments::find()
            .select_only()
            .column(Deployment::Version)
            .column(Deployment::Environment)
            .column_as(Deployment::Seq.max(), "last")
            .column_as(Deployment::EndedAt.max(), "ended")
            .filter(Deployment::Project.eq(project.as_str()))
            .group_by(Deployment::Version)
            .group_by(Deployment::Environment)
            .into_tuple()
            .all(self.db())
            .await?;
        let read = |(version, environment, seq, ended): (String, String, i64, Option<i64>)| {
            let environment = EnvironmentName::new(environment).ok()?;
            let ended = ended.and_then(DateTime::from_timestamp_millis);
            Some(LastReach { version, environment, seq: u64::try_from(seq).ok()?, ended })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Takes a release away; false if it was not there. Its images are remembered for hosts, its version for triggers.
    pub async fn retire_release(
        &self,
        project: &ProjectName,
        version: &str,
        images: &[String],
        audit: &Audit,
    ) -> Result<bool, StoreError> {
        let writing = self.write().await?;
        if !releases::delete(&writing.tx, project, version).await? {
            return Ok(false);
        }
        blocks::delete(&writing.tx, project, version).await?;
        let (project, version) = (project.to_string(), version.to_owned());
        release::Entity::insert(release::ActiveModel {
            project: Set(project),
            version: Set(version),
            retired_at: Set(audit.at),
        })
        .on_conflict(
            OnConflict::columns([release::Column::Project, release::Column::Version])
                .update_column(release::Column::RetiredAt)
                .to_owned(),
        )
        .exec_without_returning(&writing.tx)
        .await?;
        for name in images {
            image::Entity::insert(image::ActiveModel { image: Set(name.clone()), retired_at: Set(audit.at) })
                .on_conflict(
                    OnConflict::column(image::Column::Image).update_column(image::Column::RetiredAt).to_owned(),
                )
                .exec_without_returning(&writing.tx)
                .await?;
        }
        audit::write(&writing.tx, audit).await?;
        writing.commit().await?;
        Ok(true)
    }

    /// When retention took a release of that version away, if it did.
    pub async fn retired_at(&self, project: &ProjectName, version: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let row = release::Entity::find_by_id((project.to_string(), version.to_owned())).one(self.db()).await?;
        Ok(row.map(|row| row.retired_at))
    }

    /// The images of releases that retention took away, and since when.
    pub async fn retired_images(&self) -> Result<BTreeMap<String, DateTime<Utc>>, StoreError> {
        let rows = image::Entity::find().all(self.db()).await?;
        Ok(rows.into_iter().map(|row| (row.image, row.retired_at)).collect())
    }

    /// Forgets images that were retired before that time: hosts that did not remove them by then keep them.
    pub async fn forget_retired_images(&self, before: DateTime<Utc>) -> Result<(), StoreError> {
        let writing = self.write().await?;
        image::Entity::delete_many().filter(image::Column::RetiredAt.lt(before)).exec(&writing.tx).await?;
        writing.commit().await
    }
}
