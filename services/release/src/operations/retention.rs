//! Retention: which releases of a project are kept and why, and taking the others away.

use std::collections::BTreeMap;

use chrono::Utc;
use slipway_domain::{
    api::Keep,
    event::Actor,
    manifest::Lifecycle,
    name::{ChannelName, ProjectName},
};
use slipway_engine::keep::{self, Candidate, Held, Reach};
use slipway_store::{BoardRow, ReleaseRow};

use super::{audit, progression, releases};
use crate::{app::App, problem::Problem, world::World};

/// The name of the trigger, in the audit.
const TRIGGER: &str = "retention";
/// More releases than a project has.
const ALL: u64 = 1_000_000;

/// Of every release, newest first, whether it is kept and why.
pub async fn of_project(app: &App, project: &ProjectName) -> Result<Vec<Keep>, Problem> {
    releases::project_of(app, project).await?;
    let (decisions, _) = decide(app, project).await?;
    Ok(decisions)
}

/// Takes away the releases of a project that no policy keeps; how many.
pub async fn enforce(app: &App, project: &ProjectName) -> Result<usize, Problem> {
    let (decisions, rows) = decide(app, project).await?;
    let mut gone = 0;
    for (keep, row) in decisions.iter().zip(&rows) {
        let (version, reason) = (&keep.version, &keep.reason);
        if keep.kept {
            tracing::debug!(%project, version, reason, "the release stays");
            continue;
        }
        let actor = Actor::Trigger { name: TRIGGER.to_owned() };
        let subject = format!("project/{project}/release/{version}");
        let images: Vec<_> = row.snapshot.packages.values().map(|package| package.image.pinned()).collect();
        if app
            .store
            .retire_release(project, version, &images, &audit(&actor, "release.retire", subject, reason))
            .await?
        {
            tracing::info!(%project, version, reason, "the release goes");
            metrics::counter!("slipway_release_retired_total").increment(1);
            gone += 1;
        }
    }
    Ok(gone)
}

async fn decide(app: &App, project: &ProjectName) -> Result<(Vec<Keep>, Vec<ReleaseRow>), Problem> {
    let world = app.world().await?;
    let rows = app.store.releases_of(project, ALL).await?;
    let mut reached: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for last in app.store.last_reached(project).await? {
        let reach = Reach { seq: last.seq, ended: last.ended };
        reached.entry(last.version).or_default().push((last.environment, reach));
    }
    let candidate = |row: &ReleaseRow| Candidate {
        version: row.snapshot.version.clone(),
        channel: row.snapshot.channel.clone(),
        created: row.snapshot.created_at,
        reached: reached.remove(&row.snapshot.version).unwrap_or_default().into_iter().collect(),
    };
    let candidates: Vec<_> = rows.iter().map(candidate).collect();
    let lifecycles = lifecycles(&world, project, &candidates);
    let held = held(app, project).await?;
    Ok((keep::decide(&candidates, |channel| lifecycles.get(channel), &held, Utc::now()), rows))
}

fn lifecycles(world: &World, project: &ProjectName, releases: &[Candidate]) -> BTreeMap<ChannelName, Lifecycle> {
    let mut lifecycles = BTreeMap::new();
    for release in releases {
        if !lifecycles.contains_key(&release.channel)
            && let Ok(lifecycle) = progression::lifecycle_of(world, project, Some(&release.channel))
        {
            lifecycles.insert(release.channel.clone(), lifecycle);
        }
    }
    lifecycles
}

/// What stays whatever a policy says.
async fn held(app: &App, project: &ProjectName) -> Result<Held, Problem> {
    let mut held = Held::new();
    for BoardRow { latest, .. } in app.store.board().await?.into_iter().filter(|row| row.latest.project == *project) {
        let environment = latest.environment;
        let (has, had) = progression::has_and_had(app, project, &environment).await?;
        let mut hold = |version: Option<String>, reason: String| {
            if let Some(version) = version {
                held.entry(version).or_insert(reason);
            }
        };
        hold(has, format!("{environment} has it"));
        hold(had, format!("{environment} had it before what it has"));
        hold(Some(latest.version), format!("it was asked for in {environment} last"));
    }
    app.folded.read(|state| {
        for deployment in state.deployments().filter(|d| d.end.is_none() && d.project() == project) {
            let version = deployment.request.release.version.clone();
            held.entry(version).or_insert_with(|| format!("deployment {} of it is not over", deployment.id()));
        }
    });
    Ok(held)
}
