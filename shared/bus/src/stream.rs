//! The streams: how they are made, and what an existing one must be like.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use async_nats::{
    header::HeaderMap,
    jetstream::{
        context::{CreateStreamErrorKind, GetStreamErrorKind, PublishErrorKind},
        stream::{Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType},
    },
};
use bytes::Bytes;
use slipway_domain::presence::LEASE_SECS;

use crate::{Bus, BusError, connection::Inner, subject};

pub(crate) const DEPLOYMENTS: &str = "DEPLOYMENTS";
pub(crate) const LOGS: &str = "LOGS";
pub(crate) const PUSHES: &str = "PUSHES";
const PRESENCE: &str = "PRESENCE";
pub(crate) const PRESENCE_STREAM: &str = "KV_PRESENCE";
const BLOBS: &str = "BLOBS";
pub(crate) const BLOBS_STREAM: &str = "OBJ_BLOBS";

const MIB: i64 = 1024 * 1024;
const SMALLEST: i64 = 16 * MIB;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Every reader is a consumer; the server's own default of 1000 is too few for many open pages.
const MAX_CONSUMERS: i32 = 10_000;
const NO_ROOM: [u64; 3] = [10023, 10028, 10047];
const NAME_TAKEN: u64 = 10058;
const NOT_FOUND: u64 = 10059;
/// A cluster that has not found together yet: too few servers, or no leader.
const NOT_YET: [u64; 4] = [10004, 10008, 10009, 10074];
/// No server of the cluster takes it: they have not found together yet, or have no room.
const NO_PEERS: u64 = 10005;
/// How long the servers of a cluster may take to find together.
const TOGETHER: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(250);
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// How long a server that is there may leave a question about a stream without an answer.
const PATIENCE: Duration = Duration::from_secs(30);
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

impl Bus {
    /// Makes the streams that are missing and checks those that are there. From then on this connection also makes
    /// the presence bucket, which lives in memory, again after each reconnect. `replicas` is 1, or 3 or 5 in a cluster.
    ///
    /// # Errors
    /// [`BusError::Settings`] when an existing stream does not do what the engine relies on.
    pub async fn ensure_streams(&self, replicas: usize) -> Result<(), BusError> {
        for wanted in file_streams(replicas) {
            self.ensure_patiently(wanted).await?;
        }
        self.ensure_patiently(presence(replicas)).await?;
        if !self.inner.keeps_streams.swap(true, Ordering::Relaxed) {
            tokio::spawn(keep_presence(Arc::downgrade(&self.inner), self.generation(), replicas));
        }
        Ok(())
    }

    /// Waits until somebody has made the streams that every service needs.
    pub async fn await_streams(&self) -> Result<(), BusError> {
        let mut complained = Instant::now();
        for name in [DEPLOYMENTS, LOGS, PRESENCE_STREAM] {
            loop {
                let started = Instant::now();
                let Err(error) = self.inner.js.get_stream(name).await else { break };
                let api = format!("$JS.API.STREAM.INFO.{name}");
                if self.denied_since(&api, started) {
                    return Err(BusError::Denied { subject: api });
                }
                if complained.elapsed() >= COMPLAIN_EVERY {
                    complained = Instant::now();
                    tracing::warn!(stream = name, %error, "waiting for the release service or a planner to make the streams");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
        Ok(())
    }

    /// The server may be restarted just while it is asked, which is no reason to give up.
    async fn ensure_patiently(&self, wanted: Config) -> Result<(), BusError> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.ensure(wanted.clone()).await {
                Err(error @ BusError::NoAnswer { .. }) if Instant::now() < end => {
                    tracing::warn!(stream = wanted.name, %error, "asking again");
                    tokio::time::sleep(RETRY).await;
                }
                result => return result,
            }
        }
    }

    async fn ensure(&self, wanted: Config) -> Result<(), BusError> {
        let started = Instant::now();
        let found = match self.inner.js.get_stream(&wanted.name).await {
            Ok(stream) => Some(stream.cached_info().config.clone()),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(server) if server.error_code().0 == NOT_FOUND => None,
                GetStreamErrorKind::JetStream(server) if NOT_YET.contains(&server.error_code().0) => {
                    return Err(BusError::NoAnswer { what: format!("$JS.API.STREAM.INFO.{} ({server})", wanted.name) });
                }
                GetStreamErrorKind::JetStream(server) => {
                    return Err(BusError::Refused {
                        what: format!("stream {}", wanted.name),
                        reason: server.to_string(),
                    });
                }
                _ => return Err(self.no_answer(&format!("$JS.API.STREAM.INFO.{}", wanted.name), started)),
            },
        };
        match found {
            Some(found) => verify(&wanted, &found),
            None => self.create(wanted).await,
        }
    }

