//! All tables of the first release.
//!
//! Composite values are JSON texts: they are written and read whole, and both databases then give
//! back exactly what was written. What is searched for has a column of its own.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    schema::{
        big_integer, big_pk_auto, boolean, integer, string, string_null, text, text_null, timestamp_with_time_zone,
        timestamp_with_time_zone_null,
    },
    sea_query::{Index, IndexCreateStatement, Table, TableCreateStatement},
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0001_start"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in owned_tables().into_iter().chain(projected_tables()) {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// What people own.
fn owned_tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table("manifests")
            .col(string("kind"))
            .col(string("name"))
            .col(text("body"))
            .col(big_integer("revision"))
            .primary_key(Index::create().col("kind").col("name"))
            .to_owned(),
        Table::create()
            .table("releases")
            .col(big_pk_auto("id"))
            .col(string("project"))
            .col(string("version"))
            .col(text("snapshot"))
            .col(text("created_by"))
            .to_owned(),
        Table::create()
            .table("tokens")
            .col(string("id").primary_key())
            .col(string("person"))
            .col(string("hash").unique_key())
            .col(string("rights"))
            .col(timestamp_with_time_zone("created_at"))
            .col(timestamp_with_time_zone_null("expires"))
            .col(timestamp_with_time_zone_null("revoked_at"))
            .to_owned(),
        Table::create()
            .table("secrets")
            .col(string("name"))
            .col(integer("version"))
            .col(text_null("ciphertext"))
            .col(string_null("nonce"))
            .col(timestamp_with_time_zone("set_at"))
            .primary_key(Index::create().col("name").col("version"))
            .to_owned(),
        Table::create()
            .table("webhook_tokens")
            .col(string("webhook").primary_key())
            .col(string("hash").unique_key())
            .col(timestamp_with_time_zone("created_at"))
            .to_owned(),
        Table::create()
            .table("audit")
            .col(big_pk_auto("id"))
            .col(timestamp_with_time_zone("at"))
            .col(text("actor"))
            .col(string("action"))
            .col(text("subject"))
            .col(text("detail"))
            .to_owned(),
        Table::create().table("settings").col(string("name").primary_key()).col(text("value")).to_owned(),
    ]
}

/// What can be built again from the streams.
fn projected_tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create().table("offsets").col(string("name").primary_key()).col(big_integer("seq")).to_owned(),
        Table::create()
            .table("deployments")
            .col(string("id").primary_key())
            .col(big_integer("seq"))
            .col(string("project"))
            .col(string("environment"))
            .col(string("version"))
            .col(string("status"))
            .col(string_null("outcome"))
            .col(text("summary"))
            .col(text("parts"))
            .to_owned(),
        Table::create()
            .table("steps")
            .col(string("deployment"))
            .col(string("step"))
            .col(integer("position"))
            .col(boolean("waiting"))
            .col(text("view"))
            .primary_key(Index::create().col("deployment").col("step"))
            .to_owned(),
        Table::create()
            .table("tasks")
            .col(string("deployment"))
            .col(string("step"))
            .col(string("target"))
            .col(integer("position"))
            .col(string("status"))
            .col(text("view"))
            .primary_key(Index::create().col("deployment").col("step").col("target"))
            .to_owned(),
        Table::create()
            .table("events")
            .col(big_integer("seq").primary_key())
            .col(string("deployment"))
            .col(big_integer("at_nanos"))
            .col(text("address"))
            .col(text("envelope"))
            .to_owned(),
        Table::create()
            .table("pushes")
            .col(big_integer("seq").primary_key())
            .col(string("webhook"))
            .col(boolean("done"))
            .col(text("view"))
            .to_owned(),
    ]
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        Index::create().name("releases_version").table("releases").col("project").col("version").unique().to_owned(),
        Index::create()
            .name("deployments_lane")
            .table("deployments")
            .col("project")
            .col("environment")
            .col("seq")
            .to_owned(),
        Index::create().name("deployments_seq").table("deployments").col("seq").to_owned(),
        Index::create().name("steps_waiting").table("steps").col("waiting").to_owned(),
        Index::create().name("events_deployment").table("events").col("deployment").col("seq").to_owned(),
    ]
}
