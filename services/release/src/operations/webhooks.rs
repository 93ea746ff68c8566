//! The token in a webhook's address.

use slipway_domain::{
    api::CreatedWebhookToken,
    event::Actor,
    manifest::{Kind, Manifest},
    name::WebhookName,
};

use crate::{
    app::App,
    operations::{audit, tokens},
    problem::Problem,
};

/// What every webhook token begins with.
const PREFIX: &str = "swh_";

/// Draws a new token; the one before stops working.
pub async fn rotate(app: &App, name: &WebhookName, actor: &Actor) -> Result<CreatedWebhookToken, Problem> {
    let Some(Manifest::Webhook(webhook)) = app.store.manifest(Kind::Webhook, name.as_str()).await? else {
        return Err(Problem::not_found(
            "unknown-manifest",
            format!("there is no Webhook `{name}`; apply its manifest first"),
        ));
    };
    let token = tokens::random(PREFIX);
    let entry = audit(actor, "webhook.token", format!("webhook/{name}"), "");
    app.store.set_webhook_token(name, &token, &entry).await?;
    Ok(CreatedWebhookToken { path: format!("/hooks/{}/{token}", webhook.source.as_str()) })
}
