//! What may be new of a deployment since it was last decided about. A task's end says nothing of a
//! thousand others, so they are not looked at again.

use std::collections::BTreeSet;

use slipway_domain::{
    event::{Address, GateScope, Recorded},
    id::{DeploymentId, TaskKey},
};

/// What may be new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Anything.
    All,
    /// Something about these tasks, and what follows from it for steps and the deployment.
    Tasks(BTreeSet<TaskKey>),
}

impl News {
    /// Something that tasks have in common: a slot is free, the lane is.
    pub fn shared() -> Self {
        Self::Tasks(BTreeSet::new())
    }

    /// What an append to an address can change in its deployment.
    pub fn at(address: &Address) -> Self {
        match address {
            Address::Task(_, key) => Self::Tasks(BTreeSet::from([key.clone()])),
            Address::Gate(_, step, GateScope::Target(target)) => {
                Self::Tasks(BTreeSet::from([TaskKey::new(step.clone(), target.clone())]))
            }
            Address::Plan(_) | Address::Gate(_, _, GateScope::All) => Self::All,
        }
    }

    /// What an entry of the log can change in a deployment that it touched.
    pub fn of(recorded: &Recorded, touched: DeploymentId) -> Self {
        match &recorded.address {
            // An answer may leave out a target of all steps.
            Address::Gate(..) => Self::All,
            address if address.deployment() == touched => Self::at(address),
            _ => Self::shared(),
        }
    }

    /// Both.
    pub fn add(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::Tasks(keys), Self::Tasks(more)) => keys.extend(more),
            (_, Self::All) => *self = Self::All,
            (Self::All, _) => {}
        }
    }
}
