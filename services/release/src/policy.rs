//! What the manifests say about all deployments together, brought into the log.
//!
//! The manifests are in the database and the rules are in the fold, so what changes is written to
//! the log as a whole, by compare-and-set. A change that could not be written when it was applied
//! is written later: whoever looks compares the two.

use std::time::Duration;

use slipway_domain::{
    event::{Actor, Address, Entry, PlanEvent},
    id::DeploymentId,
    manifest::Kind,
    policy::Policy,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Shared},
    operations::envelope,
    problem::Problem,
};

/// The name of the trigger, in events.
const TRIGGER: &str = "policy";
/// Time after which database and log are compared again.
const AGAIN: Duration = Duration::from_secs(60);

/// Whether a policy is made of manifests of a kind.
pub fn is_made_of(kind: Kind) -> bool {
    matches!(kind, Kind::Environment | Kind::Limits | Kind::Freeze)
}

/// Compares at the start, and again from time to time, until the shutdown.
pub async fn run(app: Shared, shutdown: CancellationToken) {
    let forever = async {
        loop {
            if let Err(problem) = publish(&app, &Actor::Trigger { name: TRIGGER.to_owned() }).await {
                tracing::warn!(%problem, "limits and freezes of the manifests are not in the log yet");
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    shutdown.run_until_cancelled(forever).await;
}

/// Writes what the manifests say, unless the log says it already. It holds for every start after this returns.
pub async fn publish(app: &App, actor: &Actor) -> Result<(), Problem> {
    let address = Address::Plan(DeploymentId::POLICY);
    loop {
        let head = app.bus.head_of(&address).await?;
        app.folded.reached(head).await?;
        let wanted = Policy::of(&app.store.all_manifests().await?);
        if app.folded.read(|state| *state.policy() == wanted) {
            return Ok(());
        }
        let entry = Entry::Plan(envelope(actor.clone(), PlanEvent::PolicySet { policy: Box::new(wanted) }));
        if let Some(seq) = app.bus.append(&address, head, &entry).await?.seq() {
            tracing::info!(seq, "limits and freezes of the manifests are in the log");
            return Ok(());
        }
    }
}
