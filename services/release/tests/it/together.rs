//! Several release services on one database.

use anyhow::Result;
use serde_json::{Value, json};
use slipway_integration_tests::{client::Client, ports, postgres::Postgres};

use crate::stage;

const SERVICES: usize = 3;

#[tokio::test]
async fn services_that_start_at_once_on_an_empty_postgres_share_tables_key_and_token() -> Result<()> {
    slipway_service::crypto::install();
    let folder = tempfile::tempdir()?;
    let server = Postgres::start(folder.path()).await?;
    let url = server.create("slipway").await?;
    let (_nats, nats_port) = stage::nats(&folder)?;
    let mut all = Vec::new();
    for n in 1..=SERVICES {
        let port = ports::reserve()?;
        let mut process = stage::release(&folder, &port, &nats_port);
        process.set("SLIPWAY_DATABASE_URL", Some(&url));
        process.set("SLIPWAY_ID", Some(&format!("release-{n}")));
        all.push((process, Client::new(format!("http://{}", port.address()), None), port));
    }
    all.iter_mut().try_for_each(|(process, ..)| process.start())?;
    for (process, api, _) in &mut all {
        // One that has ended is not waited for.
        let ended = async {
            while process.is_running() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = stage::ready(api) => {}
            () = ended => panic!("{}", process.tail()),
        }
    }
    let token = std::fs::read_to_string(folder.path().join("admin.token"))?.trim().to_owned();
    for (n, (process, api, _)) in all.iter_mut().enumerate() {
        let api = api.with_token(Some(token.clone()));
        api.put(&format!("/api/v1/secrets/secret-{n}"), &json!({ "value": "x" })).await?;
        let secrets: Vec<Value> = api.get("/api/v1/secrets").await?;
        assert_eq!(secrets.len(), n + 1, "{secrets:?}");
        assert!(process.is_running(), "{}", process.tail());
    }
    Ok(())
}
