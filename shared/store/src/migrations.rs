//! The tables, as a list of steps that is only ever added to. A released step is never edited.

mod m0001_start;
mod m0002_releases;
mod m0003_purges;
mod m0004_retention;

use sea_orm_migration::{MigrationTrait, MigratorTrait, async_trait};

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_start::Migration),
            Box::new(m0002_releases::Migration),
            Box::new(m0003_purges::Migration),
            Box::new(m0004_retention::Migration),
        ]
    }
}
