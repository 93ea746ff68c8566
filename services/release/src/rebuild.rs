//! The rows of deployments, made again from the archive while everybody goes on reading them.
//!
//! What goes on is in memory, and the projection writes it anew. What is over never changes, so it is
//! folded from the archive beside the projection, in the order of the log, as if it happened again.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use slipway_domain::api::Rebuild;
use slipway_engine::{State, view};
use slipway_store::{DeploymentChange, StoreError};

use crate::{
    app::{App, Shared},
    problem::Problem,
};

/// Archived messages folded at once.
const PAGE: u64 = 1_000;

/// How far it is.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Rebuild>);

impl Progress {
    /// As it is now.
    pub fn now(&self) -> Rebuild {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: Rebuild) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Claims the work; false if somebody is at it.
    fn begin(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, Rebuild::Running { .. }) {
            return false;
        }
        *state = Rebuild::Running { at: 0, to: 0 };
        true
    }
}

/// Begins to write all rows anew, unless it is under way already.
pub fn start(app: Shared) -> Rebuild {
    if app.rebuild.begin() {
        let work = async move {
            let done = match whole(&app).await {
                Ok(done) => done,
                Err(problem) => Rebuild::Failed { reason: problem.detail().to_owned() },
            };
            tracing::info!(?done, "the rows of deployments were written anew");
            app.rebuild.set(done);
        };
        tokio::spawn(work);
        return Rebuild::Running { at: 0, to: 0 };
    }
    app.rebuild.now()
}

async fn whole(app: &App) -> Result<Rebuild, Problem> {
    let to = app.folded.refresh().await.ok_or_else(busy)?;
    let mut known: BTreeSet<_> = app.folded.read(|state| state.deployments().map(|d| d.id()).collect());
    let mut deployments = known.len() as u64;
    let (mut state, mut at, mut events) = (State::new(), 0, 0);
    while at < to {
        app.rebuild.set(Rebuild::Running { at, to });
        let page = app.store.events_between(at, to, PAGE).await?;
        let Some(last) = page.last() else { break };
        at = last.seq;
        events += page.len() as u64;
        let mut touched = BTreeSet::new();
        for recorded in &page {
            touched.extend(state.apply(recorded).touched);
            known.insert(recorded.address.deployment());
        }
        deployments += write(app, &mut state, &touched, at).await?;
    }
    let dropped = app.store.drop_unknown(&known, to).await? as u64;
    Ok(Rebuild::Done { events, deployments, dropped })
}

fn busy() -> Problem {
    Problem::unavailable(
        "rebuild-busy",
        "another release service wrote at the same moment, or this one ends; ask again",
    )
}

/// Writes what ended, and forgets it.
async fn write(
    app: &App,
    state: &mut State,
    touched: &BTreeSet<slipway_domain::id::DeploymentId>,
    at: u64,
) -> Result<u64, StoreError> {
    let over: Vec<_> = touched.iter().filter(|id| state.get(**id).is_some_and(|d| d.end.is_some())).collect();
    let changes: Vec<_> = over
        .iter()
        .filter_map(|id| Some(DeploymentChange::between(None, &view::deployment(state.get(**id)?, at))))
        .collect();
    if !changes.is_empty() {
        app.store.rewrite(&changes, None).await?;
    }
    over.iter().for_each(|id| state.forget(**id));
    Ok(changes.len() as u64)
}
