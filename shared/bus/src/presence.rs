//! Presence: who is alive. A hint in memory that a restart of the server forgets.
//!
//! The server does not tell when a key expires. So a renewal is an event, silence is for the
//! watcher to measure, and `Gone` comes only from who says goodbye.

use std::time::Duration;

use async_nats::header::HeaderMap;
use chrono::{DateTime, Utc};
use slipway_domain::{
    name::HolderName,
    presence::{Mark, Presence, RENEW_SECS, Role},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Bus, BusError, stream, subject,
    tail::{CutTail, Item, Message, Source, Start, Tail},
};

const OPERATION: &str = "KV-Operation";

/// What a watch of presence tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceEvent {
    /// Alive: it appeared, or renewed.
    Up(Presence),
    /// It said goodbye.
    Gone {
        /// Which service.
        role: Role,
        /// Which one.
        id: HolderName,
    },
    /// Everybody who was there when the watch began, or began again, has been told.
    Drained,
    /// The watch broke and begins again; silence since then proves nothing.
    Lost,
}

/// A watch of everybody's presence that recovers by itself.
pub struct PresenceWatch {
    tail: Tail,
    /// Initial values still to come.
    initial: Option<u64>,
    drained: bool,
    last_at: Option<DateTime<Utc>>,
}

impl Bus {
    /// Says that this process is alive. Repeat every [`RENEW_SECS`](slipway_domain::presence::RENEW_SECS).
    pub async fn announce(&self, presence: &Presence) -> Result<(), BusError> {
        let payload = serde_json::to_vec(presence)
            .map_err(|e| BusError::Refused { what: "presence".into(), reason: e.to_string() })?;
        let subject = subject::presence(presence.role, presence.id.as_str());
        self.store(stream::PRESENCE_STREAM, subject, HeaderMap::new(), payload.into()).await.map(drop)
    }

    /// Says goodbye.
    pub async fn withdraw(&self, role: Role, id: &HolderName) -> Result<(), BusError> {
        let mut headers = HeaderMap::new();
        headers.insert(OPERATION, "DEL");
        let subject = subject::presence(role, id.as_str());
        self.store(stream::PRESENCE_STREAM, subject, headers, bytes::Bytes::new()).await.map(drop)
    }

    /// Says every few seconds that a service which serves no targets is alive, and goodbye at the shutdown. `archived`
    /// is asked each time.
    pub async fn stay_present(
        self,
        (role, id): (Role, HolderName),
        version: &str,
        archived: impl Fn() -> Option<Mark>,
        shutdown: CancellationToken,
    ) {
        let mut presence = Presence {
            role,
            id,
            boot: Uuid::new_v4(),
            version: version.to_owned(),
            targets: Vec::new(),
            draining: false,
            archived: None,
        };
        let mut renew = tokio::time::interval(Duration::from_secs(RENEW_SECS));
        while shutdown.run_until_cancelled(renew.tick()).await.is_some() {
            presence.archived = archived();
            if let Err(error) = self.announce(&presence).await {
                tracing::warn!(%error, "this service could not say that it is alive");
            }
        }
        if let Err(error) = self.withdraw(presence.role, &presence.id).await {
            tracing::debug!(%error, "presence could not be withdrawn; it ends by itself");
        }
    }

    /// Watches everybody.
    pub fn watch_presence(&self) -> PresenceWatch {
        let source = Source {
            stream: stream::PRESENCE_STREAM,
            filters: vec![subject::PRESENCE.to_owned()],
            start: Start::LastPerSubject,
            batch: 500,
            cut_tail: CutTail::Forgiven,
        };
        PresenceWatch { tail: Tail::new(self, source), initial: None, drained: true, last_at: None }
    }
}

impl PresenceWatch {
    /// The server's time of the last renewal that was told: the nearest thing to its clock.
    pub fn last_at(&self) -> Option<DateTime<Utc>> {
        self.last_at
    }

    /// What comes next. May be dropped while waiting and called again.
    pub async fn next(&mut self) -> PresenceEvent {
        loop {
            if !self.drained && self.initial == Some(0) {
                self.drained = true;
                return PresenceEvent::Drained;
            }
            match self.tail.next().await {
                Ok(Item::Opened { pending }) => {
                    self.initial = Some(pending);
                    self.drained = false;
                }
                Ok(Item::Broken) => return PresenceEvent::Lost,
                Ok(Item::Message(message)) => {
                    if !self.drained {
                        // Renewals while draining push others back; the server counts, not we.
                        self.initial = Some(message.pending);
                    }
                    self.last_at = Some(message.at);
                    if let Some(event) = event(&message) {
                        return event;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "presence can not be watched");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    return PresenceEvent::Lost;
                }
            }
        }
    }
}

fn event(message: &Message) -> Option<PresenceEvent> {
    let gone = message.body.headers.as_ref().is_some_and(|headers| headers.get(OPERATION).is_some());
    if gone {
        let (role, id) = subject::parse_presence(&message.body.subject)?;
        return Some(PresenceEvent::Gone { role, id });
    }
    let presence: Presence = serde_json::from_slice(&message.body.payload).ok()?;
    let honest = subject::parse_presence(&message.body.subject) == Some((presence.role, presence.id.clone()));
    honest.then_some(PresenceEvent::Up(presence))
}
