//! What is over and old leaves the log; the archive in the database has it for ever.
//!
//! A purge is noted before its first message goes and may be made twice, by any number of release services.

use std::{collections::HashMap, time::Duration};

use chrono::{TimeDelta, Utc};
use slipway_bus::BusError;
use slipway_domain::{
    event::{Actor, Address, Entry, Outcome, PlanEvent, Recorded},
    id::DeploymentId,
};
use slipway_service::failpoint;
use slipway_store::StoreError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::{App, Shared},
    operations::envelope,
    problem::Problem,
};

/// The name of the trigger, in events.
const TRIGGER: &str = "archive";
/// Archived messages read at once.
const PAGE: u64 = 500;
/// Most deployments that are looked at in one go.
const SOME: usize = 200;
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}", .0.detail())]
    Behind(Problem),
    #[error(
        "deployment {id} stays in the log: the archive does not have its message {seq}; a service must have missed it"
    )]
    Missing { id: DeploymentId, seq: u64 },
}

/// Purges until the shutdown.
pub async fn run(app: Shared, shutdown: CancellationToken) {
    let keep = app.settings.keep_in_log();
    let pause = (keep / 100).clamp(OFTEN, SELDOM);
    let forever = async {
        loop {
            tokio::time::sleep(pause).await;
            if let Err(error) = some(&app, keep).await {
                tracing::warn!(%error, "the log is not purged; tried again");
            }
        }
    };
    shutdown.run_until_cancelled(forever).await;
}

async fn some(app: &App, keep: Duration) -> Result<(), Failed> {
    // What was begun before is finished first.
    for id in app.store.purges().await? {
        finish(app, id).await?;
    }
    let before = Utc::now() - TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
    for id in app.folded.purgeable(before).into_iter().take(SOME) {
        match purge(app, id).await {
            Err(error @ Failed::Missing { .. }) => tracing::error!(%error, "archive"),
            result => result?,
        }
    }
    Ok(())
}

async fn purge(app: &App, id: DeploymentId) -> Result<(), Failed> {
    let mut entries = archived(app, id).await?;
    if write_end(app, id, &entries).await? {
        entries = archived(app, id).await?;
    }
    let archived: HashMap<u64, Uuid> = entries.iter().map(|e| (e.seq, e.entry.id())).collect();
    for mark in app.bus.marks_of(id).await? {
        if archived.get(&mark.seq) != Some(&mark.id) {
            return Err(Failed::Missing { id, seq: mark.seq });
        }
    }
    app.store.purge_begins(id).await?;
    failpoint!("release.purged.before");
    finish(app, id).await
}

async fn finish(app: &App, id: DeploymentId) -> Result<(), Failed> {
    app.bus.purge(id).await?;
    failpoint!("release.purged.after");
    app.store.purge_ended(id).await?;
    app.folded.purged(id);
    metrics::counter!("slipway_release_purged_total").increment(1);
    tracing::info!(deployment.id = %id, "left the log; the archive keeps it");
    Ok(())
}

async fn archived(app: &App, id: DeploymentId) -> Result<Vec<Recorded>, Failed> {
    let mut all: Vec<Recorded> = Vec::new();
    loop {
        let page = app.store.events_of(id, all.last().map_or(0, |event| event.seq), PAGE).await?;
        let more = page.len() as u64 == PAGE;
        all.extend(page);
        if !more {
            return Ok(all);
        }
    }
}

/// The last message of a plan stays in the log, and must not ask for the deployment again. An end that follows from
/// other messages is written down, for nobody to fold; whether it was.
async fn write_end(app: &App, id: DeploymentId, archived: &[Recorded]) -> Result<bool, Failed> {
    let plan = Address::Plan(id);
    let Some(last) = archived.iter().rfind(|recorded| recorded.address == plan) else { return Ok(false) };
    let asks = |event: &PlanEvent| matches!(event, PlanEvent::Requested { .. });
    if !matches!(&last.entry, Entry::Plan(envelope) if envelope.events.iter().any(asks)) {
        return Ok(false);
    }
    let view = app.store.deployment(id).await?;
    let (outcome, reason) = view.map_or((None, None), |view| (view.summary.outcome, view.summary.reason));
    let end = PlanEvent::Finished { outcome: outcome.unwrap_or(Outcome::Rejected), reason };
    let entry = Entry::Plan(envelope(Actor::Trigger { name: TRIGGER.to_owned() }, end));
    if let Some(seq) = app.bus.append(&plan, last.seq, &entry).await?.seq() {
        app.folded.reached(seq).await.map_err(Failed::Behind)?;
    }
    Ok(true)
}
