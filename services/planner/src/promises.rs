//! Slots of targets that grants will take which are on their way into the log. Without them every
//! deployment that waits for a slot would ask for the same one, and all but one in vain.

use std::collections::HashMap;

use slipway_domain::{event::PlanEvent, id::DeploymentId, name::TargetName};
use slipway_engine::{
    Decision,
    decide::{Events, Promised},
};

/// What is promised, and to whom.
#[derive(Debug, Default)]
pub struct Promises {
    slots: Promised,
    to: HashMap<DeploymentId, Vec<TargetName>>,
}

impl Promises {
    /// The slots.
    pub fn slots(&self) -> &Promised {
        &self.slots
    }

    /// A decision is on its way.
    pub fn make(&mut self, decision: &Decision) {
        let Events::Plan(events) = &decision.events else { return };
        for event in events {
            let PlanEvent::Granted { tasks } = event else { continue };
            for task in tasks {
                *self.slots.entry(task.target.clone()).or_default() += 1;
                self.to.entry(decision.address.deployment()).or_default().push(task.target.clone());
            }
        }
    }

    /// It arrived, or never will. The targets that were promised.
    pub fn keep(&mut self, id: DeploymentId) -> Vec<TargetName> {
        let targets = self.to.remove(&id).unwrap_or_default();
        for target in &targets {
            if let Some(slots) = self.slots.get_mut(target) {
                *slots -= 1;
                if *slots == 0 {
                    self.slots.remove(target);
                }
            }
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use slipway_domain::{event::Address, id::TaskKey};

    use super::*;

    #[test]
    fn a_slot_is_promised_until_its_grant_arrived() {
        let target: TargetName = "web-01".parse().unwrap();
        let id = |name: &str| DeploymentId::derive(&[name]);
        let grant = |name: &str| Decision {
            address: Address::Plan(id(name)),
            expected: 1,
            events: Events::Plan(vec![PlanEvent::Granted {
                tasks: vec![TaskKey::new("web".parse().unwrap(), target.clone())],
            }]),
        };
        let mut promises = Promises::default();
        promises.make(&grant("a"));
        promises.make(&grant("b"));
        assert_eq!(promises.slots()[&target], 2);
        assert_eq!(promises.keep(id("a")), vec![target.clone()]);
        assert_eq!(promises.slots()[&target], 1);
        assert!(promises.keep(id("a")).is_empty());
        promises.keep(id("b"));
        assert!(promises.slots().is_empty());
    }
}
