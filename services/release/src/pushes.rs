//! The inbox of registry webhooks, worked off: a delivery becomes a verdict, and perhaps a release.
//!
//! A delivery first gets its row, marked open, and then the offset moves past it; the open rows are
//! what remains to be done, so a crash at any point loses nothing and repeats only what is harmless
//! to repeat. Each delivery is worked on by itself: a registry that does not answer holds up nobody
//! else's images.

mod image;
mod settle;

use std::{convert::Infallible, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use slipway_bus::StoredPush;
use slipway_domain::{api::PushView, event::Actor};
use slipway_store::Audit;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::settle::Settle;
use crate::{
    app::{App, Shared},
    problem::Problem,
};

/// Deliveries that are worked on at a time.
const AT_ONCE: usize = 16;
/// Wait after the inbox or the database failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How long reading one kept delivery may take.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// One message of the inbox.
struct Delivery {
    seq: u64,
    at: DateTime<Utc>,
    push: StoredPush,
}

/// Works the inbox off until the shutdown.
pub async fn run(app: Shared, shutdown: CancellationToken) -> Result<(), Problem> {
    let mut work = Work { app, tasks: JoinSet::new(), permits: Arc::new(Semaphore::new(AT_ONCE)) };
    shutdown.run_until_cancelled(work.forever()).await;
    work.tasks.shutdown().await;
    Ok(())
}

/// Works a delivery of the inbox again, once, by the manifests as they are now.
pub async fn replay(app: &App, seq: u64, actor: &Actor) -> Result<PushView, Problem> {
    if app.store.push(seq).await?.is_none() {
        return Err(Problem::not_found(
            "unknown-push",
            format!("there is no delivery {seq}; `slipway push list` tells which there are"),
        ));
    }
    let delivery = fetch(app, seq).await?;
    let audit = Audit {
        at: Utc::now(),
        actor: actor.clone(),
        action: "push.replay",
        subject: format!("push {seq}"),
        detail: format!("came in by webhook {}", delivery.push.webhook),
    };
    app.store.audit(&audit).await?;
    Settle::open(app, delivery).await?.last_try(app).await
}

async fn fetch(app: &App, seq: u64) -> Result<Delivery, Problem> {
    let mut reader = app.bus.pushes(seq);
    match tokio::time::timeout(READ_WITHIN, reader.next()).await {
        Ok((found, at, push)) if found == seq => Ok(Delivery { seq, at, push }),
        Ok(_) => Err(Problem::not_found(
            "expired-push",
            format!("delivery {seq} is no longer in the inbox, which keeps the last 14 days"),
        )),
        Err(_) => Err(Problem::unavailable(
            "inbox-unavailable",
            format!("the inbox did not give delivery {seq} within 5 s; try again"),
        )),
    }
}

struct Work {
    app: Shared,
    tasks: JoinSet<()>,
    permits: Arc<Semaphore>,
}

impl Work {
    async fn forever(&mut self) {
        while let Err(problem) = self.resume().await {
            tracing::warn!(%problem, "the open deliveries can not be read; trying again");
            tokio::time::sleep(PAUSE).await;
        }
        loop {
            let Err(problem) = self.read_on().await;
            tracing::warn!(%problem, "the inbox can not be worked off; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes up what an earlier process left open.
    async fn resume(&mut self) -> Result<(), Problem> {
        for view in self.app.store.open_pushes().await? {
            let (app, permits) = (Arc::clone(&self.app), Arc::clone(&self.permits));
            self.tasks.spawn(async move { settle::resume(&app, view, &permits).await });
        }
        Ok(())
    }

    async fn read_on(&mut self) -> Result<Infallible, Problem> {
        let mut offset = self.app.store.push_offset().await?;
        let mut reader = self.app.bus.pushes(offset + 1);
        loop {
            let (seq, at, push) = reader.next().await;
            let known = self.app.store.push(seq).await?;
            let delivery = Delivery { seq, at, push };
            let settle = match known {
                Some(view) if view.done => None,
                _ => Some(Settle::open(&self.app, delivery).await?),
            };
            if !self.app.store.advance_push_offset(offset, seq).await? {
                return Err(Problem::unavailable("inbox-offset", "another process moved the offset of the inbox"));
            }
            offset = seq;
            if let Some(settle) = settle {
                let (app, permits) = (Arc::clone(&self.app), Arc::clone(&self.permits));
                self.tasks.spawn(async move { settle.run(&app, &permits).await });
            }
            while self.tasks.try_join_next().is_some() {}
        }
    }
}
