//! Payloads that are too large for an envelope: kept in chunks under their deployment and their SHA-256.
//!
//! An envelope above [`MAX_ENVELOPE`](crate::MAX_ENVELOPE) goes here first and is then named in the log by its
//! digest. Writing the same bytes twice is harmless; what is read is checked against its name.

use std::time::{Duration, Instant};

use async_nats::{HeaderMap, jetstream::stream::DirectGetErrorKind};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use slipway_domain::{id::DeploymentId, text::sha256_hex};

use crate::{Bus, BusError, stream, subject};

/// Largest payload, packed.
pub const MAX_BLOB: usize = 32 * 1024 * 1024;
/// Below what a server takes as one message, with room for headers.
const CHUNK: usize = 256 * 1024;
/// How long a replica may take to have what the leader acknowledged.
const LAG: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Writes are tried again for this long; a change of leader takes up to 6 s.
const INSIST: Duration = Duration::from_secs(30);

/// What is kept beside the chunks.
#[derive(Debug, Serialize, Deserialize)]
struct Summary {
    chunks: usize,
    bytes: usize,
}

impl Bus {
    /// Keeps a payload of a deployment; the answer is its name.
    pub(crate) async fn put_blob(&self, id: DeploymentId, bytes: &Bytes) -> Result<String, BusError> {
        let name = format!("{id}.{}", sha256_hex(bytes));
        if bytes.len() > MAX_BLOB {
            let subject = subject::blob(&name);
            return Err(BusError::TooLarge { subject, bytes: bytes.len(), limit: MAX_BLOB });
        }
        let chunks = bytes.len().div_ceil(CHUNK);
        for chunk in 0..chunks {
            let end = bytes.len().min((chunk + 1) * CHUNK);
            self.insist_to_store(subject::blob_chunk(&name, chunk), bytes.slice(chunk * CHUNK..end)).await?;
        }
        // Last, so that whoever finds it finds all of it.
        let summary = serde_json::to_vec(&Summary { chunks, bytes: bytes.len() })
            .map_err(|e| BusError::Refused { what: "a blob".into(), reason: e.to_string() })?;
        self.insist_to_store(subject::blob(&name), summary.into()).await?;
        Ok(name)
    }

    async fn insist_to_store(&self, subject: String, payload: Bytes) -> Result<(), BusError> {
        let started = Instant::now();
        loop {
            let stored = self.store(stream::BLOBS_STREAM, subject.clone(), HeaderMap::new(), payload.clone()).await;
            match stored {
                Ok(_) => return Ok(()),
                Err(BusError::NoAnswer { .. }) if started.elapsed() < INSIST => {
                    self.wait_connected(INSIST).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The payload of a name.
    pub(crate) async fn get_blob(&self, name: &str) -> Result<Vec<u8>, BusError> {
        let damaged = |reason: &str| BusError::Refused { what: format!("blob {name}"), reason: reason.to_owned() };
        let summary = self.blob_message(subject::blob(name)).await?;
        let summary: Summary = serde_json::from_slice(&summary).map_err(|e| damaged(&e.to_string()))?;
        if summary.bytes > MAX_BLOB {
            return Err(damaged("it says that it is larger than a blob may be"));
        }
        let mut bytes = Vec::with_capacity(summary.bytes);
        for chunk in 0..summary.chunks {
            bytes.extend_from_slice(&self.blob_message(subject::blob_chunk(name, chunk)).await?);
        }
        // Logs of the first releases name a blob by its digest alone.
        let digest = name.rsplit('.').next().unwrap_or(name);
        if sha256_hex(&bytes) != digest {
            return Err(damaged("its bytes are not those that its name promises"));
        }
        Ok(bytes)
    }

    async fn blob_message(&self, subject: String) -> Result<Bytes, BusError> {
        let started = Instant::now();
        loop {
            let api = format!("$JS.API.DIRECT.GET.{}.{subject}", stream::BLOBS_STREAM);
            match self.inner.blobs.direct_get_last_for_subject(subject.clone()).await {
                Ok(message) => return Ok(message.payload),
                Err(_) if self.denied_since(&api, started) => return Err(BusError::Denied { subject: api }),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound && started.elapsed() > LAG => {
                    return Err(BusError::Refused { what: subject, reason: "it is not there".to_owned() });
                }
                Err(error) => tracing::debug!(%error, subject, "a blob can not be read yet"),
            }
            self.wait_connected(LAG).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