    /// Makes a stream; one that does not fit is tried at half the size. What then fits is halved once more, so that
    /// the streams to come find room as well.
    async fn create(&self, mut wanted: Config) -> Result<(), BusError> {
        let mut shrunk = false;
        let together = Instant::now() + TOGETHER;
        loop {
            let started = Instant::now();
            let Err(error) = self.inner.js.create_stream(wanted.clone()).await else {
                if shrunk {
                    self.leave_room(&mut wanted).await;
                }
                tracing::info!(stream = wanted.name, max_bytes = wanted.max_bytes, "stream made");
                return Ok(());
            };
            let CreateStreamErrorKind::JetStream(server) = error.kind() else {
                return Err(self.no_answer(&format!("$JS.API.STREAM.CREATE.{}", wanted.name), started));
            };
            match server.error_code().0 {
                code if NOT_YET.contains(&code) => {
                    return Err(BusError::NoAnswer {
                        what: format!("$JS.API.STREAM.CREATE.{} ({server})", wanted.name),
                    });
                }
                NAME_TAKEN => {
                    // In a cluster the stream that another service makes may be on its way.
                    let stream = self.inner.js.get_stream(&wanted.name).await;
                    let late = |e| BusError::NoAnswer { what: format!("$JS.API.STREAM.INFO.{} ({e})", wanted.name) };
                    return verify(&wanted, &stream.map_err(late)?.cached_info().config);
                }
                NO_PEERS if Instant::now() < together => tokio::time::sleep(RETRY).await,
                code if (NO_ROOM.contains(&code) || code == NO_PEERS) && wanted.max_bytes > SMALLEST => {
                    wanted.max_bytes /= 2;
                    shrunk = true;
                    tracing::warn!(stream = wanted.name, max_bytes = wanted.max_bytes, reason = %server, "trying a smaller stream");
                }
                // Another service that is starting may be about to give back half of what it has just made.
                code if NO_ROOM.contains(&code) && Instant::now() < together => tokio::time::sleep(RETRY).await,
                _ => {
                    return Err(BusError::Refused {
                        what: format!("stream {}", wanted.name),
                        reason: server.to_string(),
                    });
                }
            }
        }
    }

    /// Halves a stream that has only just found room.
    async fn leave_room(&self, made: &mut Config) {
        let half = Config { max_bytes: made.max_bytes / 2, ..made.clone() };
        match self.inner.js.update_stream(half.clone()).await {
            Ok(_) => *made = half,
            Err(error) => tracing::warn!(stream = made.name, %error, "this stream may take all the room there is"),
        }
    }

    fn no_answer(&self, api: &str, started: Instant) -> BusError {
        if self.denied_since(api, started) {
            BusError::Denied { subject: api.to_owned() }
        } else {
            BusError::NoAnswer { what: api.to_owned() }
        }
    }

