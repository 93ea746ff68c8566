//! What the notifier can be told: flags with their `SLIPWAY_*` variables, and the secret files they name.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use slipway_domain::name::HolderName;
use slipway_service::args::{ListenArgs, NatsArgs, redact_url};

use crate::slack::Token;

/// Port on loopback without `--listen`.
pub const PORT: u16 = 7301;

/// Flags of `run` and `config`.
#[derive(Debug, clap::Args)]
pub struct Settings {
    #[command(flatten)]
    pub nats: NatsArgs,
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Slack's Web API
    #[arg(long, env = "SLIPWAY_SLACK_API_URL", default_value = "https://slack.com/api")]
    pub slack_api_url: String,
    /// File with the app's bot token (xoxb-…); without it Slack steps fail
    #[arg(long, env = "SLIPWAY_SLACK_TOKEN_FILE")]
    pub slack_token_file: Option<PathBuf>,
    /// File with the app's signing secret; without it no button press is believed
    #[arg(long, env = "SLIPWAY_SLACK_SIGNING_SECRET_FILE")]
    pub slack_signing_secret_file: Option<PathBuf>,
    /// Folder of its own for what outlives a restart; /var/lib/slipway/<id> if not said
    #[arg(long, env = "SLIPWAY_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Name of this notifier, stable over restarts
    #[arg(long, env = "SLIPWAY_ID", default_value = "notifier-1")]
    pub id: HolderName,
}

impl Settings {
    /// The folder for what outlives a restart.
    pub fn state_dir(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| Path::new("/var/lib/slipway").join(self.id.as_str()))
    }

    /// The effective settings as `NAME=value` lines; of secrets only where they are.
    pub fn redacted(&self) -> String {
        let file = |path: &Option<PathBuf>| path.as_ref().map_or("(not set)".to_owned(), |p| p.display().to_string());
        let lines = [
            ("SLIPWAY_NATS_URL", self.nats.redacted_url()),
            ("SLIPWAY_NATS_CREDS", file(&self.nats.creds)),
            ("SLIPWAY_LISTEN", self.listen.or_port(PORT).to_string()),
            ("SLIPWAY_SLACK_API_URL", redact_url(&self.slack_api_url)),
            ("SLIPWAY_SLACK_TOKEN_FILE", file(&self.slack_token_file)),
            ("SLIPWAY_SLACK_SIGNING_SECRET_FILE", file(&self.slack_signing_secret_file)),
            ("SLIPWAY_STATE_DIR", self.state_dir().display().to_string()),
            ("SLIPWAY_ID", self.id.to_string()),
        ];
        lines.iter().fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name}={value}");
            text
        })
    }
}

/// Reads a secret from its file; none if no file is set. An empty file is a mistake, not a secret.
pub fn secret(path: Option<&PathBuf>, variable: &str) -> anyhow::Result<Option<Token>> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{variable} names {}, which can not be read", path.display()))?;
    let text = text.trim();
    anyhow::ensure!(!text.is_empty(), "{variable} names {}, which is empty; write the secret into it", path.display());
    Ok(Some(Token::new(text)))
}
