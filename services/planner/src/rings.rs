//! Doorbells that have to be rung, and when to ring them again. All of it is lost with the process
//! and made again from the log.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use slipway_domain::{
    id::{DeploymentId, TaskKey},
    name::TargetName,
};
use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// A task whose doorbell rings until somebody claims it.
pub type Caller = (DeploymentId, TaskKey);

/// The doorbells.
#[derive(Debug, Default)]
pub struct Rings {
    callers: HashMap<Caller, Ring>,
    by_deployment: HashMap<DeploymentId, HashSet<TaskKey>>,
    times: BTreeSet<(Instant, u64)>,
    order: HashMap<u64, Caller>,
    /// Per target, the numbers of its doorbells: the smallest has waited longest.
    by_target: HashMap<TargetName, BTreeSet<u64>>,
    next: u64,
}

#[derive(Debug)]
struct Ring {
    at: Instant,
    number: u64,
    pause: Duration,
}

impl Rings {
    /// The tasks of a deployment that are due now: new ones ring at `first`, those no longer due stop.
    pub fn update(&mut self, id: DeploymentId, due: Vec<TaskKey>, first: Instant) {
        let due: HashSet<TaskKey> = due.into_iter().collect();
        let known = self.by_deployment.remove(&id).unwrap_or_default();
        for gone in known.difference(&due) {
            self.remove(&(id, gone.clone()));
        }
        for new in due.difference(&known) {
            self.insert((id, new.clone()), first, FIRST);
        }
        if !due.is_empty() {
            self.by_deployment.insert(id, due);
        }
    }

    /// Whether one task is due now: a new one rings at `first`, one that is no longer due stops.
    pub fn set(&mut self, caller: Caller, due: bool, first: Instant) {
        match (self.callers.contains_key(&caller), due) {
            (false, true) => {
                self.by_deployment.entry(caller.0).or_default().insert(caller.1.clone());
                self.insert(caller, first, FIRST);
            }
            (true, false) => {
                self.remove(&caller);
                if let Some(keys) = self.by_deployment.get_mut(&caller.0) {
                    keys.remove(&caller.1);
                    if keys.is_empty() {
                        self.by_deployment.remove(&caller.0);
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes what is to be rung now, and sets when to ring it again.
    pub fn take(&mut self, now: Instant) -> Vec<Caller> {
        let mut callers = Vec::new();
        while let Some((at, number)) = self.times.first().copied()
            && at <= now
        {
            let Some(caller) = self.order.get(&number).cloned() else {
                self.times.pop_first();
                continue;
            };
            let pause = self.callers.get(&caller).map_or(FIRST, |ring| ring.pause);
            self.remove(&caller);
            self.insert(caller.clone(), now + pause, (pause * 2).min(LAST));
            callers.push(caller);
        }
        callers
    }

    /// Somebody who serves these targets has just come: ring for them at once.
    pub fn hurry(&mut self, targets: &[TargetName]) {
        let now = Instant::now();
        let numbers = targets.iter().filter_map(|target| self.by_target.get(target)).flatten();
        let callers: Vec<Caller> = numbers.filter_map(|number| self.order.get(number)).cloned().collect();
        for caller in callers {
            self.remove(&caller);
            self.insert(caller, now, FIRST);
        }
    }

    /// A slot of a target became free: ring now for the task that has waited longest.
    pub fn freed(&mut self, target: &TargetName) {
        let first = self.by_target.get(target).and_then(|numbers| numbers.first());
        if let Some(caller) = first.and_then(|number| self.order.get(number)).cloned() {
            self.remove(&caller);
            self.insert(caller, Instant::now(), FIRST);
        }
    }

    /// When the next one is to be rung.
    pub fn next(&self) -> Option<Instant> {
        self.times.first().map(|(at, _)| *at)
    }

    fn insert(&mut self, caller: Caller, at: Instant, pause: Duration) {
        let number = self.next;
        self.next += 1;
        self.times.insert((at, number));
        self.order.insert(number, caller.clone());
        self.by_target.entry(caller.1.target.clone()).or_default().insert(number);
        self.callers.insert(caller, Ring { at, number, pause });
    }

    fn remove(&mut self, caller: &Caller) {
        if let Some(ring) = self.callers.remove(caller) {
            self.times.remove(&(ring.at, ring.number));
            self.order.remove(&ring.number);
            if let Some(numbers) = self.by_target.get_mut(&caller.1.target) {
                numbers.remove(&ring.number);
                if numbers.is_empty() {
                    self.by_target.remove(&caller.1.target);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doorbell_rings_with_growing_pauses_until_it_is_claimed() {
        let id = DeploymentId::derive(&["x"]);
        let key = TaskKey::new("web".parse().unwrap(), "web-01".parse().unwrap());
        let mut rings = Rings::default();
        let start = Instant::now();
        rings.update(id, vec![key.clone()], start);
        assert_eq!(rings.take(start), vec![(id, key.clone())]);
        assert_eq!(rings.next(), Some(start + FIRST));
        assert!(rings.take(start).is_empty());
        assert_eq!(rings.take(start + FIRST).len(), 1);
        assert_eq!(rings.next(), Some(start + FIRST + 2 * FIRST));
        rings.update(id, vec![key.clone()], start);
        assert_eq!(rings.next(), Some(start + 3 * FIRST), "a known one keeps its time");
        rings.hurry(std::slice::from_ref(&key.target));
        assert_eq!(rings.take(Instant::now()).len(), 1);
        rings.update(id, Vec::new(), start);
        assert_eq!(rings.next(), None);
        rings.set((id, key.clone()), true, start);
        rings.set((id, key.clone()), true, start + FIRST);
        assert_eq!(rings.take(start), vec![(id, key.clone())], "a known one keeps its time");
        rings.set((id, key.clone()), false, start);
        assert_eq!(rings.next(), None);
        assert!(rings.by_deployment.is_empty() && rings.by_target.is_empty());
    }

    #[test]
    fn a_free_slot_goes_to_who_has_waited_longest() {
        let id = DeploymentId::derive(&["x"]);
        let target: TargetName = "worker".parse().unwrap();
        let keys: Vec<_> = ["a", "b"].map(|step| TaskKey::new(step.parse().unwrap(), target.clone())).into();
        let mut rings = Rings::default();
        let start = Instant::now();
        rings.update(id, keys.clone(), start);
        let order = rings.take(start);
        assert_eq!(order.len(), 2);
        rings.freed(&target);
        assert_eq!(rings.take(Instant::now()), vec![order[0].clone()]);
        rings.freed(&"other".parse().unwrap());
        assert!(rings.take(Instant::now()).is_empty());
    }
}
