//! Keeps what policies keep: takes other releases away, and has hosts remove the containers and images that
//! nothing needs any more.
//!
//! Nothing is remembered between two rounds but in the database, and everything may be done twice.

use std::{collections::BTreeSet, time::Duration};

use chrono::{TimeDelta, Utc};
use slipway_domain::{
    inspection::{Errand, ErrandAnswer, Found},
    manifest::Target,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Shared},
    operations::{inspections, retention},
    problem::Problem,
};

/// How long removing may take on one host.
const REMOVE_WITHIN: Duration = Duration::from_secs(60);
/// Hosts that did not remove an image within so many days keep it.
const IMAGE_DAYS: i64 = 30;

/// Goes round until the shutdown; the first time after a whole pause, so that everything has started.
pub async fn run(app: Shared, shutdown: CancellationToken) {
    let pause = app.settings.retention_pause();
    let rounds = async {
        loop {
            tokio::time::sleep(pause).await;
            if let Err(problem) = round(&app).await {
                tracing::warn!(%problem, "retention waits for its next round");
            }
        }
    };
    shutdown.run_until_cancelled(rounds).await;
}

async fn round(app: &App) -> Result<(), Problem> {
    let world = app.world().await?;
    for project in world.projects.keys() {
        retention::enforce(app, project).await?;
    }
    let images = unneeded_images(app).await?;
    for target in world.targets.values() {
        clean(app, target, &images).await?;
    }
    app.store.forget_retired_images(Utc::now() - TimeDelta::days(IMAGE_DAYS)).await?;
    Ok(())
}

/// The images of releases that have gone, but for those that another release has too.
async fn unneeded_images(app: &App) -> Result<Vec<String>, Problem> {
    let mut images: BTreeSet<_> = app.store.retired_images().await?.into_keys().collect();
    if images.is_empty() {
        return Ok(Vec::new());
    }
    for image in app.store.released_images().await? {
        images.remove(&image.pinned());
    }
    Ok(images.into_iter().collect())
}

async fn clean(app: &App, target: &Target, images: &[String]) -> Result<(), Problem> {
    let Ok(seen) = inspections::ask(app, &target.name, &inspections::endpoint(target)).await else { return Ok(()) };
    let standing = inspections::standing_containers(app, &target.name).await?;
    let goes = |found: &&Found| !found.life.is_live() && !standing.contains(&found.id) && !may_be_needed(app, found);
    let containers: Vec<_> = seen.containers.iter().filter(goes).map(|found| found.id.clone()).collect();
    if containers.is_empty() && images.is_empty() {
        return Ok(());
    }
    let errand = Errand::Remove { at: inspections::endpoint(target), containers, images: images.to_vec() };
    match app.bus.ask_errand(&target.name, &errand, REMOVE_WITHIN).await {
        Ok(Some(ErrandAnswer::Removed { containers, images })) => {
            tracing::debug!(target = %target.name, containers = containers.len(), images = images.len(), "cleaned up");
        }
        Ok(Some(ErrandAnswer::Failed { executor, reason })) => {
            tracing::warn!(target = %target.name, %executor, reason, "a host could not be cleaned up");
        }
        Err(error) => tracing::warn!(target = %target.name, %error, "a host could not be cleaned up"),
        Ok(Some(ErrandAnswer::Seen(_)) | None) => {}
    }
    Ok(())
}

/// Whether a deployment may yet look at a container that does not run: its own one, as long as it is in the log, or
/// one of its place that it may bring back.
fn may_be_needed(app: &App, found: &Found) -> bool {
    app.folded.read(|state| {
        state.get(found.deployment).is_some()
            || state.deployments().any(|deployment| {
                deployment.end.is_none()
                    && *deployment.project() == found.project
                    && deployment.request.environment == found.environment
            })
    })
}
