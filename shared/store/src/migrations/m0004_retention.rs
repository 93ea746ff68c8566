//! What stands on a target is found by it. The releases that retention took away, and their images until hosts have
//! removed them.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    schema::{string, timestamp_with_time_zone},
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
        let releases = Table::create()
            .table("retired_releases")
            .col(string("project"))
            .col(string("version"))
            .col(timestamp_with_time_zone("retired_at"))
            .primary_key(Index::create().col("project").col("version"))
            .to_owned();
        manager.create_table(releases).await?;
        let images = Table::create()
            .table("retired_images")
            .col(string("image").primary_key())
            .col(timestamp_with_time_zone("retired_at"))
            .to_owned();
        manager.create_table(images).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
