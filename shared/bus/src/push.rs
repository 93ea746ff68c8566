//! The inbox of registry webhooks: what was sent, as it was sent, replayable.

use async_nats::header::HeaderMap;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

use crate::{
    Bus, BusError, MAX_ENVELOPE, envelope, stream, subject,
    tail::{CutTail, Item, Source, Start, Tail},
};

/// One delivery of a registry. Without its token: that reaches no stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPush {
    /// The Webhook that it came through.
    pub webhook: String,
    /// Its media type.
    pub content_type: String,
    /// Its body, as sent.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub body: Vec<u8>,
    /// W3C `traceparent` of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    BASE64.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

impl Bus {
    /// Keeps a delivery. The source, such as `distribution`, must be a slug.
    pub async fn store_push(&self, source: &str, body: &StoredPush) -> Result<u64, BusError> {
        let refused = |reason| BusError::Refused { what: "a push".into(), reason };
        let json = serde_json::to_vec(body).map_err(|e| refused(e.to_string()))?;
        let payload = envelope::compress(&json).map_err(|e| refused(e.to_string()))?;
        let subject = subject::push(source);
        if payload.len() > MAX_ENVELOPE {
            return Err(BusError::TooLarge { subject, bytes: payload.len(), limit: MAX_ENVELOPE });
        }
        self.store(stream::PUSHES, subject, HeaderMap::new(), payload).await
    }

    /// All deliveries from a sequence on, and those to come.
    pub fn pushes(&self, from: u64) -> PushReader {
        let source = Source {
            stream: stream::PUSHES,
            filters: vec![subject::PUSHES.to_owned()],
            start: Start::Sequence(from),
            batch: 50,
            cut_tail: CutTail::Forgiven,
        };
        PushReader { tail: Tail::new(self, source) }
    }
}

/// A reader of pushes that survives reconnects and restarts of the server.
pub struct PushReader {
    tail: Tail,
}

impl PushReader {
    /// The next push: its sequence, when it came, and itself. May be dropped while waiting and called again.
    pub async fn next(&mut self) -> (u64, DateTime<Utc>, StoredPush) {
        loop {
            match self.tail.next().await {
                Ok(Item::Message(message)) => {
                    let push = envelope::decompressed(&message.body.payload, |json| {
                        serde_json::from_slice(json).map_err(|e| e.to_string())
                    });
                    match push {
                        Ok(push) => return (message.seq, message.at, push),
                        Err(reason) => tracing::warn!(seq = message.seq, reason, "a push can not be read; left out"),
                    }
                }
                Ok(Item::Opened { .. } | Item::Broken) => {}
                Err(error) => {
                    tracing::error!(%error, "pushes can not be read");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}
