//! Who holds tasks and is alive. Presence is a hint: it may end a lease, never grant one.

use std::{collections::HashMap, time::Duration};

use slipway_domain::{
    name::{HolderName, TargetName},
    presence::{LEASE_SECS, Presence, Role},
};
use slipway_engine::{Decision, State, expire};
use tokio::time::Instant;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(LEASE_SECS);

/// What is known of the holders of tasks.
#[derive(Debug)]
pub struct Leases {
    seen: HashMap<HolderName, Seen>,
    /// Since when silence counts; none while the watch can not be trusted.
    listening_since: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    boot: Uuid,
    at: Instant,
    targets: Vec<TargetName>,
}

impl Leases {
    /// Nobody was heard yet.
    pub fn new() -> Self {
        Self { seen: HashMap::new(), listening_since: None }
    }

    /// The watch works and has told all it knew: silence counts from now on.
    pub fn listen(&mut self) {
        self.listening_since = Some(Instant::now());
    }

    /// The watch broke: nobody's silence counts until it works again.
    pub fn deaf(&mut self) {
        self.listening_since = None;
    }

    /// Somebody renewed. Returns the targets to ring again: those of a holder that was not there before.
    pub fn heard(&mut self, presence: &Presence) -> Vec<TargetName> {
        if !matches!(presence.role, Role::Executor | Role::Notifier) {
            return Vec::new();
        }
        let seen = Seen { boot: presence.boot, at: Instant::now(), targets: presence.targets.clone() };
        match self.seen.insert(presence.id.clone(), seen) {
            Some(before) if before.boot == presence.boot && before.targets == presence.targets => Vec::new(),
            _ => presence.targets.clone(),
        }
    }

    /// What to write for the leases of a holder that said goodbye.
    pub fn left(&mut self, state: &State, holder: &HolderName) -> Vec<Decision> {
        self.seen.remove(holder);
        expire(state, holder, None, "its executor was stopped")
    }

    /// What to write for leases that are lost: of holders silent for too long, or back with another boot.
    pub fn lost(&mut self, state: &State) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for holder in state.holders() {
            match self.seen.get(holder) {
                Some(seen) if !self.is_silent(Some(seen.at)) => {
                    let reason = "its executor was started again";
                    decisions.extend(expire(state, holder, Some(seen.boot), reason));
                }
                seen => {
                    if self.is_silent(seen.map(|s| s.at)) {
                        let reason = format!("no sign of life from its executor for {LEASE_SECS} s");
                        decisions.extend(expire(state, holder, None, &reason));
                    }
                }
            }
        }
        decisions
    }

    fn is_silent(&self, heard: Option<Instant>) -> bool {
        let Some(listening) = self.listening_since else { return false };
        heard.map_or(listening, |heard| heard.max(listening)).elapsed() >= LEASE
    }
}
