//! The log, folded into memory and into rows.
//!
//! Memory is folded from the first message at every start; rows are written only beyond their
//! offset, together with it. Whoever waits for a sequence waits for the rows.

mod audits;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, Utc};

use slipway_bus::{BusError, Fold};
use slipway_domain::{api::DeploymentView, event::Recorded, id::DeploymentId, presence::Mark};
use slipway_engine::{
    State,
    retention::{Past, purgeable},
    view,
};
use slipway_service::failpoint;
use slipway_store::{Batch, DeploymentChange, Projected};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{app::Shared, problem::Problem};

/// Most messages that one transaction takes.
const BATCH: usize = 500;
/// Least time from one transaction to the next: what comes quickly is written together, what comes alone at once.
const REST: Duration = Duration::from_millis(20);
/// And so many times as long as the last one took, so that deployments of many thousand tasks leave time for others.
const REST_TIMES: u32 = 4;
/// But no longer.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// Archived messages that are looked for in the log at the start.
const LOOK_BACK: u64 = 20;
/// How long a reader waits for a sequence.
const WAIT: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The folded log.
#[derive(Debug)]
pub struct Folded {
    state: RwLock<State>,
    projected: watch::Sender<u64>,
    /// What is over, no longer in memory, and still in the log.
    past: Mutex<Vec<Past>>,
    /// How far the archive goes.
    archived: Mutex<Option<Mark>>,
    refresh: mpsc::UnboundedSender<oneshot::Sender<u64>>,
    refreshes: Mutex<Option<mpsc::UnboundedReceiver<oneshot::Sender<u64>>>>,
}

impl Default for Folded {
    fn default() -> Self {
        let (refresh, refreshes) = mpsc::unbounded_channel();
        Self {
            state: RwLock::new(State::new()),
            projected: watch::Sender::new(0),
            past: Mutex::default(),
            archived: Mutex::default(),
            refresh,
            refreshes: Mutex::new(Some(refreshes)),
        }
    }
}

/// Why the fold can not go on.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The log, or the right to read it, is gone for good.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The log ends before, or differs from, what the database has seen of it.
    #[error(
        "LOG_REGRESSION: the database has seen message {seen} of the log, {found}; NATS lost data or is another one. Stop all services; then bring back the log that belongs to this database, or run `slipway-release repair-log`"
    )]
    Regression {
        /// The highest sequence that the database holds.
        seen: u64,
        /// What the log has instead.
        found: String,
    },
    /// Somebody put the database back to an earlier state.
    #[error(
        "the database went back from message {from} to {to} while this service was using it; start the service again"
    )]
    DatabaseWentBack {
        /// Where it stood.
        from: u64,
        /// Where it stands.
        to: u64,
    },
}

impl Folded {
    /// Looks at the folded state. `look` must be quick: the fold waits for it.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The sequence that memory and rows have both reached.
    pub fn seq(&self) -> u64 {
        *self.projected.borrow()
    }

    /// Tells whenever memory and rows have reached a further sequence.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.projected.subscribe()
    }

    /// Waits until memory and rows have reached a sequence.
    pub async fn reached(&self, seq: u64) -> Result<(), Problem> {
        if self.reached_within(seq, WAIT).await {
            return Ok(());
        }
        Err(Problem::unavailable(
            "behind",
            format!("the service has read the log up to {}, not {seq} yet; ask again in a moment", self.seq()),
        ))
    }

    /// Waits for a sequence for some time; whether it came.
    pub async fn reached_within(&self, seq: u64, wait: Duration) -> bool {
        let mut projected = self.watch();
        let reached = tokio::time::timeout(wait, projected.wait_for(|now| *now >= seq)).await;
        matches!(reached, Ok(Ok(_)))
    }

    /// How far the archive goes.
    pub fn archived(&self) -> Option<Mark> {
        *self.archived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of the newest entry of the archive.
    pub fn set_archived(&self, mark: Mark) {
        *self.archived.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
    }

    /// The deployments that may leave the log: they ended before that time, and nobody would be judged differently.
    pub fn purgeable(&self, before: DateTime<Utc>) -> BTreeSet<DeploymentId> {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let unfinished = |state: &State| {
            let unfinished = state.deployments().filter(|d| d.end.is_none());
            purgeable(&past, unfinished, before, self.seq())
        };
        self.read(unfinished)
    }

    /// A deployment has left the log.
    pub fn purged(&self, id: DeploymentId) {
        self.past.lock().unwrap_or_else(PoisonError::into_inner).retain(|past| past.id != id);
        self.state.write().unwrap_or_else(PoisonError::into_inner).purged(id);
    }

    /// Has the rows of everything in memory written anew; the sequence that they stand at then. None if somebody else
    /// wrote at the same time, or at a shutdown.
    pub async fn refresh(&self) -> Option<u64> {
        let (done, at) = oneshot::channel();
        self.refresh.send(done).ok()?;
        at.await.ok()
    }

    /// What is over is in rows and archive, and needs no memory.
    fn let_go(&self, touched: &BTreeSet<DeploymentId>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let over: Vec<_> = touched.iter().filter_map(|id| Past::of(state.get(*id)?)).collect();
        over.iter().for_each(|past| state.forget(past.id));
        self.past.lock().unwrap_or_else(PoisonError::into_inner).extend(over);
    }

    fn apply(&self, read: &Read) -> Vec<DeploymentId> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let recorded = match read {
            Read::Entry(recorded) => recorded,
            Read::Unreadable { id: None, .. } => return Vec::new(),
            Read::Unreadable { seq, id: Some(id), reason } => {
                state.unreadable(*seq, *id, reason);
                return vec![*id];
            }
        };
        let applied = state.apply(recorded);
        drop(state);
        for reason in &applied.void {
            tracing::debug!(seq = recorded.seq, reason, "void");
        }
        applied.touched
    }
}

