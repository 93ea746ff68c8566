//! Secrets as they are kept: sealed, by name and version. This crate never sees a value.
//!
//! A deleted secret keeps its versions without contents, so that a later secret of the same name
//! never takes a version that a deployment under way is bound to.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, EntityTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*};
use slipway_domain::{api::SecretView, name::SecretName, secret::SecretRef};

use crate::{Audit, Store, StoreError, audit, settings};

/// One version of a secret, sealed.
#[derive(Clone)]
pub struct SealedSecret {
    /// The sealed value, base64.
    pub ciphertext: String,
    /// The nonce it was sealed with, base64.
    pub nonce: String,
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "secrets")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub version: i32,
        pub ciphertext: Option<String>,
        pub nonce: Option<String>,
        pub set_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn version_column(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

impl Store {
    /// The version that the next value of this secret gets.
    pub async fn next_secret_version(&self, name: &SecretName) -> Result<u32, StoreError> {
        let newest: Option<i32> = row::Entity::find()
            .filter(row::Column::Name.eq(name.as_str()))
            .select_only()
            .column_as(row::Column::Version.max(), "newest")
            .into_tuple()
            .one(self.db())
            .await?
            .flatten();
        Ok(newest.map_or(1, |v| v.unsigned_abs() + 1))
    }

    /// Keeps one version. [`StoreError::Exists`] if somebody else wrote that version first.
    pub async fn add_secret(
        &self,
        secret: &SecretRef,
        sealed: &SealedSecret,
        set_at: DateTime<Utc>,
        audit: &Audit,
    ) -> Result<(), StoreError> {
        let writing = self.write().await?;
        row::Entity::insert(row::ActiveModel {
            name: Set(secret.name.to_string()),
            version: Set(version_column(secret.version)),
            ciphertext: Set(Some(sealed.ciphertext.clone())),
            nonce: Set(Some(sealed.nonce.clone())),
            set_at: Set(set_at),
        })
        .exec_without_returning(&writing.tx)
        .await?;
        audit::write(&writing.tx, audit).await?;
        writing.commit().await
    }

    /// One version, unless it was deleted.
    pub async fn secret(&self, secret: &SecretRef) -> Result<Option<SealedSecret>, StoreError> {
        let key = (secret.name.to_string(), version_column(secret.version));
        let row = row::Entity::find_by_id(key).one(self.db()).await?;
        Ok(row.and_then(|row| Some(SealedSecret { ciphertext: row.ciphertext?, nonce: row.nonce? })))
    }

    /// Every secret that has a value, with its newest version.
    pub async fn secrets(&self) -> Result<Vec<SecretView>, StoreError> {
        let rows = row::Entity::find()
            .filter(row::Column::Ciphertext.is_not_null())
            .order_by_asc(row::Column::Name)
            .order_by_desc(row::Column::Version)
            .all(self.db())
            .await?;
        let mut views: Vec<SecretView> = Vec::new();
        for row in rows {
            let Ok(name) = SecretName::new(row.name) else { continue };
            if views.last().is_none_or(|last| last.name != name) {
                views.push(SecretView { name, version: row.version.unsigned_abs(), set_at: row.set_at });
            }
        }
        Ok(views)
    }

    /// Seals every version of every secret anew and changes a setting with it, all or nothing; how many versions there
    /// are. What `reseal` refuses ends it.
    pub async fn reseal_secrets<E: From<StoreError>>(
        &self,
        reseal: impl Fn(&SecretRef, SealedSecret) -> Result<SealedSecret, E>,
        (setting, value): (&str, &str),
        audit: &Audit,
    ) -> Result<usize, E> {
        let writing = self.write().await?;
        let rows = row::Entity::find().filter(row::Column::Ciphertext.is_not_null()).all(&writing.tx).await;
        let rows = rows.map_err(StoreError::from)?;
        let mut sealed = 0;
        for row in rows {
            let (Ok(name), Some(ciphertext), Some(nonce)) = (SecretName::new(&row.name), row.ciphertext, row.nonce)
            else {
                continue;
            };
            let secret = SecretRef { name, version: row.version.unsigned_abs() };
            let new = reseal(&secret, SealedSecret { ciphertext, nonce })?;
            row::Entity::update_many()
                .col_expr(row::Column::Ciphertext, Expr::value(Some(new.ciphertext)))
                .col_expr(row::Column::Nonce, Expr::value(Some(new.nonce)))
                .filter(row::Column::Name.eq(row.name))
                .filter(row::Column::Version.eq(row.version))
                .exec(&writing.tx)
                .await
                .map_err(StoreError::from)?;
            sealed += 1;
        }
        settings::change(&writing.tx, setting, value).await?;
        audit::write(&writing.tx, audit).await?;
        writing.commit().await?;
        Ok(sealed)
    }

    /// Forgets every value of a secret; false if it has none.
    pub async fn delete_secret(&self, name: &SecretName, audit: &Audit) -> Result<bool, StoreError> {
        let writing = self.write().await?;
        let deleted = row::Entity::update_many()
            .col_expr(row::Column::Ciphertext, Expr::value(Option::<String>::None))
            .col_expr(row::Column::Nonce, Expr::value(Option::<String>::None))
            .filter(row::Column::Name.eq(name.as_str()))
            .filter(row::Column::Ciphertext.is_not_null())
            .exec(&writing.tx)
            .await?
            .rows_affected;
        if deleted > 0 {
            audit::write(&writing.tx, audit).await?;
        }
        writing.commit().await?;
        Ok(deleted > 0)
    }
}