    /// Publishes with an acknowledgement, once. For everything that is not the log.
    pub(crate) async fn store(
        &self,
        stream: &str,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, BusError> {
        let started = Instant::now();
        let publish = async { self.inner.js.publish_with_headers(subject.clone(), headers, payload).await?.await };
        let mut generation = self.generation();
        let error = tokio::select! {
            biased;
            acked = publish => match acked {
                Ok(ack) => return Ok(ack.sequence),
                Err(error) => Some(error),
            },
            _ = generation.changed() => None,
            () = tokio::time::sleep(STORE_TIMEOUT) => None,
        };
        if self.denied_since(&subject, started) {
            return Err(BusError::Denied { subject });
        }
        match error {
            Some(error) if error.kind() == PublishErrorKind::StreamNotFound => {
                Err(BusError::NoAnswer { what: format!("a message for stream {stream}, which is not there") })
            }
            Some(error) if error.kind() != PublishErrorKind::TimedOut => {
                Err(BusError::Refused { what: format!("a message on {subject}"), reason: error.to_string() })
            }
            _ => Err(BusError::NoAnswer { what: format!("a message on {subject}") }),
        }
    }
}

/// Makes the presence bucket again whenever the server may have forgotten it.
async fn keep_presence(inner: Weak<Inner>, mut generation: tokio::sync::watch::Receiver<u64>, replicas: usize) {
    while generation.changed().await.is_ok() {
        loop {
            let Some(inner) = inner.upgrade() else { return };
            let bus = Bus { inner };
            match bus.ensure(presence(replicas)).await {
                Ok(()) => break,
                Err(error) => tracing::debug!(%error, "the presence bucket could not be made yet"),
            }
            drop(bus);
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn file_streams(replicas: usize) -> [Config; 4] {
    let base = Config {
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: MAX_CONSUMERS,
        num_replicas: replicas,
        allow_direct: true,
        ..Config::default()
    };
    [
        Config {
            name: DEPLOYMENTS.into(),
            subjects: vec![subject::DEPLOYMENTS.into()],
            discard: DiscardPolicy::New,
            max_bytes: 8 * 1024 * MIB,
            deny_delete: true,
            ..base.clone()
        },
        Config {
            name: LOGS.into(),
            subjects: vec![subject::LOGS.into()],
            discard: DiscardPolicy::Old,
            max_bytes: 4 * 1024 * MIB,
            max_age: 30 * DAY,
            // What a step printed may lose its last moment, but only a single server can be told so.
            persist_mode: (replicas == 1).then_some(PersistenceMode::Async),
            ..base.clone()
        },
        Config {
            name: PUSHES.into(),
            subjects: vec![subject::PUSHES.into()],
            discard: DiscardPolicy::Old,
            max_bytes: 1024 * MIB,
            max_age: 14 * DAY,
            ..base.clone()
        },
        Config {
            name: BLOBS_STREAM.into(),
            subjects: vec![format!("$O.{BLOBS}.C.>"), format!("$O.{BLOBS}.M.>")],
            discard: DiscardPolicy::New,
            max_bytes: 2 * 1024 * MIB,
            // The same bytes written again take no room.
            max_messages_per_subject: 1,
            allow_rollup: true,
            ..base
        },
    ]
}

fn presence(replicas: usize) -> Config {
    Config {
        name: PRESENCE_STREAM.into(),
        subjects: vec![format!("$KV.{PRESENCE}.>")],
        storage: StorageType::Memory,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_messages: -1,
        max_messages_per_subject: 1,
        max_bytes: 64 * MIB,
        max_age: Duration::from_secs(LEASE_SECS),
        duplicate_window: Duration::from_secs(LEASE_SECS),
        max_consumers: MAX_CONSUMERS,
        num_replicas: replicas,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    }
}

/// What the engine relies on must be so; sizes and ages are the operator's, and so are more replicas than wanted.
fn verify(wanted: &Config, found: &Config) -> Result<(), BusError> {
    let differs = |what: &str, found: String, needed: String| {
        Err(BusError::Settings {
            stream: wanted.name.clone(),
            found: format!("{what} {found}"),
            needed: format!("{what} {needed}"),
        })
    };
    if wanted.subjects != found.subjects {
        return differs("subjects", found.subjects.join(", "), wanted.subjects.join(", "));
    }
    if found.num_replicas < wanted.num_replicas {
        return differs("replicas", found.num_replicas.to_string(), wanted.num_replicas.to_string());
    }
    if wanted.retention != found.retention {
        return differs("retention", format!("{:?}", found.retention), format!("{:?}", wanted.retention));
    }
    if wanted.storage != found.storage {
        return differs("storage", format!("{:?}", found.storage), format!("{:?}", wanted.storage));
    }
    if wanted.discard != found.discard {
        return differs("discard", format!("{:?}", found.discard), format!("{:?}", wanted.discard));
    }
    if wanted.deny_delete && !found.deny_delete {
        return differs("deny_delete", "off".into(), "on".into());
    }
    if wanted.allow_direct && !found.allow_direct {
        return differs("allow_direct", "off".into(), "on".into());
    }
    let log = wanted.name == DEPLOYMENTS;
    if log && !found.max_age.is_zero() {
        return differs("max_age", format!("{:?}", found.max_age), "none".into());
    }
    if log && (found.max_messages > 0 || found.max_messages_per_subject > 0) {
        return differs("a limit of messages", "set".into(), "none".into());
    }
    if log && found.persist_mode == Some(PersistenceMode::Async) {
        return differs("persist_mode", "async".into(), "default".into());
    }
    if wanted.name == PRESENCE_STREAM && found.max_age != wanted.max_age {
        return differs("max_age", format!("{:?}", found.max_age), format!("{:?}", wanted.max_age));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_may_forget_is_refused_and_named() {
        let [log, ..] = file_streams(1);
        assert!(verify(&log, &log).is_ok());
        assert!(verify(&log, &Config { num_replicas: 3, max_bytes: 1, ..log.clone() }).is_ok());
        for (bad, word) in [
            (Config { discard: DiscardPolicy::Old, ..log.clone() }, "discard Old"),
            (Config { num_replicas: 0, ..log.clone() }, "replicas 0"),
            (Config { max_age: DAY, ..log.clone() }, "max_age"),
            (Config { deny_delete: false, ..log.clone() }, "deny_delete off"),
            (Config { subjects: vec!["x".into()], ..log.clone() }, "subjects x"),
        ] {
            let error = verify(&log, &bad).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("DEPLOYMENTS"), "{error}");
        }
    }
}
