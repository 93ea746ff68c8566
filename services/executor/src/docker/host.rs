//! What an engine says of itself and of its host, and of containers, for people who look.

use chrono::{DateTime, Utc};
use slipway_domain::inspection::{self, Disk, EngineFacts, Found, FoundLife};

use super::{
    DockerError, Engine, SCHEME,
    container::{Health, Life, Seen},
    labels,
};

impl Engine {
    /// The engine and its host.
    pub async fn facts(&self) -> Result<EngineFacts, DockerError> {
        let doing = "asking the engine for its version";
        let version = self.docker.version().await.map_err(|error| self.explain(doing, "the version", error))?;
        let before = Utc::now();
        let doing = "asking the engine about its host";
        let info = self.docker.info().await.map_err(|error| self.explain(doing, "the host", error))?;
        let middle = before + (Utc::now() - before) / 2;
        let clock = info.system_time.and_then(|time| time.parse::<DateTime<Utc>>().ok());
        let count = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        Ok(EngineFacts {
            version: version.version.unwrap_or_default(),
            api: version.api_version.unwrap_or_default(),
            // `version` speaks as images do (`amd64`), `info` as the kernel does (`x86_64`).
            platform: format!("{}/{}", version.os.unwrap_or_default(), version.arch.unwrap_or_default()),
            host: info.name.unwrap_or_default(),
            cpus: count(info.ncpu),
            memory: count(info.mem_total),
            clock_ahead_ms: clock.map(|clock| (clock - middle).num_milliseconds()),
            disk: info.docker_root_dir.filter(|_| self.endpoint.starts_with(SCHEME)).and_then(|folder| disk(&folder)),
        })
    }
}

/// The disk of a folder of this host.
fn disk(folder: &str) -> Option<Disk> {
    let stat = nix::sys::statvfs::statvfs(folder).ok()?;
    let size = stat.fragment_size();
    Some(Disk { free: stat.blocks_available() * size, total: stat.blocks() * size })
}

impl Seen {
    /// As it is told to people; none if Slipway did not make it.
    pub fn found(&self) -> Option<Found> {
        let label = |label: &str| self.labels.get(label).cloned().unwrap_or_default();
        Some(Found {
            id: self.id.clone(),
            name: self.name.clone(),
            kind: label(labels::KIND),
            project: label(labels::PROJECT).parse().ok()?,
            environment: label(labels::ENVIRONMENT).parse().ok()?,
            release: label(labels::RELEASE),
            deployment: label(labels::DEPLOYMENT).parse().ok()?,
            step: label(labels::STEP).parse().ok()?,
            life: self.found_life(),
            health: self.health.as_ref().map(|health| match health {
                Health::Starting(_) => "starting".to_owned(),
                Health::Healthy => "healthy".to_owned(),
                Health::Unhealthy(_) => "unhealthy".to_owned(),
            }),
            restarts: self.document["RestartCount"].as_u64().unwrap_or(0),
            started_at: self.document.pointer("/State/StartedAt").and_then(|at| at.as_str()?.parse().ok()),
            image: self.document.pointer("/Config/Image").and_then(|i| i.as_str()).unwrap_or_default().to_owned(),
            settings: inspection::settings(&self.document),
        })
    }

    fn found_life(&self) -> FoundLife {
        let flag = |flag: &str| self.document["State"][flag].as_bool().unwrap_or(false);
        match &self.life {
            Life::Created => FoundLife::Created,
            Life::Ended(code, _) => FoundLife::Ended(*code),
            Life::Live if flag("Restarting") => FoundLife::Restarting,
            Life::Live if flag("Paused") => FoundLife::Paused,
            Life::Live => FoundLife::Running,
        }
    }
}
