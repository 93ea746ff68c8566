//! Serving: doorbells in, attempts out, until told to stop.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use slipway_bus::{Bus, Doorbells, Nudges, Ring};
use slipway_domain::{
    event::Actor,
    id::{DeploymentId, TaskKey},
    name::HolderName,
    order::Answer,
    presence::Presence,
};
use slipway_service::readiness::Readiness;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use uuid::Uuid;

use crate::{Perform, WorkerConfig, WorkerError, attempt, lock, presence};

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
    slots: Arc<Semaphore>,
    attempts: TaskTracker,
    held: Mutex<HashMap<(DeploymentId, TaskKey), Arc<Notify>>>,
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
        slots: Arc::new(Semaphore::new(config.slots)),
        attempts: TaskTracker::new(),
        held: Mutex::default(),
    });
    tokio::select! {
        awaited = bus.await_streams() => awaited?,
        () = shutdown.cancelled() => return Ok(()),
    }
    let listeners = TaskTracker::new();
    let mut hearing = Vec::new();
    for target in &config.targets {
        let (doorbells, nudges) = (bus.doorbells(target).await?, bus.nudges(target).await?);
        listeners.spawn(listen(shared.clone(), doorbells, shutdown.clone()));
        // Not among the listeners: held tasks can still be cancelled while draining.
        hearing.push(AbortOnDropHandle::new(tokio::spawn(hear_nudges(shared.clone(), nudges))));
    }
    listeners.close();
    let presence = presence_of(&config, boot);
    // Announced only now: a planner rings at once when a target appears.
    let keeper = presence::keep(bus.clone(), presence, readiness.clone(), shutdown.clone());
    let keeper = AbortOnDropHandle::new(tokio::spawn(keeper));
    readiness.set("worker", Ok(()));
    shutdown.cancelled().await;
    readiness.set("worker", Err("draining".to_owned()));
    listeners.wait().await;
    drain(&shared).await;
    drop((keeper, hearing));
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
        if let Some(look) = shared.lock().get(&key) {
            look.notify_one();
        }
    }
}

async fn open_door<P: Perform>(shared: &Arc<Shared<P>>, ring: Ring) {
    let key = (ring.doorbell.deployment, ring.doorbell.task.clone());
    let Some((permit, place)) = shared.take_place(key) else {
        ring.answer(Answer::Busy).await;
        return;
    };
    ring.answer(Answer::Claiming).await;
    let attempt = attempt::run(shared.clone(), ring.doorbell, place.look.clone());
    shared.attempts.spawn(async move {
        attempt.await;
        drop((place, permit));
    });
}

impl<P> Shared<P> {
    /// A free slot, unless there is none or the task is held here already.
    fn take_place(self: &Arc<Self>, key: (DeploymentId, TaskKey)) -> Option<(OwnedSemaphorePermit, Place<P>)> {
        let permit = self.slots.clone().try_acquire_owned().ok()?;
        let look = Arc::new(Notify::new());
        match self.lock().entry(key.clone()) {
            std::collections::hash_map::Entry::Occupied(_) => return None,
            std::collections::hash_map::Entry::Vacant(vacant) => vacant.insert(look.clone()),
        };
        Some((permit, Place { shared: self.clone(), key, look }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(DeploymentId, TaskKey), Arc<Notify>>> {
        self.held.lock().expect("invariant: nobody panics while holding the map of held tasks")
    }
}

/// A task's entry among the held ones; gives it up when dropped.
struct Place<P> {
    shared: Arc<Shared<P>>,
    key: (DeploymentId, TaskKey),
    look: Arc<Notify>,
}

impl<P> Drop for Place<P> {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.key);
    }
}
