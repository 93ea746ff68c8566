//! The store against the real databases: every story runs on SQLite and on Postgres.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod postgres;
mod stories;

use slipway_store::Store;

/// A SQLite file in a folder that is not there yet.
async fn sqlite(folder: &tempfile::TempDir) -> (Store, String) {
    let url = format!("sqlite://{}/data/release.db?mode=rwc", folder.path().display());
    (Store::connect(&url).await.unwrap(), url)
}

macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let (store, _) = super::sqlite(&folder).await;
                super::stories::$name(&store).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                let server = super::postgres::Server::start();
                let store = slipway_store::Store::connect(&server.url()).await.unwrap();
                super::stories::$name(&store).await;
            })*
        }
    };
}

stories![
    a_batch_is_written_once_and_whole,
    a_rebuilt_projection_is_the_same,
    an_archive_is_read_in_order_and_cut_where_its_log_was,
    a_purge_is_remembered_until_it_is_over,
    rows_keep_what_a_partial_change_leaves_alone,
    the_board_tells_what_runs_and_what_waits,
    manifests_change_together_with_their_audit,
    a_release_version_is_taken_once,
    a_token_counts_until_it_is_revoked_or_expires,
    a_deleted_secret_never_gives_its_versions_again,
    a_webhook_has_one_token_at_a_time,
    pushes_and_their_offset,
    the_first_value_of_a_setting_stays,
    many_writers_do_not_disturb_each_other,
];

#[tokio::test]
async fn a_store_opens_again_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (store, url) = sqlite(&folder).await;
    stories::a_release_version_is_taken_once(&store).await;
    drop(store);
    let again = Store::connect(&url).await.unwrap();
    assert_eq!(again.releases_of(&stories::project(), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn services_that_start_at_once_on_an_empty_postgres_all_find_their_tables() {
    let server = postgres::Server::start();
    let url = server.url();
    let stores = futures::future::join_all((0..4).map(|_| Store::connect(&url))).await;
    for store in stores {
        store.unwrap().releases_of(&stories::project(), 10).await.unwrap();
    }
}

#[tokio::test]
async fn an_unusable_address_is_refused_without_telling_it() {
    let error = Store::connect("mysql://u:hidden@h/db").await.unwrap_err().to_string();
    assert!(error.contains("sqlite://") && !error.contains("hidden"), "{error}");
    let error = Store::connect("postgres://u:hidden@127.0.0.1:1/db").await.unwrap_err().to_string();
    assert!(!error.contains("hidden"), "{error}");
}
