//! What the release service is told at start: flags and `SLIPWAY_*` variables.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser};
use slipway_service::{
    self as service,
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

/// What the program is asked to do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Serve until SIGTERM (the default)
    Run,
    /// Print the effective settings, secrets redacted
    Config,
    /// Give back to NATS what its log has lost, from the archive in the database; all services but executors must be stopped
    RepairLog(RepairLog),
    /// Seal all secrets with a new master key and put it into the key file; all release services must be stopped
    RotateMasterKey,
}

/// How a log is repaired.
#[derive(Debug, Clone, Args)]
pub struct RepairLog {
    /// Where log and archive went different ways, believe the log: what only the archive knows is given up
    #[arg(long)]
    pub believe_log: bool,
}

impl Command {
    /// What every service can be asked to do.
    pub fn common(&self) -> Option<service::Command> {
        match self {
            Self::Run => Some(service::Command::Run),
            Self::Config => Some(service::Command::Config),
            Self::RepairLog(_) | Self::RotateMasterKey => None,
        }
    }
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
    /// How long a deployment that is over stays in the log, in hours; the archive in the database keeps it for ever
    #[arg(long, env = "SLIPWAY_LOG_HOURS", default_value_t = 24.0, value_name = "HOURS", value_parser = hours)]
    pub log_hours: f64,
    /// How often releases are looked at that no policy keeps, and hosts cleaned up, in hours
    #[arg(long, env = "SLIPWAY_RETENTION_HOURS", default_value_t = 4.0, value_name = "HOURS", value_parser = hours)]
    pub retention_hours: f64,
    /// How often it is looked whether what runs is what was deployed, in minutes; 0: never
    #[arg(long, env = "SLIPWAY_DRIFT_MINUTES", default_value_t = 5.0, value_name = "MINUTES", value_parser = minutes)]
    pub drift_minutes: f64,
    /// Name of this process among release services
    #[arg(long, env = "SLIPWAY_ID", default_value = "release-1")]
    pub id: String,
}

fn minutes(text: &str) -> Result<f64, String> {
    hours(text).map_err(|_| "minutes are a number from 0 on, such as 5 or 0.5".to_owned())
}

fn hours(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(hours) if (0.0..=1e6).contains(&hours) => Ok(hours),
        _ => Err("hours are a number from 0 on, such as 24 or 0.5".to_owned()),
    }
}

impl Settings {
    /// How long a deployment that is over stays in the log.
    pub fn keep_in_log(&self) -> Duration {
        Duration::from_secs_f64(self.log_hours * 3600.0)
    }

    /// How long retention waits between two rounds.
    pub fn retention_pause(&self) -> Duration {
        Duration::from_secs_f64(self.retention_hours * 3600.0).max(Duration::from_secs(1))
    }

    /// How long the watch for drift waits between two rounds; none: it does not watch.
    pub fn drift_pause(&self) -> Option<Duration> {
        let pause = Duration::from_secs_f64(self.drift_minutes * 60.0);
        (!pause.is_zero()).then(|| pause.max(Duration::from_secs(1)))
    }

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
            ("SLIPWAY_LOG_HOURS", self.log_hours.to_string()),
            ("SLIPWAY_RETENTION_HOURS", self.retention_hours.to_string()),
            ("SLIPWAY_DRIFT_MINUTES", self.drift_minutes.to_string()),
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
