//! `slipway-release rotate-master-key`: another master key, for when somebody who had it is gone.

use anyhow::{Context as _, Result};
use slipway_domain::event::Actor;
use slipway_store::Store;

use crate::{keyring::Keyring, operations::audit, settings::Settings};

/// Seals all secrets with a new key; what was done.
pub async fn rotate(settings: &Settings) -> Result<String> {
    let store = Store::connect(&settings.database_url).await.context("the database can not be used")?;
    let actor = Actor::Trigger { name: "operator".to_owned() };
    let entry = audit(&actor, "master-key.rotate", "master-key".to_owned(), String::new());
    let path = &settings.master_key_file;
    let (sealed, old) = Keyring::rotate(path, &store, &entry).await?;
    Ok(format!(
        "{sealed} values of secrets are sealed with the new key in {}; the old one is in {}: keep it as long as you keep \
         backups of the database from before. Bring the new file to every release service, then start them",
        path.display(),
        old.display()
    ))
}
