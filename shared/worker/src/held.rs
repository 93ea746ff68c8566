//! A task that is held: what its performer may ask and must tell.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use slipway_bus::Bus;
use slipway_domain::{
    event::{Failure, FailureKind, TaskEvent},
    id::{DeploymentId, TaskKey},
    order::Doorbell,
    secret::{self, SecretRef},
};
use slipway_service::failpoint;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{Fenced, Stream, chain::Chain, mask::Masker, output::Output};

/// Pause before earlier attempts are looked at again.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// A held task.
pub struct Held {
    deployment: DeploymentId,
    task: TaskKey,
    attempt: u32,
    epoch: u64,
    adopt: bool,
    stop: bool,
    bus: Bus,
    cancelled: CancellationToken,
    overdue: CancellationToken,
    fenced: CancellationToken,
    told: Arc<watch::Sender<Option<bool>>>,
    secrets: OnceLock<BTreeMap<SecretRef, String>>,
    pub(crate) chain: tokio::sync::Mutex<Chain>,
    pub(crate) output: Arc<Output>,
    /// Somebody says that there is something new on the subject.
    pub(crate) look: Arc<Notify>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held")
            .field("deployment", &self.deployment)
            .field("task", &self.task)
            .field("attempt", &self.attempt)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Held {
    pub(crate) fn new(
        bus: Bus,
        doorbell: &Doorbell,
        epoch: u64,
        chain: Chain,
        tokens: Tokens,
        look: Arc<Notify>,
    ) -> Self {
        let (deployment, task, attempt) = (doorbell.deployment, doorbell.task.clone(), doorbell.attempt);
        let output = Arc::new(Output::new(bus.clone(), deployment, task.clone(), attempt));
        Self {
            deployment,
            task,
            attempt,
            epoch,
            adopt: doorbell.adopt,
            stop: doorbell.stop,
            bus,
            cancelled: tokens.cancelled,
            overdue: tokens.overdue,
            fenced: tokens.fenced,
            told: tokens.told,
            secrets: OnceLock::new(),
            chain: tokio::sync::Mutex::new(chain),
            output,
            look,
        }
    }

    /// The deployment.
    pub fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// The task.
    pub fn task(&self) -> &TaskKey {
        &self.task
    }

    /// The attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The sequence of the claim: the fencing token.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether an earlier holder was lost, so that there may be something to adopt.
    pub fn adopt(&self) -> bool {
        self.adopt
    }

    /// Whether only to end what an earlier holder left behind.
    pub fn stop(&self) -> bool {
        self.stop
    }

    /// Call before every external effect. Makes sure that nobody else can hold the task when the effect begins; waits
    /// while the bus is away.
    pub async fn effect(&self, intent: &str) -> Result<(), Fenced> {
        self.guarded(async {
            loop {
                let mut connected = self.bus.connected();
                // The sender lives as long as the bus, which is here.
                let _ = connected.wait_for(|up| *up).await;
                let mut chain = self.chain.lock().await;
                if chain.is_fresh() {
                    failpoint!("worker.effect.before");
                    return Ok(());
                }
                failpoint!("worker.checkpoint.before");
                chain.append(|_| self.checkpoint(intent)).await?;
                failpoint!("worker.checkpoint.after");
            }
        })
        .await
    }

    /// Call before an effect that must never happen twice: a checkpoint of its own, whatever was appended before.
    pub async fn once(&self, intent: &str) -> Result<(), Fenced> {
        self.guarded(async {
            failpoint!("worker.checkpoint.before");
            self.chain.lock().await.append(|_| self.checkpoint(intent)).await?;
            failpoint!("worker.checkpoint.after");
            Ok(())
        })
        .await?;
        self.effect(intent).await
    }

    /// Whether a lost attempt of this task, since the last one that ended, came as far as a checkpoint. What it wanted to
    /// do then may be done. Waits while the bus is away.
    pub async fn may_have_been_done(&self) -> Result<bool, Fenced> {
        self.guarded(async {
            loop {
                match self.chain.lock().await.checkpoint_before().await {
                    Ok(found) => return Ok(found),
                    Err(error) => tracing::warn!(%error, "earlier attempts can not be looked at; trying again"),
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await
    }

    async fn guarded<T>(&self, proof: impl Future<Output = Result<T, Fenced>>) -> Result<T, Fenced> {
        tokio::select! {
            biased;
            () = self.fenced.cancelled() => Err(Fenced),
            proven = proof => proven,
        }
    }

    fn checkpoint(&self, intent: &str) -> TaskEvent {
        TaskEvent::Checkpoint { intent: self.mask(intent) }
    }

    /// Cancelled when the work shall stop: by a person, or because its time is up.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Cancelled when the attempt's time is up; [`Held::cancelled`] is then, too.
    pub fn overdue(&self) -> &CancellationToken {
        &self.overdue
    }

    /// Cancelled when the claim is lost.
    pub fn fenced(&self) -> &CancellationToken {
        &self.fenced
    }

    /// Waits until a person tells the task how to end; whether as failed.
    pub async fn told(&self) -> bool {
        let mut told = self.told.subscribe();
        // The sender lives as long as the claim.
        told.wait_for(Option::is_some).await.ok().and_then(|told| *told).unwrap_or_default()
    }

    /// Tells people something, beside what the step prints.
    pub fn say(&self, text: impl Into<String>) {
        self.output.say(&text.into());
    }

    /// Passes on what a container printed, in pieces as they come.
    pub fn print(&self, stream: Stream, text: &str) {
        self.output.print(stream, text);
    }

    /// The last 20 printed lines, masked.
    pub fn tail(&self) -> Vec<String> {
        self.output.tail()
    }

    /// The text with every marker replaced by its secret.
    pub fn fill(&self, text: &str) -> Result<String, Failure> {
        static NONE: BTreeMap<SecretRef, String> = BTreeMap::new();
        secret::fill(text, self.secrets.get().unwrap_or(&NONE)).map_err(|missing| Failure {
            kind: FailureKind::Order,
            message: format!(
                "the order uses secret `{}` version {} without listing it; start a new deployment",
                missing.name, missing.version
            ),
            tail: Vec::new(),
        })
    }

    /// The text with every secret replaced by `***`.
    pub fn mask(&self, text: &str) -> String {
        self.output.masker().mask(text)
    }

    pub(crate) fn give_secrets(&self, values: BTreeMap<SecretRef, String>) {
        self.output.hide(Masker::new(values.values().map(String::as_str)));
        let _ = self.secrets.set(values);
    }
}

/// How a held task is told to stop.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    pub(crate) cancelled: CancellationToken,
    pub(crate) overdue: CancellationToken,
    pub(crate) fenced: CancellationToken,
    /// Whether the task was told to fail, once it was told anything.
    pub(crate) told: Arc<watch::Sender<Option<bool>>>,
}
