//! When deployments ended, which channel a release is of, and which releases are blocked.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    schema::{big_integer_null, string, string_null, text, timestamp_with_time_zone},
    sea_query::{Index, Table},
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0002_releases"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Rows of before keep null: they ended long ago, and their channel's rules are the project's.
        manager
            .alter_table(Table::alter().table("deployments").add_column(big_integer_null("ended_at")).to_owned())
            .await?;
        manager.alter_table(Table::alter().table("releases").add_column(string_null("channel")).to_owned()).await?;
        manager
            .create_table(
                Table::create()
                    .table("release_blocks")
                    .col(string("project"))
                    .col(string("version"))
                    .col(text("reason"))
                    .col(text("blocked_by"))
                    .col(timestamp_with_time_zone("blocked_at"))
                    .primary_key(Index::create().col("project").col("version"))
                    .to_owned(),
            )
            .await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
