//! Manifests as they were applied last.

use sea_orm::{ActiveValue::Set, EntityTrait, QueryFilter, QueryOrder, entity::prelude::*, sea_query::OnConflict};
use slipway_domain::manifest::{Kind, Manifest};

use crate::{
    Audit, Store, StoreError, audit,
    error::{from_json, to_json},
    offsets,
};

/// One change of the stored manifests.
#[derive(Debug, Clone)]
pub enum ManifestChange {
    /// Create or replace.
    Put(Box<Manifest>),
    /// Remove.
    Remove(Kind, String),
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "manifests")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub kind: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub body: String,
        pub revision: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn manifest(row: row::Model) -> Result<Manifest, StoreError> {
    from_json(|| format!("{} {}", row.kind, row.name), &row.body)
}

impl Store {
    /// One manifest.
    pub async fn manifest(&self, kind: Kind, name: &str) -> Result<Option<Manifest>, StoreError> {
        let key = (kind.as_str().to_owned(), name.to_owned());
        row::Entity::find_by_id(key).one(self.db()).await?.map(manifest).transpose()
    }

    /// Every manifest of a kind, by name.
    pub async fn manifests_of(&self, kind: Kind) -> Result<Vec<Manifest>, StoreError> {
        let rows = row::Entity::find()
            .filter(row::Column::Kind.eq(kind.as_str()))
            .order_by_asc(row::Column::Name)
            .all(self.db())
            .await?;
        rows.into_iter().map(manifest).collect()
    }

    /// How often manifests were changed. As long as it is the same, so are they.
    pub async fn manifest_changes(&self) -> Result<u64, StoreError> {
        offsets::read(self.db(), offsets::MANIFESTS).await
    }

    /// Every manifest.
    pub async fn all_manifests(&self) -> Result<Vec<Manifest>, StoreError> {
        let rows =
            row::Entity::find().order_by_asc(row::Column::Kind).order_by_asc(row::Column::Name).all(self.db()).await?;
        rows.into_iter().map(manifest).collect()
    }

    /// Makes all changes, with their audit entries, or none.
    pub async fn change_manifests(&self, changes: &[ManifestChange], audits: &[Audit]) -> Result<(), StoreError> {
        let writing = self.write().await?;
        apply(&writing.tx, changes).await?;
        for entry in audits {
            audit::write(&writing.tx, entry).await?;
        }
        writing.commit().await
    }
}

/// Makes the changes within a transaction.
pub(crate) async fn apply(db: &impl ConnectionTrait, changes: &[ManifestChange]) -> Result<(), StoreError> {
    for change in changes {
        match change {
            ManifestChange::Put(manifest) => put(db, manifest).await?,
            ManifestChange::Remove(kind, name) => {
                row::Entity::delete_by_id((kind.as_str().to_owned(), name.clone())).exec(db).await?;
            }
        }
    }
    offsets::count(db, offsets::MANIFESTS).await
}

async fn put(db: &impl ConnectionTrait, manifest: &Manifest) -> Result<(), StoreError> {
    let key = (manifest.kind().as_str().to_owned(), manifest.name().to_owned());
    let revision = row::Entity::find_by_id(key).one(db).await?.map_or(1, |row| row.revision + 1);
    row::Entity::insert(row::ActiveModel {
        kind: Set(manifest.kind().as_str().to_owned()),
        name: Set(manifest.name().to_owned()),
        body: Set(to_json(manifest)),
        revision: Set(revision),
    })
    .on_conflict(
        OnConflict::columns([row::Column::Kind, row::Column::Name])
            .update_columns([row::Column::Body, row::Column::Revision])
            .to_owned(),
    )
    .exec_without_returning(db)
    .await?;
    Ok(())
}
