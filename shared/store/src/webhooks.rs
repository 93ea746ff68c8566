//! The tokens in the addresses of registry webhooks. Only their hashes are kept.

use sea_orm::{ActiveValue::Set, EntityTrait, QueryFilter, entity::prelude::*, sea_query::OnConflict};
use slipway_domain::{name::WebhookName, text::sha256_hex};

use crate::{Audit, Store, StoreError, audit};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "webhook_tokens")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub webhook: String,
        pub hash: String,
        pub created_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl Store {
    /// Gives a webhook its token; the one before stops working.
    pub async fn set_webhook_token(&self, webhook: &WebhookName, token: &str, audit: &Audit) -> Result<(), StoreError> {
        let writing = self.write().await?;
        row::Entity::insert(row::ActiveModel {
            webhook: Set(webhook.to_string()),
            hash: Set(sha256_hex(token.as_bytes())),
            created_at: Set(audit.at),
        })
        .on_conflict(
            OnConflict::column(row::Column::Webhook)
                .update_columns([row::Column::Hash, row::Column::CreatedAt])
                .to_owned(),
        )
        .exec_without_returning(&writing.tx)
        .await?;
        audit::write(&writing.tx, audit).await?;
        writing.commit().await
    }

    /// The webhook whose token this is.
    pub async fn webhook_of_token(&self, token: &str) -> Result<Option<WebhookName>, StoreError> {
        let hash = sha256_hex(token.as_bytes());
        let row = row::Entity::find().filter(row::Column::Hash.eq(hash)).one(self.db()).await?;
        Ok(row.and_then(|row| WebhookName::new(row.webhook).ok()))
    }
}
