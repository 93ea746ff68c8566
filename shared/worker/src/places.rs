//! Who holds what here: the slots, and the tasks in them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard},
};

use slipway_domain::id::{DeploymentId, TaskKey};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A task of a deployment.
pub(crate) type Key = (DeploymentId, TaskKey);

/// The slots of a worker.
pub(crate) struct Places {
    slots: Arc<Semaphore>,
    held: Mutex<HashMap<Key, Arc<Notify>>>,
}

/// Why a task gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// It is held here already.
    Held,
    /// All slots are taken.
    Full,
}

impl Places {
    pub(crate) fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self { slots: Arc::new(Semaphore::new(slots)), held: Mutex::default() })
    }

    /// A free slot. Whoever rings for a held task may know of its end what its holder does not, so the holder is told
    /// to look.
    pub(crate) fn take(self: &Arc<Self>, key: Key) -> Result<Place, NoPlace> {
        let mut held = self.lock();
        let vacant = match held.entry(key.clone()) {
            Entry::Occupied(occupied) => {
                occupied.get().notify_one();
                return Err(NoPlace::Held);
            }
            Entry::Vacant(vacant) => vacant,
        };
        let permit = self.slots.clone().try_acquire_owned().map_err(|_| NoPlace::Full)?;
        let look = Arc::new(Notify::new());
        vacant.insert(look.clone());
        Ok(Place { places: self.clone(), key, look, _permit: permit })
    }

    /// Tells the holder of a task, if it is held here, to look at its subject.
    pub(crate) fn nudge(&self, key: &Key) {
        if let Some(look) = self.lock().get(key) {
            look.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Notify>>> {
        self.held.lock().expect("invariant: nobody panics while holding the map of held tasks")
    }
}

/// A task's slot; gives it up when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    key: Key,
    /// Notified when there may be something new on the task's subject.
    pub(crate) look: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use slipway_domain::name::{StepName, TargetName};
    use uuid::Uuid;

    use super::*;

    fn key(step: &str) -> Key {
        let target = TargetName::new("web-01").unwrap();
        (DeploymentId(Uuid::nil()), TaskKey::new(StepName::new(step).unwrap(), target))
    }

    #[test]
    fn a_ring_for_a_held_task_finds_no_place_and_makes_its_holder_look() {
        for slots in [1, 2] {
            let places = Places::new(slots);
            let place = places.take(key("web")).unwrap();
            assert!(place.look.notified().now_or_never().is_none());
            assert_eq!(places.take(key("web")).err(), Some(NoPlace::Held));
            assert!(place.look.notified().now_or_never().is_some(), "with {slots} slots");
            drop(place);
            assert!(places.take(key("web")).is_ok());
        }
    }

    #[test]
    fn there_are_as_many_places_as_slots_and_nudges_reach_one_of_them() {
        let places = Places::new(2);
        let (one, two) = (places.take(key("one")).unwrap(), places.take(key("two")).unwrap());
        assert_eq!(places.take(key("three")).err(), Some(NoPlace::Full));
        places.nudge(&key("two"));
        places.nudge(&key("three"));
        assert!(one.look.notified().now_or_never().is_none());
        assert!(two.look.notified().now_or_never().is_some());
        drop(one);
        assert!(places.take(key("three")).is_ok());
    }
}
