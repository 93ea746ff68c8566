//! Deployments that are being taken out of the log: noted before the first message goes, so that whoever is
//! interrupted finishes it.

use sea_orm::{ActiveValue::Set, EntityTrait, sea_query::OnConflict};
use slipway_domain::id::DeploymentId;

use crate::{Store, StoreError};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "purges")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub deployment: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl Store {
    /// A purge begins.
    pub async fn purge_begins(&self, id: DeploymentId) -> Result<(), StoreError> {
        let writing = self.write().await?;
        row::Entity::insert(row::ActiveModel { deployment: Set(id.to_string()) })
            .on_conflict(OnConflict::column(row::Column::Deployment).do_nothing().to_owned())
            .exec_without_returning(&writing.tx)
            .await?;
        writing.commit().await
    }

    /// A purge is over.
    pub async fn purge_ended(&self, id: DeploymentId) -> Result<(), StoreError> {
        let writing = self.write().await?;
        row::Entity::delete_by_id(id.to_string()).exec(&writing.tx).await?;
        writing.commit().await
    }

    /// The purges that began and are not over.
    pub async fn purges(&self) -> Result<Vec<DeploymentId>, StoreError> {
        let rows = row::Entity::find().all(self.db()).await?;
        Ok(rows.iter().filter_map(|row| row.deployment.parse().ok()).collect())
    }
}
