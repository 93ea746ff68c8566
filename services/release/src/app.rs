//! What every part of the release service shares.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use slipway_bus::Bus;
use slipway_domain::{manifest::Feed, name::SecretName, secret::SecretRef};
use slipway_service::readiness::Readiness;
use slipway_store::Store;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::{
    drift_watch::Watched, keyring::Keyring, presence::Presences, problem::Problem, projection::Folded,
    rebuild::Progress, registry::Registries, room::Room, settings::Settings, world::World,
};

/// As handlers and background work hold it.
pub type Shared = Arc<App>;

/// The service.
pub struct App {
    /// What it was told at start.
    pub settings: Settings,
    /// The log and everything else on NATS.
    pub bus: Bus,
    /// The database.
    pub store: Store,
    /// The manifests as they were read last, and after how many changes.
    pub world: Mutex<Option<(u64, Arc<World>)>>,
    /// Seals and opens secrets.
    pub keyring: Keyring,
    /// The log, folded.
    pub folded: Folded,
    /// Who is alive.
    pub presences: Presences,
    /// How full the log is.
    pub room: Room,
    /// What was not as it was deployed when it was looked at last.
    pub drift: Watched,
    /// The rows of deployments, when they are written anew.
    pub rebuild: Progress,
    /// Clients of image registries.
    pub registries: Registries,
    /// What `/readyz` says.
    pub readiness: Readiness,
    /// Cancelled when the service shall end.
    pub shutdown: CancellationToken,
    /// Why it ends, if a part of it failed.
    pub failure: OnceLock<String>,
}

impl App {
    /// Every stored manifest.
    pub async fn world(&self) -> Result<Arc<World>, Problem> {
        let changes = self.store.manifest_changes().await?;
        if let Some(world) = self.read_world().filter(|(read_at, _)| *read_at == changes) {
            return Ok(world.1);
        }
        let world = Arc::new(World::of(self.store.all_manifests().await?));
        *self.world.lock().unwrap_or_else(PoisonError::into_inner) = Some((changes, world.clone()));
        Ok(world)
    }

    fn read_world(&self) -> Option<(u64, Arc<World>)> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest value of a secret.
    pub async fn secret_value(&self, name: &SecretName) -> Result<Option<Zeroizing<String>>, Problem> {
        match self.newest_secret(name).await? {
            Some(secret) => self.open(&secret).await,
            None => Ok(None),
        }
    }

    /// The value of a secret at one version.
    pub async fn open(&self, secret: &SecretRef) -> Result<Option<Zeroizing<String>>, Problem> {
        match self.store.secret(secret).await? {
            Some(sealed) => self.keyring.open(secret, &sealed).map(Some).map_err(Problem::internal),
            None => Ok(None),
        }
    }

    /// The newest version of a secret.
    pub async fn newest_secret(&self, name: &SecretName) -> Result<Option<SecretRef>, Problem> {
        let views = self.store.secrets().await?;
        Ok(views.into_iter().find(|v| v.name == *name).map(|v| SecretRef { name: v.name, version: v.version }))
    }

    /// User name and password of a feed, if it has credentials.
    pub async fn feed_password(&self, feed: &Feed) -> Result<Option<(String, Zeroizing<String>)>, Problem> {
        let Some(credentials) = &feed.credentials else { return Ok(None) };
        let name = &credentials.password.secret;
        match self.secret_value(name).await? {
            Some(password) => Ok(Some((credentials.username.clone(), password))),
            None => Err(Problem::unprocessable(
                "unknown-secret",
                format!(
                    "feed {} signs in with secret `{name}`, which has no value; `slipway secret set {name}`",
                    feed.name
                ),
            )),
        }
    }
}
