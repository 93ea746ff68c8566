//! What the tests use to play everybody else, and workers whose work is a closure.

use std::{pin::Pin, sync::Arc, time::Duration};

use chrono::DateTime;
use slipway_bus::{Appended, Bus};
use slipway_domain::{
    duration::Span,
    event::{Actor, Address, Entry, Envelope, Recorded, SCHEMA, TaskEvent},
    id::{DeploymentId, TaskKey},
    name::{EnvironmentName, HolderName, ProjectName, StepName, TargetName},
    order::{Answer, Doorbell, Order, Work},
    presence::Role,
};
use slipway_service::readiness::Readiness;
use slipway_worker::{End, Held, Perform, WorkerConfig, WorkerError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::nats::{Nats, soon};

type Doing = Pin<Box<dyn Future<Output = End> + Send>>;

/// Work that is a closure.
pub struct Do<F>(pub F);

impl<F: Fn(Arc<Held>, Doorbell) -> Doing + Send + Sync + 'static> Perform for Do<F> {
    async fn perform(&self, held: Arc<Held>, doorbell: &Doorbell) -> End {
        (self.0)(held, doorbell.clone()).await
    }
}

pub struct Worker {
    pub shutdown: CancellationToken,
    pub task: tokio::task::JoinHandle<Result<(), WorkerError>>,
    pub state_dir: Arc<tempfile::TempDir>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A worker of `web-01` with that much room, once it serves.
pub async fn worker<F, Fut>(nats: &Nats, name: &str, slots: usize, work: F) -> anyhow::Result<Worker>
where
    F: Fn(Arc<Held>, Doorbell) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = End> + Send + 'static,
{
    let bus = Bus::connect(&nats.config(Role::Executor, name)).await?;
    let state_dir = Arc::new(tempfile::tempdir()?);
    let config = WorkerConfig {
        role: Role::Executor,
        name: HolderName::new(name)?,
        targets: vec![target()],
        slots,
        state_dir: state_dir.path().to_owned(),
    };
    let readiness = Readiness::new(&["nats", "worker"]);
    let shutdown = CancellationToken::new();
    let work = Do(move |held, doorbell| -> Doing { Box::pin(work(held, doorbell)) });
    let task = tokio::spawn(slipway_worker::serve(bus, config, work, readiness.clone(), shutdown.clone()));
    soon("the worker", until(|| readiness.reasons().is_empty())).await;
    Ok(Worker { shutdown, task, state_dir })
}

/// Waits until it holds.
pub async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn target() -> TargetName {
    TargetName::new("web-01").unwrap()
}

/// A fresh task with an order to wait.
pub fn doorbell() -> Doorbell {
    Doorbell {
        deployment: DeploymentId(Uuid::new_v4()),
        task: TaskKey::new(StepName::new("web").unwrap(), target()),
        expected_seq: 0,
        attempt: 1,
        adopt: false,
        stop: false,
        restore: false,
        order: Order {
            project: ProjectName::new("shop").unwrap(),
            environment: EnvironmentName::new("staging").unwrap(),
            release: "1.0.0".into(),
            docker: None,
            tls: None,
            timeout: Span::secs(60),
            secrets: Vec::new(),
            work: Work::Wait { span: Span::secs(0) },
        },
        trace: None,
    }
}

pub fn address(doorbell: &Doorbell) -> Address {
    Address::Task(doorbell.deployment, doorbell.task.clone())
}

/// Rings until somebody claims.
pub async fn ring(bus: &Bus, doorbell: &Doorbell) {
    soon("somebody to claim", async {
        while bus.ring(doorbell).await.unwrap() != Some(Answer::Claiming) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The planner's word on a task, on whatever head there is.
pub async fn decree(bus: &Bus, doorbell: &Doorbell, event: TaskEvent) -> anyhow::Result<u64> {
    let entry = Entry::Task(Envelope {
        id: Uuid::new_v4(),
        schema: SCHEMA,
        at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        actor: Actor::Planner { id: "planner-1".into() },
        trace: None,
        events: vec![event],
    });
    loop {
        let head = bus.head_of(&address(doorbell)).await?;
        if let Appended::Stored(seq) = bus.append(&address(doorbell), head, &entry).await? {
            return Ok(seq);
        }
    }
}

/// The next event of a task after a sequence.
pub async fn next(bus: &Bus, doorbell: &Doorbell, after: u64) -> (Recorded, TaskEvent) {
    let recorded = soon("an event of the task", async {
        loop {
            if let Some(recorded) = bus.after(&address(doorbell), after).await.unwrap() {
                return recorded;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let Entry::Task(envelope) = &recorded.entry else { panic!("not a task's") };
    let event = envelope.events[0].clone();
    (recorded, event)
}

/// All events of a task up to its end.
pub async fn story(bus: &Bus, doorbell: &Doorbell) -> Vec<TaskEvent> {
    let mut events = Vec::new();
    let mut after = 0;
    loop {
        let (recorded, event) = next(bus, doorbell, after).await;
        after = recorded.seq;
        let over = matches!(
            event,
            TaskEvent::Succeeded { .. } | TaskEvent::Failed { .. } | TaskEvent::Unknown { .. } | TaskEvent::Cancelled
        );
        events.push(event);
        if over {
            return events;
        }
    }
}
