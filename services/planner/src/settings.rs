//! Settings of the planner: flags, or `SLIPWAY_*` variables.

use slipway_domain::name::HolderName;
use slipway_service::args::{ListenArgs, NatsArgs};

/// The planner's own port.
pub const PORT: u16 = 7302;

/// All settings.
#[derive(Debug, clap::Args)]
pub struct Settings {
    #[command(flatten)]
    pub nats: NatsArgs,
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Name of this planner, unique among those that run
    #[arg(long, env = "SLIPWAY_ID", default_value = "planner-1")]
    pub id: HolderName,
}

impl Settings {
    /// The effective settings, a line each; holds no secret.
    pub fn redacted(&self) -> String {
        format!(
            "SLIPWAY_ID={}\nSLIPWAY_LISTEN={}\nSLIPWAY_NATS_URL={}\nSLIPWAY_NATS_CREDS={}\nSLIPWAY_NATS_REPLICAS={}\n",
            self.id,
            self.listen.or_port(PORT),
            self.nats.redacted_url(),
            self.nats.creds.as_ref().map(|p| p.display().to_string()).unwrap_or_default(),
            self.nats.replicas,
        )
    }
}
