//! Whether the service is usable, and if not, why.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// The state of the declared components, shared by all that report and all that ask.
#[derive(Debug, Clone)]
pub struct Readiness {
    components: Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>,
}

impl Readiness {
    /// Nothing is ready until each of the components has said so.
    pub fn new(components: &[&'static str]) -> Self {
        let components = components.iter().map(|name| (*name, Err("starting".to_owned()))).collect();
        Self { components: Arc::new(Mutex::new(components)) }
    }

    /// A component reports. One that was not declared is from now on.
    pub fn set(&self, component: &'static str, state: Result<(), String>) {
        let mut components = self.lock();
        let before = components.get(component);
        if before == Some(&state) {
            return;
        }
        match (before, &state) {
            (_, Ok(())) => tracing::info!(component, "ready"),
            // A replay of a long log tells how far it is a thousand times over.
            (Some(Err(before)), Err(reason)) if differ_in_numbers_only(before, reason) => {
                tracing::debug!(component, reason, "not ready");
            }
            (_, Err(reason)) => tracing::warn!(component, reason, "not ready"),
        }
        components.insert(component, state);
    }

    /// What keeps the service from being usable, by component; empty when it is.
    pub fn reasons(&self) -> BTreeMap<&'static str, String> {
        self.lock().iter().filter_map(|(name, state)| Some((*name, state.as_ref().err()?.clone()))).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Result<(), String>>> {
        self.components.lock().expect("invariant: nobody panics while holding the readiness lock")
    }
}

fn differ_in_numbers_only(one: &str, two: &str) -> bool {
    let words =
        |text: &str| text.split(|c: char| c.is_ascii_digit()).filter(|word| !word.is_empty()).collect::<String>();
    words(one) == words(two)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_from_another_reason() {
        for (one, two, expected) in [
            ("reading the log: 0 of 59", "reading the log: 63 of 134", true),
            ("reading the log: 0 of 59", "not connected to NATS", false),
            ("starting", "reading the log: 0 of 59", false),
        ] {
            assert_eq!(differ_in_numbers_only(one, two), expected, "{one} / {two}");
        }
    }

    #[test]
    fn ready_means_every_declared_component_said_so() {
        let readiness = Readiness::new(&["nats", "fold"]);
        assert_eq!(readiness.reasons().len(), 2);
        readiness.set("nats", Ok(()));
        readiness.set("fold", Err("behind by 7".into()));
        assert_eq!(readiness.reasons(), BTreeMap::from([("fold", "behind by 7".to_owned())]));
        readiness.set("fold", Ok(()));
        assert!(readiness.reasons().is_empty());
    }
}
