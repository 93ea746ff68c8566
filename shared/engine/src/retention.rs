//! What of the log may be purged once it is in the archive.
//!
//! An entry's effect is settled at its own place in the log, by what else was going on there. So a deployment may
//! go only if nobody who stays would be judged differently without it. Without a deployment there is more room, never
//! less: what found room still does, and only what found none could now find some. Such entries are the *voids* of
//! a deployment; as long as one of another deployment stays in the log, what was going on at its place stays too.

use std::collections::BTreeSet;

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

    fn spans(&self, seq: u64) -> bool {
        self.requested < seq && seq < self.ended
    }
}

/// The deployments that may be purged: they ended before `before`, lie in the archive (`archived` is the last entry
/// there), and no entry of a deployment that stays would mean something else without them.
pub fn purgeable<'a>(
    past: &'a [Past],
    unfinished: impl Iterator<Item = &'a Deployment>,
    before: DateTime<Utc>,
    archived: u64,
) -> BTreeSet<DeploymentId> {
    let (mut may_go, stay): (Vec<_>, Vec<_>) = past.iter().partition(|p| p.at <= before && p.ended <= archived);
    let mut voids: BTreeSet<u64> = stay.into_iter().flat_map(|p| p.voids.iter().copied()).collect();
    voids.extend(unfinished.flat_map(|d| d.voids.iter().copied()));
    loop {
        let (go, stay): (Vec<_>, Vec<_>) = may_go
            .into_iter()
            .partition(|p| !voids.range(p.requested + 1..p.ended.max(p.requested + 1)).any(|seq| p.spans(*seq)));
        if stay.is_empty() {
            return go.into_iter().map(|p| p.id).collect();
        }
        // Who stays because of another one keeps others in turn.
        voids.extend(stay.into_iter().flat_map(|p| p.voids.iter().copied()));
        may_go = go;
    }
}