/// Folds until shutdown, or until it can not go on.
pub async fn run(app: Shared, shutdown: CancellationToken) -> Result<(), FoldError> {
    let goal = app.bus.head().await?;
    let mut projector = Projector::start(app, goal).await?;
    projector.ready_at(0);
    let (sender, mut messages) = mpsc::channel(2 * BATCH);
    let reader = tokio::spawn(read(projector.app.bus.fold(1), sender, shutdown.clone()));
    let refreshes = projector.app.folded.refreshes.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut refreshes) = refreshes else { return Ok(()) };
    let mut batch = Vec::new();
    let result = loop {
        tokio::select! {
            () = shutdown.cancelled() => break Ok(()),
            Some(done) = refreshes.recv() => {
                projector.refresh(done).await;
                continue;
            }
            received = projector.rested(messages.recv_many(&mut batch, BATCH)) => {
                if received == 0 {
                    break Ok(());
                }
            }
        }
        let began = Instant::now();
        if let Err(error) = projector.take(std::mem::take(&mut batch), &shutdown).await {
            break Err(error);
        }
        projector.rest_after(began.elapsed());
    };
    reader.abort();
    match (result, reader.await) {
        (Ok(()), Ok(Err(error))) => Err(error),
        (result, _) => result,
    }
}

/// What is read of the log.
enum Read {
    Entry(Recorded),
    /// This version can not read it.
    Unreadable {
        seq: u64,
        id: Option<DeploymentId>,
        reason: String,
    },
}

impl Read {
    fn seq(&self) -> u64 {
        match self {
            Self::Entry(recorded) => recorded.seq,
            Self::Unreadable { seq, .. } => *seq,
        }
    }
}

/// Reads the log ahead of the projector, so that what waits there becomes one batch.
async fn read(mut fold: Fold, to: mpsc::Sender<Read>, shutdown: CancellationToken) -> Result<(), FoldError> {
    loop {
        let next = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            next = fold.next() => next,
        };
        let read = match next {
            Ok(recorded) => Read::Entry(recorded),
            Err(BusError::Unreadable { seq, subject, reason }) => {
                tracing::error!(seq, subject, reason, "an entry of the log can not be read; its deployment stops");
                let id = slipway_bus::subject::parse(&subject).map(|address| address.deployment());
                Read::Unreadable { seq, id, reason }
            }
            Err(error) => return Err(error.into()),
        };
        if to.send(read).await.is_err() {
            return Ok(());
        }
    }
}

/// Where the projection stands.
struct Projector {
    app: Shared,
    /// The offset of the rows.
    offset: u64,
    /// The head of the log at the start.
    goal: u64,
    /// Views of unfinished deployments as the rows have them.
    written: HashMap<DeploymentId, DeploymentView>,
    /// Until when nothing is written.
    rests_until: Instant,
}

impl Projector {
    async fn start(app: Shared, goal: u64) -> Result<Self, FoldError> {
        let (offset, newest) = loop {
            let read = async { Ok((app.store.projected().await?, app.store.newest_events(LOOK_BACK).await?)) };
            match read.await {
                Ok(read) => break read,
                Err(error) => failing(&app, &error).await,
            }
        };
        if let Some(mark) = newest.first() {
            app.folded.set_archived(*mark);
        }
        if goal < offset {
            return Err(FoldError::Regression { seen: offset, found: format!("but the log ends at {goal}") });
        }
        same_log(&app, &newest).await?;
        Ok(Self { app, offset, goal, written: HashMap::new(), rests_until: Instant::now() })
    }

    /// Writes the rows of everything in memory anew.
    async fn refresh(&mut self, done: oneshot::Sender<u64>) {
        self.written.clear();
        let at = self.app.folded.seq();
        let views: Vec<_> =
            self.app.folded.read(|state| state.deployments().map(|d| view::deployment(d, at)).collect());
        // Whoever writes beyond what is in memory here makes it a try in vain, which the asker is told.
        match self.app.store.rewrite(&self.changes(&views), Some(at)).await {
            Ok(true) => drop(done.send(at)),
            Ok(false) => {}
            Err(error) => failing(&self.app, &error).await,
        }
    }

