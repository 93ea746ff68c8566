//! The first token: made once, for the person `admin`, when the database has none.

use std::path::Path;

use anyhow::Context as _;
use chrono::Utc;
use slipway_domain::{
    api::{CreateToken, Right},
    event::Actor,
    name::PersonName,
};
use slipway_store::Store;

use crate::{keyring::replace_private, operations::tokens};

/// Makes the admin token and writes it to the file, unless the database has a token.
pub async fn admin_token(store: &Store, path: &Path) -> anyhow::Result<()> {
    if store.has_tokens().await? {
        return Ok(());
    }
    let admin = PersonName::new("admin").context("`admin` is a name")?;
    let body = CreateToken { person: admin, team: None, right: Right::Admin, expires: None };
    let actor = Actor::Trigger { name: "first-start".to_owned() };
    let (created, row) = tokens::draw(&body, Utc::now());
    // The file first: a token that nobody ever saw could not be used, nor made again.
    replace_private(path, &created.token).with_context(|| {
        format!("the admin token can not be written to {}; set SLIPWAY_ADMIN_TOKEN_FILE", path.display())
    })?;
    store.add_token(&row, &[], &tokens::created(&created.view, actor)).await?;
    tracing::info!(path = %path.display(), "made the first admin token");
    Ok(())
}
