//! Small facts that the service keeps about itself, such as the check value of the master key.

use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, sea_query::OnConflict};

use crate::{Store, StoreError};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "settings")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub value: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Gives a setting another value.
pub(crate) async fn change(db: &impl ConnectionTrait, name: &str, value: &str) -> Result<(), StoreError> {
    row::Entity::insert(row::ActiveModel { name: Set(name.to_owned()), value: Set(value.to_owned()) })
        .on_conflict(OnConflict::column(row::Column::Name).update_column(row::Column::Value).to_owned())
        .exec_without_returning(db)
        .await?;
    Ok(())
}

impl Store {
    /// The setting of that name.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(row::Entity::find_by_id(name).one(self.db()).await?.map(|row| row.value))
    }

    /// Gives a setting a value, or takes it away.
    pub async fn set_setting(&self, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        let writing = self.write().await?;
        match value {
            Some(value) => change(&writing.tx, name, value).await?,
            None => {
                row::Entity::delete_by_id(name).exec(&writing.tx).await?;
            }
        }
        writing.commit().await
    }

    /// Writes a setting that has no value yet; the value that it has afterwards.
    pub async fn setting_or(&self, name: &str, value: &str) -> Result<String, StoreError> {
        let writing = self.write().await?;
        row::Entity::insert(row::ActiveModel { name: Set(name.to_owned()), value: Set(value.to_owned()) })
            .on_conflict(OnConflict::column(row::Column::Name).do_nothing().to_owned())
            .exec_without_returning(&writing.tx)
            .await?;
        let kept = row::Entity::find_by_id(name).one(&writing.tx).await?.map(|row| row.value);
        writing.commit().await?;
        Ok(kept.unwrap_or_else(|| value.to_owned()))
    }
}
