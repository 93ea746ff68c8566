//! Deployments that an impossible or unreadable entry stopped, and how a person gives them up.

use slipway_domain::{
    event::{Actor, Entry, Outcome, PlanEvent, Recorded},
    id::{DeploymentId, TaskKey},
};

use super::{Applied, State, holder_of};
use crate::deployment::{Deployment, End};

impl State {
    /// An entry of a deployment can not be read: the deployment stops, and keeps its lane, until a person looks.
    pub fn unreadable(&mut self, seq: u64, id: DeploymentId, reason: &str) {
        self.head = seq;
        if let Some(deployment) = self.deployments.get_mut(&id).filter(|d| d.end.is_none()) {
            deployment.corrupt.get_or_insert_with(|| format!("entry {seq}: {reason}"));
        }
    }

    /// The deployments that wait to be given up, oldest first.
    pub fn damaged(&self) -> Vec<&Deployment> {
        let mut damaged: Vec<_> = self.deployments().filter(|d| d.corrupt.is_some() && d.end.is_none()).collect();
        damaged.sort_by_key(|d| d.seq);
        damaged
    }

    /// Ends a stopped deployment if the entry is a person's word to do so, and gives back all it took; whether it did.
    pub(super) fn abandon(&mut self, id: DeploymentId, recorded: &Recorded, applied: &mut Applied) -> bool {
        let Some((person, reason)) = abandons(&recorded.entry) else { return false };
        let Some(deployment) = self.deployments.get_mut(&id).filter(|d| d.end.is_none()) else { return false };
        let fact = deployment.corrupt.as_deref().unwrap_or_default();
        deployment.end = Some(End {
            outcome: Outcome::Failed,
            reason: Some(format!("given up by {person}: {reason} (it had stopped at {fact})")),
            problems: Vec::new(),
            seq: recorded.seq,
            at: recorded.at,
        });
        deployment.plan_head = recorded.seq;
        applied.touched.push(id);
        self.leave(id, recorded.at, applied);
        if self.holds_back() {
            applied.touched.extend(self.startable(recorded.at));
        }
        true
    }

    /// Slots and holders of the tasks that were under way. Whoever still works on one writes to nobody.
    pub(super) fn let_go(&mut self, id: DeploymentId, applied: &mut Applied) {
        let progress = self.deployments.get(&id).and_then(|d| d.progress.as_ref());
        let under_way: Vec<_> = progress
            .iter()
            .flat_map(|progress| progress.plan.steps.iter().zip(&progress.steps))
            .flat_map(|(step, run)| run.tasks.iter().chain(&run.announcement).map(|task| (step.name().clone(), task)))
            .filter(|(_, task)| task.takes_slot() || holder_of(task).is_some())
            .map(|(step, task)| (TaskKey::new(step, task.target.clone()), task.takes_slot(), holder_of(task)))
            .collect();
        for (key, takes_slot, holder) in under_way {
            self.move_slot(&key.target, takes_slot, false, id, applied);
            if let Some(tasks) = holder.and_then(|holder| self.held.get_mut(&holder)) {
                tasks.remove(&(id, key));
            }
        }
    }
}

/// Who gives up, and why, if that is what the entry says.
fn abandons(entry: &Entry) -> Option<(&Actor, &str)> {
    let Entry::Plan(envelope) = entry else { return None };
    match (envelope.events.as_slice(), &envelope.actor) {
        ([PlanEvent::Abandoned { reason }], person @ Actor::Person { .. }) => Some((person, reason)),
        _ => None,
    }
}
