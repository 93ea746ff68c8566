//! What of the log may be purged once it is in the archive.
//!
//! An entry's effect is settled at its own place in the log, by what else was going on there. So a deployment may
//! go only if nobody who stays would be judged differently without it. Without a deployment there is more room, never
//! less: what found room still does, and only what found none could now find some. Such entries are the *voids* of
//! a deployment; as long as one of another deployment is in the log, what was going on at its place is there too. So each
//! may go alone: who dies between two purges leaves a log that means the same.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use slipway_domain::id::DeploymentId;

use crate::Deployment;

/// What is remembered of a deployment that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Which.
    pub id: DeploymentId,
    /// The entry that requested it.
    pub requested: u64,
    /// The entry that ended it.
    pub ended: u64,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Its entries without effect.
    pub voids: Vec<u64>,
}

impl Past {
    /// Of a deployment, if it is over.
    pub fn of(deployment: &Deployment) -> Option<Self> {
        let end = deployment.end.as_ref()?;
        Some(Self {
            id: deployment.id(),
            requested: deployment.seq,
            ended: end.seq,
            at: end.at,
            voids: deployment.voids.clone(),
        })
    }
}

/// The deployments that may be purged, in any order and not all at once: they ended before `before`, lie in the archive
/// (`archived` is the last entry there), and no entry of another deployment that is still there found no room while they
/// went on. Who holds another one may go itself first.
pub fn purgeable<'a>(
    past: &'a [Past],
    unfinished: impl Iterator<Item = &'a Deployment>,
    before: DateTime<Utc>,
    archived: u64,
) -> BTreeSet<DeploymentId> {
    let mut voids: BTreeMap<u64, DeploymentId> = BTreeMap::new();
    voids.extend(past.iter().flat_map(|p| p.voids.iter().map(|seq| (*seq, p.id))));
    voids.extend(unfinished.flat_map(|d| d.voids.iter().map(|seq| (*seq, d.id()))));
    let is_held = |p: &Past| voids.range(p.requested..p.ended).any(|(_, id)| *id != p.id);
    past.iter().filter(|p| p.at <= before && p.ended <= archived && !is_held(p)).map(|p| p.id).collect()
}
