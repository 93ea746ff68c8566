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
    /// How many of them serve a target.
    servers: HashMap<TargetName, usize>,
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
        Self { seen: HashMap::new(), servers: HashMap::new(), wrote: HashMap::new(), listening_since: None }
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
        let before = self.seen.insert(presence.id.clone(), seen);
        if before.as_ref().is_some_and(|old| old.boot == presence.boot && old.targets == presence.targets) {
            return Vec::new();
        }
        self.no_longer_serves(before);
        for target in &presence.targets {
            *self.servers.entry(target.clone()).or_default() += 1;
        }
        presence.targets.clone()
    }

    fn no_longer_serves(&mut self, seen: Option<Seen>) {
        for target in seen.into_iter().flat_map(|seen| seen.targets) {
            if let Some(servers) = self.servers.get_mut(&target) {
                *servers -= 1;
            }
        }
    }

    /// Whether more than one holder serves a target, as far as is known.
    pub fn is_shared(&self, target: &TargetName) -> bool {
        self.servers.get(target).is_some_and(|servers| *servers > 1)
    }

    /// What to write for the leases of a holder that said goodbye at that time. What it claimed since, it holds: it is
    /// back already.
    pub fn left(&mut self, state: &State, holder: &HolderName, told: Option<DateTime<Utc>>) -> Vec<Decision> {
        let seen = self.seen.remove(holder);
        self.no_longer_serves(seen);
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;
    use slipway_domain::{
        event::{Actor, Entry, Envelope, PlanEvent, Recorded, SCHEMA, TaskEvent},
        id::{DeploymentId, TaskKey},
    };
    use slipway_engine::compile::compile;

    use super::*;

    fn second(n: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::seconds(n)
    }

    fn boot(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn envelope<E>(actor: Actor, events: Vec<E>) -> Envelope<E> {
        Envelope { id: Uuid::new_v4(), schema: SCHEMA, at: second(0), actor, trace: None, events }
    }

    fn holder() -> HolderName {
        HolderName::new("executor-1").unwrap()
    }

    /// A log in which executor-1, in its first boot, claims a task at second 100.
    fn claimed() -> State {
        let id = DeploymentId::derive(&["leases"]);
        let request: slipway_domain::release::Request = serde_json::from_value(json!({
            "id": id, "environment": "staging",
            "release": {
                "project": "shop", "version": "1.0.0", "channel": "default", "packages": {}, "variables": [],
                "steps": [{"name": "pause", "wait": "1s"}], "created_at": second(0)
            },
            "targets": [], "secrets": [], "teams": {}, "body_digest": "", "rules_version": 1,
            "requested_by": {"kind": "person", "name": "ana", "via": "api"}
        }))
        .unwrap();
        let key = TaskKey::new("pause".parse().unwrap(), TargetName::worker());
        let (ana, planner) = (request.requested_by.clone(), Actor::Planner { id: "planner-1".into() });
        let plan = compile(&request).unwrap();
        let decided = vec![
            PlanEvent::Planned { digest: plan.digest(), plan: Box::new(plan) },
            PlanEvent::Started { policy: 0 },
            PlanEvent::Granted { tasks: vec![key.clone()] },
        ];
        let claim = TaskEvent::Claimed { holder: holder(), boot: boot(1), attempt: 1, key: String::new() };
        let actor = Actor::Holder { name: holder(), boot: boot(1) };
        let requested = vec![PlanEvent::Requested { request: Box::new(request) }];
        let mut state = State::new();
        for (seq, address, entry) in [
            (1, Address::Plan(id), Entry::Plan(envelope(ana, requested))),
            (2, Address::Plan(id), Entry::Plan(envelope(planner, decided))),
            (3, Address::Task(id, key), Entry::Task(envelope(actor, vec![claim]))),
        ] {
            state.apply(&Recorded { seq, at: second(100), address, entry });
        }
        assert_eq!(state.held_by(&holder()).count(), 1);
        state
    }

    fn presence(n: u128) -> Presence {
        Presence {
            role: Role::Executor,
            id: holder(),
            boot: boot(n),
            version: "0".into(),
            targets: vec![TargetName::worker()],
            draining: false,
            archived: None,
        }
    }

    #[test]
    fn another_boot_ends_a_lease_only_if_it_was_heard_after_the_claim() {
        let state = claimed();
        for (n, told, ended) in [(1, 101, 0), (2, 101, 1), (2, 99, 0)] {
            let mut leases = Leases::new();
            leases.listen();
            leases.heard(&presence(n), Some(second(told)));
            assert_eq!(leases.lost(&state, second(102)).len(), ended, "boot {n} heard at {told}");
        }
    }

    #[test]
    fn a_goodbye_ends_only_claims_that_are_older() {
        let state = claimed();
        assert_eq!(Leases::new().left(&state, &holder(), Some(second(101))).len(), 1);
        assert_eq!(Leases::new().left(&state, &holder(), Some(second(99))).len(), 0);
    }

    #[test]
    fn a_target_is_shared_while_more_than_one_serves_it() {
        let (mut leases, worker) = (Leases::new(), TargetName::worker());
        let other = Presence { id: HolderName::new("executor-2").unwrap(), ..presence(3) };
        leases.heard(&presence(1), None);
        leases.heard(&presence(1), None);
        leases.heard(&presence(2), None);
        assert!(!leases.is_shared(&worker), "one executor, heard again and restarted");
        leases.heard(&other, None);
        assert!(leases.is_shared(&worker));
        leases.left(&State::new(), &other.id, None);
        assert!(!leases.is_shared(&worker));
        leases.heard(&other, None);
        leases.heard(&Presence { targets: vec![TargetName::new("web-01").unwrap()], ..presence(4) }, None);
        assert!(!leases.is_shared(&worker), "the first serves another one now");
    }

    #[test]
    fn an_append_is_a_sign_of_life_for_as_long_as_a_lease() {
        let mut leases = Leases::new();
        leases.wrote(&holder(), second(100));
        leases.wrote(&holder(), second(50));
        assert!(leases.wrote_lately(&holder(), second(114)));
        assert!(!leases.wrote_lately(&holder(), second(115)));
    }
}
