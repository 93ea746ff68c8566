//! Who holds tasks and is alive. Presence is a hint: it may end a lease, never grant one.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use slipway_domain::{
    event::Address,
    name::{HolderName, TargetName},
    presence::{LEASE_SECS, Presence, Role},
};
use slipway_engine::{Decision, State, deployment::TaskState, expire};
use tokio::time::Instant;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(LEASE_SECS);

/// What is known of the holders of tasks.
#[derive(Debug)]
pub struct Leases {
    seen: HashMap<HolderName, Seen>,
    /// When holders last wrote to the log, by the server's time; as good a sign of life as a renewal.
    wrote: HashMap<HolderName, DateTime<Utc>>,
    /// Since when silence counts; none while the watch can not be trusted.
    listening_since: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    boot: Uuid,
    at: Instant,
    /// The server's time of the renewal.
    told: Option<DateTime<Utc>>,
    targets: Vec<TargetName>,
}

impl Leases {
    /// Nobody was heard yet.
    pub fn new() -> Self {
        Self { seen: HashMap::new(), wrote: HashMap::new(), listening_since: None }
    }

    /// The watch works and has told all it knew: silence counts from now on.
    pub fn listen(&mut self) {
        self.listening_since = Some(Instant::now());
    }

    /// The watch broke: nobody's silence counts until it works again.
    pub fn deaf(&mut self) {
        self.listening_since = None;
    }

    /// A holder wrote to the log, at this time by the server.
    pub fn wrote(&mut self, holder: &HolderName, at: DateTime<Utc>) {
        match self.wrote.get_mut(holder) {
            Some(last) => *last = at.max(*last),
            None => drop(self.wrote.insert(holder.clone(), at)),
        }
    }

    /// Somebody renewed, `told` by the server's time. Returns the targets to ring again: those of a holder that was not there before.
    pub fn heard(&mut self, presence: &Presence, told: Option<DateTime<Utc>>) -> Vec<TargetName> {
        if !matches!(presence.role, Role::Executor | Role::Notifier) {
            return Vec::new();
        }
        let seen = Seen { boot: presence.boot, at: Instant::now(), told, targets: presence.targets.clone() };
        match self.seen.insert(presence.id.clone(), seen) {
            Some(before) if before.boot == presence.boot && before.targets == presence.targets => Vec::new(),
            _ => presence.targets.clone(),
        }
    }

    /// What to write for the leases of a holder that said goodbye at that time. What it claimed since, it holds: it is
    /// back already.
    pub fn left(&mut self, state: &State, holder: &HolderName, told: Option<DateTime<Utc>>) -> Vec<Decision> {
        self.seen.remove(holder);
        let decisions = expire(state, holder, None, "its executor was stopped");
        decisions.into_iter().filter(|decision| claimed_before(state, decision, told)).collect()
    }

    /// What to write for leases that are lost: of holders silent for too long, or back with another boot.
    pub fn lost(&mut self, state: &State, now: DateTime<Utc>) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for holder in state.holders() {
            match self.seen.get(holder) {
                Some(seen) if !self.is_silent(Some(seen.at)) => {
                    // A claim of another boot that is younger than the renewal is one of a newer boot, whose own
                    // renewal was not heard yet.
                    let back = expire(state, holder, Some(seen.boot), "its executor was started again");
                    decisions.extend(back.into_iter().filter(|decision| claimed_before(state, decision, seen.told)));
                }
                seen => {
                    if self.is_silent(seen.map(|s| s.at)) && !self.wrote_lately(holder, now) {
                        let reason = format!("no sign of life from its executor for {LEASE_SECS} s");
                        decisions.extend(expire(state, holder, None, &reason));
                    }
                }
            }
        }
        decisions
    }

    /// Whoever wrote may begin effects for a moment, so its lease must not end then.
    fn wrote_lately(&self, holder: &HolderName, now: DateTime<Utc>) -> bool {
        self.wrote.get(holder).is_some_and(|at| now < *at + LEASE)
    }

    fn is_silent(&self, heard: Option<Instant>) -> bool {
        let Some(listening) = self.listening_since else { return false };
        heard.map_or(listening, |heard| heard.max(listening)).elapsed() >= LEASE
    }
}

/// Whether the claim that a decision ends is older than this time.
fn claimed_before(state: &State, decision: &Decision, time: Option<DateTime<Utc>>) -> bool {
    let (Address::Task(id, key), Some(time)) = (&decision.address, time) else { return true };
    let task = state.get(*id).and_then(|deployment| deployment.progress.as_ref()?.task(key));
    match task.map(|task| &task.state) {
        Some(TaskState::Running { claim, .. }) => claim.at < time,
        _ => true,
    }
}
