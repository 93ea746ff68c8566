//! Deployments that an impossible entry of the log stopped.

use slipway_domain::{
    api::{Abandon, Accepted, Damaged},
    event::{Actor, Address, Entry, PlanEvent},
    id::DeploymentId,
};
use slipway_service::failpoint;

use super::{deployments, envelope, said};
use crate::{app::App, problem::Problem};

/// Those that wait to be given up, oldest first.
pub fn damaged(app: &App) -> Vec<Damaged> {
    app.folded.read(|state| {
        let tell = |deployment: &slipway_engine::Deployment| Damaged {
            id: deployment.id(),
            project: deployment.project().clone(),
            environment: deployment.request.environment.clone(),
            version: deployment.request.release.version.clone(),
            requested_at: deployment.requested_at,
            fact: deployment.corrupt.clone().unwrap_or_default(),
        };
        state.damaged().into_iter().map(tell).collect()
    })
}

/// Gives one up: it ends as failed, and what it held is free.
pub async fn abandon(app: &App, id: DeploymentId, body: Abandon, actor: Actor) -> Result<Accepted, Problem> {
    let address = Address::Plan(id);
    let entry = Entry::Plan(envelope(actor, PlanEvent::Abandoned { reason: said(&body.reason)? }));
    loop {
        let head = app.bus.head_of(&address).await?;
        app.folded.reached(head).await?;
        match app.folded.read(|state| state.get(id).map(|d| (d.end.is_some(), d.corrupt.is_some()))) {
            Some((false, true)) => {}
            Some((false, false)) => {
                return Err(Problem::refusal(
                    "not-damaged",
                    format!("nothing has stopped deployment {id}; `slipway deployment cancel {id}` ends it"),
                ));
            }
            Some((true, _)) | None => return Err(deployments::over_or_unknown(app, id).await),
        }
        failpoint!("release.asked.before");
        let appended = app.bus.append(&address, head, &entry).await?;
        failpoint!("release.asked.after");
        if let Some(seq) = appended.seq() {
            tracing::warn!(deployment.id = %id, seq, "a person gave up a damaged deployment");
            return Ok(Accepted { id, seq });
        }
    }
}
