//! The log as it grows, and when services say that they are ready; both to the millisecond.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use slipway_bus::{Bus, BusConfig};
use slipway_domain::{
    event::{Entry, Recorded, TaskEvent},
    id::DeploymentId,
    presence::Role,
};
use slipway_integration_tests::stack::Stack;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks at a service.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A connection to the bus of a stack, with the rights of one of its services.
pub async fn bus(stack: &Stack, service: &str) -> Result<Bus> {
    // A second call finds the provider installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let role = match service.split('-').next() {
        Some("planner") => Role::Planner,
        Some("executor") => Role::Executor,
        _ => Role::Release,
    };
    let id = if service.contains('-') { service.to_owned() } else { format!("{service}-1") };
    let config = BusConfig { url: stack.nats_url(), creds: Some(stack.seed(service)), role, id };
    Bus::connect(&config).await.context("connecting to the stack's NATS")
}

/// Everything that is in the log, and what comes.
pub struct Log {
    entries: Arc<Mutex<Vec<Recorded>>>,
    grown: watch::Receiver<usize>,
    _reading: AbortOnDropHandle<()>,
}

impl Log {
    /// Begins to read.
    pub async fn follow(stack: &Stack) -> Result<Self> {
        let mut fold = bus(stack, "release").await?.fold(1);
        let (entries, (growing, grown)) = (Arc::new(Mutex::new(Vec::new())), watch::channel(0));
        let shared = entries.clone();
        let reading = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Ok(recorded) = fold.next().await {
                let mut entries = shared.lock().unwrap_or_else(PoisonError::into_inner);
                entries.push(recorded);
                growing.send_replace(entries.len());
            }
        }));
        Ok(Self { entries, grown, _reading: reading })
    }

    /// How many entries were read.
    pub fn len(&self) -> usize {
        *self.grown.borrow()
    }

    /// The entries from a place on.
    pub fn from(&self, place: usize) -> Vec<Recorded> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)[place..].to_vec()
    }

    /// Waits for the first entry from a place on that is meant; its place and itself.
    pub async fn first(
        &mut self,
        place: usize,
        what: &str,
        is: impl Fn(&Recorded) -> bool,
    ) -> Result<(usize, Recorded)> {
        let mut looked = place;
        let search = async {
            loop {
                let new = self.from(looked);
                if let Some(n) = new.iter().position(&is) {
                    return anyhow::Ok((looked + n, new[n].clone()));
                }
                looked += new.len();
                self.grown.wait_for(|grown| *grown > looked).await.context("the log is read no more")?;
            }
        };
        tokio::time::timeout(PATIENCE, search).await.with_context(|| format!("not within {PATIENCE:?}: {what}"))?
    }

    /// Waits for the first claim from a place on, of one deployment or any.
    pub async fn claim(&mut self, place: usize, of: Option<DeploymentId>) -> Result<(usize, Recorded)> {
        let mine = |recorded: &Recorded| of.is_none_or(|id| recorded.address.deployment() == id);
        self.first(place, "a claim", |recorded| mine(recorded) && is_claim(recorded)).await
    }
}

/// Whether it is a claim.
pub fn is_claim(recorded: &Recorded) -> bool {
    let claims = |event: &TaskEvent| matches!(event, TaskEvent::Claimed { .. });
    matches!(&recorded.entry, Entry::Task(envelope) if envelope.events.iter().any(claims))
}

/// The moment at which a service says that it is usable.
pub async fn ready(stack: &Stack, name: &str) -> Result<DateTime<Utc>> {
    let ready = async {
        while stack.is_ready(name).await.is_err() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.with_context(|| format!("{name} is never ready"))?;
    Ok(Utc::now())
}

/// The moment at which NATS answers questions about the log.
pub async fn nats_ready(stack: &Stack) -> Result<DateTime<Utc>> {
    let ready = async {
        loop {
            if let Ok(client) =
                slipway_integration_tests::log::connect(&stack.nats_url(), &stack.seed("operator")).await
                && async_nats::jetstream::new(client).get_stream("DEPLOYMENTS").await.is_ok()
            {
                return Utc::now();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.context("NATS is never ready")
}
