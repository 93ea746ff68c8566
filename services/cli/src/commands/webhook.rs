//! `slipway webhook`: the URL that a registry is told, with a token that is shown once.

use clap::Subcommand;
use serde::Serialize;
use slipway_domain::{api::CreatedWebhookToken, name::WebhookName};

use super::Shared;
use crate::{failure::Result, output};

#[derive(Debug, Subcommand)]
pub enum Webhook {
    /// Make the URL of an applied Webhook manifest; it is shown once
    Create {
        /// Name of the Webhook manifest
        name: WebhookName,
    },
    /// Make a new URL; the one before stops working at once
    Rotate {
        /// Name of the Webhook manifest
        name: WebhookName,
    },
}

#[derive(Serialize)]
struct Made {
    url: String,
    path: String,
    token: String,
}

impl Webhook {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let (Self::Create { name } | Self::Rotate { name }) = self;
        let client = shared.client()?;
        let path = format!("/api/v1/webhooks/{name}/token");
        let made: CreatedWebhookToken = client.post(&path, &serde_json::json!({})).await?;
        let made = Made {
            url: format!("{}{}", client.settings().server, made.path),
            token: made.path.rsplit('/').next().unwrap_or_default().to_owned(),
            path: made.path,
        };
        shared.output.show(&made, |_| format!("{}\n", made.url))?;
        if !shared.output.is_data() {
            output::complain(
                "this URL is shown this once; its last part is the token. An earlier URL of this webhook no longer works\n",
            );
        }
        Ok(())
    }
}
