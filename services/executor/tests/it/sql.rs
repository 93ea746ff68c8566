//! `sql`: migrations of SQLite and PostgreSQL.

use anyhow::Result;
use serde_json::json;
use slipway_domain::{
    manifest::SqlFiles,
    order::{RunSql, SqlSource, Work},
};
use slipway_integration_tests::{failpoints, postgres::Postgres};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::stage::{Ask, Stage};

fn files(list: &[(&str, &str)]) -> SqlFiles {
    list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn inline(stage: &Stage, database: &str, list: &[(&str, &str)]) -> Ask {
    stage.ask("migrate", Work::Sql(RunSql { database: database.into(), files: SqlSource::Inline(files(list)) }))
}

const CREATE: (&str, &str) = ("1_create.sql", "create table item (id integer primary key, name text);");
const FILL: (&str, &str) =
    ("2_fill.sql", "insert into item (id, name) values (1, 'a;b');\ninsert into item values (2, 'c');");
const MORE: (&str, &str) = ("10_more.sql", "insert into item select id + 2, name from item;");

#[tokio::test]
async fn files_are_applied_once_in_natural_order_and_a_changed_one_is_refused() -> Result<()> {
    let stage = Stage::start().await?;
    let path = stage.folder.path().join("shop.db");
    let url = format!("sqlite://{}", path.display());
    let outputs = stage.succeed(&inline(&stage, &url, &[MORE, CREATE, FILL])).await?;
    assert_eq!(outputs["applied"], json!(["1_create.sql", "2_fill.sql", "10_more.sql"]));
    let outputs = stage.succeed(&inline(&stage, &url, &[CREATE, FILL])).await?;
    assert_eq!((&outputs["applied"], &outputs["already"]), (&json!([]), &json!(3)));

    let changed = ("1_create.sql", "create table item (id integer);");
    let failure = stage.fail(&inline(&stage, &url, &[changed, ("11_new.sql", "create table new (x)")])).await?;
    assert!(failure.message.starts_with("1_create.sql was applied with checksum"), "{}", failure.message);

    let broken = ("11_broken.sql", "create table half (x); insert into nowhere values (1);");
    let failure = stage.fail(&inline(&stage, &url, &[CREATE, FILL, MORE, broken])).await?;
    assert!(failure.message.contains("11_broken.sql") && failure.message.contains("nowhere"), "{}", failure.message);

    let mut database = SqliteConnection::connect(&url).await?;
    let tables: Vec<String> = sqlx::query_scalar("select name from sqlite_master where type = 'table' order by name")
        .fetch_all(&mut database)
        .await?;
    assert_eq!(tables, ["item", "slipway_migrations"], "nothing of a refused or broken file is there");
    let items: i64 = sqlx::query_scalar("select count(*) from item").fetch_one(&mut database).await?;
    assert_eq!(items, 4);
    Ok(())
}

#[tokio::test]
async fn files_come_out_of_the_image_and_leave_no_container() -> Result<()> {
    let stage = Stage::start().await?;
    let files =
        [("/migrations/1_create.sql", CREATE.1), ("/migrations/2_fill.sql", FILL.1), ("/migrations/readme", "x")];
    let image = stage.image("web", &files, &[]).await?;
    let url = format!("sqlite://{}", stage.folder.path().join("shop.db").display());
    let source = |path: &str| SqlSource::Image { image: image.clone(), credentials: None, path: path.into() };
    let ask = |path| stage.ask("migrate", Work::Sql(RunSql { database: url.clone(), files: source(path) }));
    let outputs = stage.succeed(&ask("/migrations")).await?;
    assert_eq!(outputs["applied"], json!(["1_create.sql", "2_fill.sql"]));
    let failure = stage.fail(&ask("/elsewhere")).await?;
    assert!(failure.message.contains("/elsewhere"), "{}", failure.message);
    assert_eq!(stage.containers().await?, []);
    Ok(())
}

#[tokio::test]
async fn postgres_is_migrated_in_transactions_by_one_at_a_time() -> Result<()> {
    let stage = Stage::start().await?;
    let folder = tempfile::tempdir()?;
    let server = Postgres::start(folder.path()).await?;
    let url = server.create("shop").await?;
    let slow = ("3_slow.sql", "select pg_sleep(0.3); create table slow (x int);");
    let list = [CREATE, FILL, slow];
    let (one, two) = (inline(&stage, &url, &list), inline(&stage, &url, &list));
    let (one, two) = tokio::join!(stage.succeed(&one), stage.succeed(&two));
    let mut counts = [&one?, &two?].map(|outputs| outputs["applied"].as_array().map_or(0, Vec::len));
    counts.sort_unstable();
    assert_eq!(counts, [0, 3], "one of them applied everything");

    for (text, words) in [
        ("create table t (x int);\ncommit;", "4_next.sql, line 2: `COMMIT`"),
        ("create index concurrently i on item (name);", "leave out CONCURRENTLY"),
        ("create table t (x int);\nselect nonsense;", "SQLSTATE 42703), line 2"),
    ] {
        let failure = stage.fail(&inline(&stage, &url, &[CREATE, FILL, slow, ("4_next.sql", text)])).await?;
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    let mut database = PgConnection::connect(&url).await?;
    let there: Option<String> = sqlx::query_scalar("select to_regclass('t')::text").fetch_one(&mut database).await?;
    assert_eq!(there, None, "a file that failed left nothing");
    Ok(())
}

#[tokio::test]
async fn an_executor_killed_in_a_migration_applies_each_file_once() -> Result<()> {
    let mut stage = Stage::start().await?;
    let folder = tempfile::tempdir()?;
    let server = Postgres::start(folder.path()).await?;
    let url = server.create("shop").await?;
    let slow = ("3_slow.sql", "insert into item values (3, 'd'); select pg_sleep(2);");
    let ask = inline(&stage, &url, &[CREATE, FILL, slow]);
    stage.ring(&ask).await?;
    stage.until_printed(&ask, "applied 2_fill.sql").await;
    stage.lose_executor(&ask).await?;
    stage.start_executor().await?;
    let outputs = stage.succeed(&ask.adopted()).await?;
    assert_eq!((&outputs["applied"], &outputs["already"]), (&json!(["3_slow.sql"]), &json!(2)));
    let mut database = PgConnection::connect(&url).await?;
    let items: i64 = sqlx::query_scalar("select count(*) from item").fetch_one(&mut database).await?;
    assert_eq!(items, 3);
    Ok(())
}

#[tokio::test]
async fn an_executor_that_dies_before_or_after_the_commit_of_a_migration_applies_it_once() -> Result<()> {
    let mut stage = Stage::start().await?;
    let folder = tempfile::tempdir()?;
    let server = Postgres::start(folder.path()).await?;
    for (point, already) in [("executor.migrate.before", 1), ("executor.migrate.after", 2)] {
        let url = server.create(&point.replace('.', "_")).await?;
        stage.executor.kill().await?;
        // The second file's.
        stage.executor.set(failpoints::VARIABLE, Some(&format!("{point}#2")));
        stage.start_executor().await?;
        let ask = inline(&stage, &url, &[CREATE, FILL, MORE]);
        stage.ring(&ask).await?;
        stage.until_dead().await;
        stage.executor.set(failpoints::VARIABLE, None);
        stage.lose_executor(&ask).await?;
        stage.start_executor().await?;
        let outputs = stage.succeed(&ask.adopted()).await?;
        assert_eq!(outputs["already"], json!(already), "{point}");
        let mut database = PgConnection::connect(&url).await?;
        let items: i64 = sqlx::query_scalar("select count(*) from item").fetch_one(&mut database).await?;
        assert_eq!(items, 4, "{point}");
    }
    Ok(())
}

#[tokio::test]
async fn the_address_of_a_database_is_never_shown() -> Result<()> {
    let stage = Stage::start().await?;
    for address in ["postgres://shop:canary-hunter2@127.0.0.1:1/shop", "mysql://shop:canary-hunter2@h/shop"] {
        let (reference, marker) = stage.secret("shop-db", address);
        let mut ask = inline(&stage, &marker, &[CREATE]);
        ask.order.secrets.push(reference);
        let failure = stage.fail(&ask).await?;
        let seen = format!("{failure:?}{:?}{}", stage.logs(&ask).await, stage.executor.output());
        assert!(!seen.contains("hunter2"), "{seen}");
    }
    Ok(())
}
