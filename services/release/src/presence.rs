//! Who is alive, as the presence bucket tells, this service among them. For people to look at; nothing
//! is decided by it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use slipway_bus::PresenceEvent;
use slipway_domain::{
    name::{HolderName, TargetName},
    presence::{LEASE_SECS, Presence, Role},
};
use tokio_util::sync::CancellationToken;

use crate::app::Shared;

/// The services that were heard of within the lease.
#[derive(Debug, Default)]
pub struct Presences {
    seen: Mutex<BTreeMap<(Role, HolderName), (Instant, Presence)>>,
}

impl Presences {
    /// Everybody who is alive at `now`.
    pub fn alive(&self, now: Instant) -> Vec<Presence> {
        let lease = Duration::from_secs(LEASE_SECS);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.values().filter(|(at, _)| now.duration_since(*at) < lease).map(|(_, presence)| presence.clone()).collect()
    }

    /// The executors that serve a target at `now`.
    pub fn serving(&self, target: &TargetName, now: Instant) -> Vec<HolderName> {
        let serves = |p: &Presence| p.role == Role::Executor && !p.draining && p.targets.contains(target);
        self.alive(now).into_iter().filter(serves).map(|p| p.id).collect()
    }

    fn take(&self, event: PresenceEvent, now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            PresenceEvent::Up(presence) => {
                seen.insert((presence.role, presence.id.clone()), (now, presence));
            }
            PresenceEvent::Gone { role, id } => {
                seen.remove(&(role, id));
            }
            PresenceEvent::Drained | PresenceEvent::Lost => {}
        }
    }
}

/// Watches until shutdown.
pub async fn run(app: Shared, shutdown: CancellationToken) {
    let mut watch = app.bus.watch_presence();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            event = watch.next() => app.presences.take(event, Instant::now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use slipway_domain::name::HolderName;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn who_is_silent_for_longer_than_the_lease_serves_nothing() {
        let presences = Presences::default();
        let target = TargetName::new("web-01").unwrap();
        let executor = Presence {
            role: Role::Executor,
            id: HolderName::new("exec-1").unwrap(),
            boot: Uuid::nil(),
            version: "0".into(),
            targets: vec![target.clone()],
            draining: false,
            archived: None,
        };
        let start = Instant::now();
        presences.take(PresenceEvent::Up(executor.clone()), start);
        assert_eq!(presences.serving(&target, start + Duration::from_secs(LEASE_SECS - 1)).len(), 1);
        assert!(presences.serving(&target, start + Duration::from_secs(LEASE_SECS)).is_empty());
        presences.take(PresenceEvent::Gone { role: Role::Executor, id: executor.id }, start);
        assert!(presences.serving(&target, start).is_empty());
    }
}
