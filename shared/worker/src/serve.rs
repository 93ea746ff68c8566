//! Serving: doorbells in, attempts out, until told to stop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use slipway_bus::{Bus, Doorbells, Nudges, Ring};
use slipway_domain::{
    event::Actor,
    name::HolderName,
    order::{Answer, Doorbell},
    presence::Presence,
};
use slipway_service::{failpoint, readiness::Readiness};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use uuid::Uuid;

use crate::{
    Perform, WorkerConfig, WorkerError, attempt, lock,
    places::{NoPlace, Place, Places},
    presence,
    waiting::Waiting,
};

/// How long held tasks may go on after shutdown was asked for; then a successor adopts them.
const DRAIN: Duration = Duration::from_secs(30);

/// What all attempts of a worker share.
pub(crate) struct Shared<P> {
    pub(crate) bus: Bus,
    pub(crate) name: HolderName,
    pub(crate) boot: Uuid,
    pub(crate) actor: Actor,
    pub(crate) perform: P,
    /// Cancelled when what is still held has to be left behind.
    pub(crate) leave: CancellationToken,
    places: Arc<Places>,
    waiting: Waiting,
    attempts: TaskTracker,
    /// Cancelled when no new task is taken.
    draining: CancellationToken,
}

/// Takes tasks of the configured targets and does them, until the token is cancelled and the held tasks have ended, at
/// most 30 s later. Sets the components `nats` and `worker` of the readiness.
pub async fn serve<P: Perform>(
    bus: Bus,
    config: WorkerConfig,
    perform: P,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let _lock = lock::acquire(&config.state_dir)?;
    // Drawn while holding the lock: whoever sees a new boot knows that the old process is dead.
    let boot = Uuid::new_v4();
    let shared = Arc::new(Shared {
        bus: bus.clone(),
        name: config.name.clone(),
        boot,
        actor: Actor::Holder { name: config.name.clone(), boot },
        perform,
        leave: CancellationToken::new(),
        places: Places::new(config.slots),
        waiting: Waiting::default(),
        attempts: TaskTracker::new(),
        draining: shutdown.clone(),
    });
    tokio::select! {
        awaited = bus.await_streams() => awaited?,
        () = shutdown.cancelled() => return Ok(()),
    }
    let listeners = TaskTracker::new();
    let mut hearing = Vec::new();
    let subscribing = Instant::now();
    for target in &config.targets {
        let (doorbells, nudges) = (bus.doorbells(target).await?, bus.nudges(target).await?);
        listeners.spawn(listen(shared.clone(), doorbells, shutdown.clone()));
        // Not among the listeners: held tasks can still be cancelled while draining.
        hearing.push(AbortOnDropHandle::new(tokio::spawn(hear_nudges(shared.clone(), nudges))));
    }
    listeners.close();
    if let Some((target, subject)) = bus.denied_subscription(&config.targets, subscribing).await {
        return Err(WorkerError::Deaf { target, subject });
    }
    // As long as this process lives, also while it drains.
    let signs = AbortOnDropHandle::new(tokio::spawn(bus.show_signs(&config.name, boot).await?.give()));
    let presence = presence_of(&config, boot);
    // Announced only now: a planner rings at once when a target appears.
    let keeper = presence::keep(bus.clone(), presence, readiness.clone(), shutdown.clone());
    let keeper = AbortOnDropHandle::new(tokio::spawn(keeper));
    readiness.set("worker", Ok(()));
    shutdown.cancelled().await;
    readiness.set("worker", Err("draining".to_owned()));
    listeners.wait().await;
    drain(&shared).await;
    drop((keeper, hearing, signs));
    if let Err(error) = bus.withdraw(config.role, &config.name).await {
        tracing::warn!(%error, "presence could not be withdrawn; it ends by itself");
    }
    Ok(())
}

fn presence_of(config: &WorkerConfig, boot: Uuid) -> Presence {
    Presence {
        role: config.role,
        id: config.name.clone(),
        boot,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        targets: config.targets.clone(),
        draining: false,
        archived: None,
    }
}

async fn drain<P: Perform>(shared: &Shared<P>) {
    shared.attempts.close();
    let held = shared.attempts.len();
    if held > 0 {
        tracing::info!(held, "waiting for held tasks to end");
    }
    if tokio::time::timeout(DRAIN, shared.attempts.wait()).await.is_err() {
        tracing::warn!(held = shared.attempts.len(), "leaving held tasks to a successor");
        shared.leave.cancel();
        shared.attempts.wait().await;
    }
}

async fn listen<P: Perform>(shared: Arc<Shared<P>>, mut doorbells: Doorbells, shutdown: CancellationToken) {
    loop {
        let ring = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            ring = doorbells.next() => ring,
        };
        match ring {
            Some(ring) => open_door(&shared, ring).await,
            None => return,
        }
    }
}

async fn hear_nudges<P: Perform>(shared: Arc<Shared<P>>, mut nudges: Nudges) {
    while let Some(key) = nudges.next().await {
        shared.places.nudge(&key);
    }
}

async fn open_door<P: Perform>(shared: &Arc<Shared<P>>, ring: Ring) {
    let key = (ring.doorbell.deployment, ring.doorbell.task.clone());
    let place = match shared.places.take(key) {
        Ok(place) => place,
        Err(no) => {
            ring.answer(Answer::Busy).await;
            if no == NoPlace::Full {
                shared.waiting.push(ring.doorbell);
                // The last slot may have become free just before.
                if let Some((doorbell, place)) = next(shared) {
                    shared.attempts.spawn(hold(shared.clone(), doorbell, place));
                }
            }
            return;
        }
    };
    failpoint!("worker.answer.before");
    ring.answer(Answer::Claiming).await;
    failpoint!("worker.answer.after");
    shared.attempts.spawn(hold(shared.clone(), ring.doorbell, place));
}

/// Holds one task after the other, as long as doorbells wait for a slot.
async fn hold<P: Perform>(shared: Arc<Shared<P>>, mut doorbell: Doorbell, mut place: Place) {
    loop {
        let look = place.look.clone();
        attempt::run(shared.clone(), doorbell, look).await;
        drop(place);
        (doorbell, place) = match next(&shared) {
            Some(next) => next,
            None => return,
        };
    }
}

/// The doorbell that has waited longest for the slot that became free.
fn next<P: Perform>(shared: &Arc<Shared<P>>) -> Option<(Doorbell, Place)> {
    while !shared.draining.is_cancelled() {
        let doorbell = shared.waiting.pop()?;
        match shared.places.take((doorbell.deployment, doorbell.task.clone())) {
            Ok(place) => return Some((doorbell, place)),
            Err(NoPlace::Held) => {}
            Err(NoPlace::Full) => {
                shared.waiting.put_back(doorbell);
                return None;
            }
        }
    }
    None
}
