//! How far each stream has been worked in. An offset moves only from the value that its mover knew,
//! so of two movers one is told that it lost.

use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, EntityTrait, QueryFilter,
    entity::prelude::*,
    sea_query::{ExprTrait as _, OnConflict},
};

use crate::{
    Store, StoreError,
    error::{column, sequence},
};

/// The deployment log.
pub(crate) const DEPLOYMENTS: &str = "deployments";
/// Changes of manifests, counted.
pub(crate) const MANIFESTS: &str = "manifests";
/// The inbox of registry webhooks.
pub(crate) const PUSHES: &str = "pushes";

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "offsets")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub seq: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The offset; 0 before the first move.
pub(crate) async fn read(db: &impl ConnectionTrait, name: &str) -> Result<u64, StoreError> {
    Ok(row::Entity::find_by_id(name).one(db).await?.map_or(0, |row| sequence(row.seq)))
}

/// Moves the offset from `old` to `new`; false if it was not at `old`.
pub(crate) async fn advance(db: &impl ConnectionTrait, name: &str, old: u64, new: u64) -> Result<bool, StoreError> {
    row::Entity::insert(row::ActiveModel { name: Set(name.to_owned()), seq: Set(0) })
        .on_conflict(OnConflict::column(row::Column::Name).do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    let moved = row::Entity::update_many()
        .col_expr(row::Column::Seq, Expr::value(column(new)))
        .filter(row::Column::Name.eq(name))
        .filter(row::Column::Seq.eq(column(old)))
        .exec(db)
        .await?;
    Ok(moved.rows_affected == 1)
}

/// Counts one more.
pub(crate) async fn count(db: &impl ConnectionTrait, name: &str) -> Result<(), StoreError> {
    row::Entity::insert(row::ActiveModel { name: Set(name.to_owned()), seq: Set(0) })
        .on_conflict(OnConflict::column(row::Column::Name).do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    row::Entity::update_many()
        .col_expr(row::Column::Seq, Expr::col(row::Column::Seq).add(1))
        .filter(row::Column::Name.eq(name))
        .exec(db)
        .await?;
    Ok(())
}

impl Store {
    /// The log sequence that the projection stands at.
    pub async fn projected(&self) -> Result<u64, StoreError> {
        read(self.db(), DEPLOYMENTS).await
    }

    /// The inbox sequence that was worked in last.
    pub async fn push_offset(&self) -> Result<u64, StoreError> {
        read(self.db(), PUSHES).await
    }

    /// Moves the inbox offset; false if somebody else moved it.
    pub async fn advance_push_offset(&self, old: u64, new: u64) -> Result<bool, StoreError> {
        let writing = self.write().await?;
        let moved = advance(&writing.tx, PUSHES, old, new).await?;
        writing.commit().await?;
        Ok(moved)
    }
}
