//! What the release service is told at start: flags and `SLIPWAY_*` variables.

use std::path::PathBuf;

use clap::{Args, Parser};
use slipway_service::{
    Command,
    args::{ListenArgs, NatsArgs, redact_url},
};

/// The port when nothing else is said.
pub const PORT: u16 = 7300;

/// slipway-release: the HTTP API, the web page, webhooks in, and the database.
#[derive(Debug, Parser)]
#[command(name = "slipway-release", version, about)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub settings: Settings,
}

/// The settings of a release service.
#[derive(Clone, Args)]
pub struct Settings {
    #[command(flatten)]
    pub nats: NatsArgs,
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Database: sqlite://FILE?mode=rwc or postgres://USER:PASSWORD@HOST/NAME
    #[arg(
        long,
        env = "SLIPWAY_DATABASE_URL",
        default_value = "sqlite:///var/lib/slipway/release.db?mode=rwc",
        hide_env_values = true
    )]
    pub database_url: String,
    /// File with the key that secrets are encrypted with (32 bytes, base64); made if it is not there
    #[arg(long, env = "SLIPWAY_MASTER_KEY_FILE", default_value = "/var/lib/slipway/master.key")]
    pub master_key_file: PathBuf,
    /// Where the first admin token is written, if the database has no token yet
    #[arg(long, env = "SLIPWAY_ADMIN_TOKEN_FILE", default_value = "/var/lib/slipway/admin.token")]
    pub admin_token_file: PathBuf,
    /// Name of this process among release services
    #[arg(long, env = "SLIPWAY_ID", default_value = "release-1")]
    pub id: String,
}

impl Settings {
    /// The settings in effect as lines of `NAME=value`, without passwords.
    pub fn effective(&self) -> String {
        let creds = self.nats.creds.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        [
            ("SLIPWAY_NATS_URL", self.nats.redacted_url()),
            ("SLIPWAY_NATS_CREDS", creds),
            ("SLIPWAY_NATS_REPLICAS", self.nats.replicas.to_string()),
            ("SLIPWAY_DATABASE_URL", redact_url(&self.database_url)),
            ("SLIPWAY_LISTEN", self.listen.or_port(PORT).to_string()),
            ("SLIPWAY_MASTER_KEY_FILE", self.master_key_file.display().to_string()),
            ("SLIPWAY_ADMIN_TOKEN_FILE", self.admin_token_file.display().to_string()),
            ("SLIPWAY_ID", self.id.clone()),
        ]
        .into_iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect()
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.effective())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_printed() {
        let cli = Cli::parse_from([
            "slipway-release",
            "--database-url",
            "postgres://slipway:hidden-1@db/slipway",
            "--nats-url",
            "nats://u:hidden-2@nats:4222",
        ]);
        let shown = format!("{}{:?}", cli.settings.effective(), cli);
        assert!(!shown.contains("hidden"), "{shown}");
        assert!(shown.contains("SLIPWAY_LISTEN=127.0.0.1:7300"), "{shown}");
    }
}