    /// What comes once the time between two transactions is over.
    async fn rested<T>(&self, next: impl Future<Output = T>) -> T {
        tokio::time::sleep_until(self.rests_until).await;
        next.await
    }

    /// While the log is read at the start nobody waits for anything else.
    fn rest_after(&mut self, took: Duration) {
        let behind = self.app.folded.seq() < self.goal;
        let rest = if behind { Duration::ZERO } else { (took * REST_TIMES).clamp(REST, LONGEST_REST) };
        self.rests_until = Instant::now() + rest;
    }

    /// Takes in messages: memory first, then rows, then whoever waits.
    async fn take(&mut self, batch: Vec<Read>, shutdown: &CancellationToken) -> Result<(), FoldError> {
        let Some(to) = batch.last().map(Read::seq) else { return Ok(()) };
        let mut touched = BTreeSet::new();
        for read in &batch {
            touched.extend(self.app.folded.apply(read));
        }
        metrics::counter!("slipway_release_folded_total").increment(batch.len() as u64);
        let new: Vec<Recorded> = batch
            .into_iter()
            .filter_map(|read| match read {
                Read::Entry(recorded) if recorded.seq > self.offset => Some(recorded),
                _ => None,
            })
            .collect();
        if to <= self.offset {
            // Rows that somebody else wrote may differ from what was written here last.
            touched.iter().for_each(|id| drop(self.written.remove(id)));
        } else if !self.project(new, to, &touched, shutdown).await? {
            return Ok(());
        }
        self.app.folded.let_go(&touched);
        self.app.folded.projected.send_replace(to);
        self.ready_at(to);
        Ok(())
    }

    /// Writes the rows; false if shutdown came first.
    async fn project(
        &mut self,
        events: Vec<Recorded>,
        to: u64,
        touched: &BTreeSet<DeploymentId>,
        shutdown: &CancellationToken,
    ) -> Result<bool, FoldError> {
        let views: Vec<DeploymentView> = self
            .app
            .folded
            .read(|state| touched.iter().filter_map(|id| Some(view::deployment(state.get(*id)?, to))).collect());
        let changes = self.changes(&views);
        let audits = audits::of(&events);
        let mut batch = Batch { from: self.offset, to, events, changes, audits };
        let mut pause = FIRST_RETRY;
        loop {
            failpoint!("release.projected.before");
            let projected = self.app.store.project_with(&batch, || failpoint!("release.projected.within")).await;
            failpoint!("release.projected.after");
            match projected {
                Ok(Projected::Stored) => break,
                Ok(Projected::Elsewhere(now)) if now < batch.from => {
                    return Err(FoldError::DatabaseWentBack { from: batch.from, to: now });
                }
                // Another release service on the same database was faster.
                Ok(Projected::Elsewhere(now)) => {
                    self.written.clear();
                    self.offset = now;
                    if now >= to {
                        return Ok(true);
                    }
                    batch.changes = self.changes(&views);
                    batch.events.retain(|event| event.seq > now);
                    batch.audits = audits::of(&batch.events);
                    batch.from = now;
                }
                Err(error) => {
                    failing(&self.app, &error).await;
                    tokio::select! {
                        () = shutdown.cancelled() => return Ok(false),
                        () = tokio::time::sleep(pause) => pause = (pause * 2).min(LAST_RETRY),
                    }
                }
            }
        }
        self.offset = to;
        if let Some(last) = batch.events.last() {
            self.app.folded.set_archived(Mark { seq: last.seq, id: last.entry.id() });
        }
        for view in views {
            if view.summary.finished_at.is_some() {
                self.written.remove(&view.summary.id);
            } else {
                self.written.insert(view.summary.id, view);
            }
        }
        Ok(true)
    }

    fn changes(&self, views: &[DeploymentView]) -> Vec<DeploymentChange> {
        views.iter().map(|view| DeploymentChange::between(self.written.get(&view.summary.id), view)).collect()
    }

    fn ready_at(&self, seq: u64) {
        let state = if seq >= self.goal { Ok(()) } else { Err(format!("reading the log: {seq} of {}", self.goal)) };
        self.app.readiness.set("fold", state);
    }
}

/// Refuses a log that is not the one that the archive was made from. What was purged says nothing, so some are tried.
async fn same_log(app: &Shared, newest: &[Mark]) -> Result<(), FoldError> {
    for mark in newest {
        match app.bus.mark_at(mark.seq).await? {
            Some(found) if found == *mark => return Ok(()),
            Some(_) => {
                let found = "but the log has another message there".to_owned();
                return Err(FoldError::Regression { seen: mark.seq, found });
            }
            None => {}
        }
    }
    Ok(())
}

/// Reports a failing database, and waits a moment.
async fn failing(app: &Shared, error: &slipway_store::StoreError) {
    tracing::error!(%error, "the projection waits for the database");
    app.readiness.set("fold", Err(format!("the database fails: {error}")));
    tokio::time::sleep(FIRST_RETRY).await;
}
