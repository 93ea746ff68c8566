//! Credentials are a seed or a .creds file, told apart by content, and never shown.

use nkeys::KeyPair;
use slipway_bus::{Bus, BusError};
use slipway_domain::presence::Role;

use crate::nats::Nats;

#[tokio::test]
async fn a_seed_in_a_file_opens_the_door_and_another_does_not() -> anyhow::Result<()> {
    let user = KeyPair::new_user();
    let nats = Nats::start_with(&format!("authorization {{ users: [ {{nkey: {}}} ] }}", user.public_key()), "")?;
    let dir = tempfile::tempdir()?;
    let mut config = nats.config(Role::Planner, "planner-1");
    config.creds = Some(dir.path().join("planner-1.nk"));
    std::fs::write(dir.path().join("planner-1.nk"), format!("# planner-1\n{}\n", user.seed()?))?;
    Bus::connect(&config).await?.ensure_streams(1).await?;

    let stranger = KeyPair::new_user().seed()?;
    std::fs::write(dir.path().join("planner-1.nk"), &stranger)?;
    let error = Bus::connect(&config).await.unwrap_err();
    assert!(matches!(error, BusError::Connect { .. }), "{error}");
    assert!(!format!("{error} {error:?} {config:?}").contains(&stranger));
    Ok(())
}

#[tokio::test]
async fn a_file_without_credentials_is_refused_without_being_quoted() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("creds");
    let mut config =
        slipway_bus::BusConfig { url: "nats://127.0.0.1:1".into(), creds: None, role: Role::Planner, id: "p".into() };
    config.creds = Some(path.clone());
    for text in ["hunter2", "-----BEGIN NATS USER JWT-----\nhunter2\n"] {
        std::fs::write(&path, text)?;
        let error = Bus::connect(&config).await.unwrap_err();
        assert!(matches!(error, BusError::Credentials { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    std::fs::remove_file(&path)?;
    assert!(matches!(Bus::connect(&config).await, Err(BusError::Credentials { .. })));
    Ok(())
}
