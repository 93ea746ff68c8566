//! What stands on a target is found by it; and the images of releases that retention took away, until hosts have
//! removed them.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    schema::{big_integer, string},
    sea_query::{Index, Table},
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0004_retention"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let by_target = Index::create().name("tasks_target").table("tasks").col("target").col("status").to_owned();
        manager.create_index(by_target).await?;
        let table = Table::create()
            .table("retired_images")
            .col(string("image").primary_key())
            .col(big_integer("retired_at"))
            .to_owned();
        manager.create_table(table).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
