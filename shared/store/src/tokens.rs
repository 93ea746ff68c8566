//! Tokens of persons. Only the hash of a token is kept.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, entity::prelude::*};
use slipway_domain::{
    api::{Right, TokenView},
    name::PersonName,
    text::sha256_hex,
};

use crate::{
    Audit, ManifestChange, Store, StoreError, audit,
    error::{from_json, to_json},
};

/// A token to keep.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What the list will show.
    pub view: TokenView,
    /// SHA-256 of the token, hex.
    pub hash: String,
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenOwner {
    /// The person.
    pub person: PersonName,
    /// What the token may do.
    pub right: Right,
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "tokens")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub person: String,
        pub hash: String,
        pub rights: String,
        pub created_at: DateTimeUtc,
        pub expires: Option<DateTimeUtc>,
        pub revoked_at: Option<DateTimeUtc>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn view(row: row::Model) -> Result<TokenView, StoreError> {
    let what = || format!("token {}", row.id);
    Ok(TokenView {
        person: from_json(what, &row.person)?,
        right: from_json(what, &row.rights)?,
        created_at: row.created_at,
        expires: row.expires,
        revoked_at: row.revoked_at,
        id: row.id,
    })
}

impl Store {
    /// Keeps a token, with the manifest changes that belong to it.
    pub async fn add_token(
        &self,
        new: &NewToken,
        manifests: &[ManifestChange],
        audit: &Audit,
    ) -> Result<(), StoreError> {
        let writing = self.write().await?;
        row::Entity::insert(row::ActiveModel {
            id: Set(new.view.id.clone()),
            person: Set(to_json(&new.view.person)),
            hash: Set(new.hash.clone()),
            rights: Set(to_json(&new.view.right)),
            created_at: Set(new.view.created_at),
            expires: Set(new.view.expires),
            revoked_at: Set(new.view.revoked_at),
        })
        .exec_without_returning(&writing.tx)
        .await?;
        crate::manifests::apply(&writing.tx, manifests).await?;
        audit::write(&writing.tx, audit).await?;
        writing.commit().await
    }

    /// Who owns the token, if it is known, not revoked and not expired at `now`.
    pub async fn owner_of_token(&self, token: &str, now: DateTime<Utc>) -> Result<Option<TokenOwner>, StoreError> {
        let hash = sha256_hex(token.as_bytes());
        let row = row::Entity::find().filter(row::Column::Hash.eq(hash)).one(self.db()).await?;
        let Some(token) = row.map(view).transpose()? else { return Ok(None) };
        let valid = token.revoked_at.is_none() && token.expires.is_none_or(|expires| now < expires);
        Ok(valid.then_some(TokenOwner { person: token.person, right: token.right }))
    }

    /// Every token, oldest first.
    pub async fn tokens(&self) -> Result<Vec<TokenView>, StoreError> {
        let rows = row::Entity::find()
            .order_by_asc(row::Column::CreatedAt)
            .order_by_asc(row::Column::Id)
            .all(self.db())
            .await?;
        rows.into_iter().map(view).collect()
    }

    /// Whether any token was ever made.
    pub async fn has_tokens(&self) -> Result<bool, StoreError> {
        Ok(row::Entity::find().count(self.db()).await? > 0)
    }

    /// Ends a token; false if there is none of that id. Ending it again changes nothing.
    pub async fn revoke_token(&self, id: &str, audit: &Audit) -> Result<bool, StoreError> {
        let writing = self.write().await?;
        let revoked = row::Entity::update_many()
            .col_expr(row::Column::RevokedAt, Expr::value(audit.at))
            .filter(row::Column::Id.eq(id))
            .filter(row::Column::RevokedAt.is_null())
            .exec(&writing.tx)
            .await?
            .rows_affected;
        if revoked == 1 {
            audit::write(&writing.tx, audit).await?;
        }
        let known = revoked == 1 || row::Entity::find_by_id(id).one(&writing.tx).await?.is_some();
        writing.commit().await?;
        Ok(known)
    }
}
