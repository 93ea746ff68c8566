//! What became of webhook deliveries. The deliveries themselves are in the inbox stream.

use sea_orm::{
    ActiveValue::Set, EntityTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*, sea_query::OnConflict,
};
use slipway_domain::api::PushView;

use crate::{
    Store, StoreError,
    error::{column, from_json, to_json},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "pushes")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i64,
        pub webhook: String,
        pub done: bool,
        pub view: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn push(row: row::Model) -> Result<PushView, StoreError> {
    from_json(|| format!("push {}", row.seq), &row.view)
}

impl Store {
    /// Writes what became of a delivery.
    pub async fn save_push(&self, push: &PushView) -> Result<(), StoreError> {
        let writing = self.write().await?;
        row::Entity::insert(row::ActiveModel {
            seq: Set(column(push.seq)),
            webhook: Set(push.webhook.clone()),
            done: Set(push.done),
            view: Set(to_json(push)),
        })
        .on_conflict(
            OnConflict::column(row::Column::Seq)
                .update_columns([row::Column::Webhook, row::Column::Done, row::Column::View])
                .to_owned(),
        )
        .exec_without_returning(&writing.tx)
        .await?;
        writing.commit().await
    }

    /// What became of one delivery.
    pub async fn push(&self, seq: u64) -> Result<Option<PushView>, StoreError> {
        row::Entity::find_by_id(column(seq)).one(self.db()).await?.map(push).transpose()
    }

    /// The newest deliveries, newest first.
    pub async fn pushes(&self, limit: u64) -> Result<Vec<PushView>, StoreError> {
        let rows = row::Entity::find().order_by_desc(row::Column::Seq).limit(limit).all(self.db()).await?;
        rows.into_iter().map(push).collect()
    }

    /// The deliveries that are not dealt with yet, oldest first.
    pub async fn open_pushes(&self) -> Result<Vec<PushView>, StoreError> {
        let rows = row::Entity::find()
            .filter(row::Column::Done.eq(false))
            .order_by_asc(row::Column::Seq)
            .all(self.db())
            .await?;
        rows.into_iter().map(push).collect()
    }
}
