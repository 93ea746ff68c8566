//! Doorbells that rang while all slots were taken. The next free slot takes the one that has waited
//! longest, without asking the planner again: a doorbell that is too old only loses its claim.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use slipway_domain::order::Doorbell;

/// Orders can be large; what finds no room here is rung again by the planner.
const MOST: usize = 16_384;

/// The doorbells, the oldest first.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<VecDeque<Doorbell>>);

impl Waiting {
    /// Puts one at the end. One for the same task keeps its place and is replaced.
    pub(crate) fn push(&self, doorbell: Doorbell) {
        let mut waiting = self.lock();
        let same = |other: &Doorbell| (other.deployment, &other.task) == (doorbell.deployment, &doorbell.task);
        match waiting.iter().position(same) {
            Some(place) => waiting[place] = doorbell,
            None if waiting.len() < MOST => waiting.push_back(doorbell),
            None => {}
        }
    }

    /// Takes the oldest.
    pub(crate) fn pop(&self) -> Option<Doorbell> {
        self.lock().pop_front()
    }

    /// Puts one back that was taken.
    pub(crate) fn put_back(&self, doorbell: Doorbell) {
        self.lock().push_front(doorbell);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Doorbell>> {
        self.0.lock().expect("invariant: nobody panics while holding the list of doorbells")
    }
}
