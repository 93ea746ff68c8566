//! A lane is given back, with all that was taken with it.

use slipway_domain::{event::Recorded, id::DeploymentId};

use super::{Applied, State, lane};
use crate::yielding::may_yield;

impl State {
    /// A deployment gives its lane back, if nothing of it goes on at this place of the log.
    pub(super) fn give_back(&mut self, id: DeploymentId, recorded: &Recorded, applied: &mut Applied) {
        let Some(deployment) = self.deployments.get_mut(&id).filter(|d| may_yield(d)) else {
            applied.void.push("it can not give its lane back: something of it goes on".to_owned());
            return;
        };
        deployment.yielded = Some(recorded.at);
        let deployment = &self.deployments[&id];
        self.running.end(deployment);
        for target in &deployment.request.targets {
            if let Some(users) = self.users.get_mut(&target.name) {
                users.remove(&(deployment.seq, id));
            }
        }
        let next = self.lanes.get(&lane(deployment)).and_then(|queue| self.due_of(queue, recorded.at).next());
        applied.touched.extend(next.map(crate::Deployment::id));
        if self.holds_back() {
            applied.touched.extend(self.startable(recorded.at));
        }
    }
}
