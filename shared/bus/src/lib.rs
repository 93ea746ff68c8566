//! The bus: everything that Slipway says and hears over NATS JetStream.
//!
//! The only home of async-nats; none of its types appears in a public signature. Streams, subjects
//! and the meaning of the server's errors are known here and nowhere else. No rule of the engine
//! lives here: the bus appends, folds and delivers, others decide.

mod alive;
mod append;
mod archive;
mod ask;
mod blob;
mod connection;
mod denial;
mod doorbell;
mod drift;
mod envelope;
mod errand;
mod error;
mod fold;
mod log;
mod presence;
mod push;
mod read;
mod secret;
mod stream;
pub mod subject;
mod tail;

pub use alive::{Sign, Signs};
pub use append::Appended;
pub use blob::MAX_BLOB;
pub use connection::{Bus, BusConfig};
pub use doorbell::{Doorbells, Nudges, Ring};
pub use drift::{DriftQuestions, DriftReply};
pub use envelope::MAX_ENVELOPE;
pub use errand::{ErrandReply, Errands};
pub use error::BusError;
pub use fold::Fold;
pub use log::{LogReader, LogStream, LogText, MAX_LINES};
pub use presence::{PresenceEvent, PresenceWatch};
pub use push::{PushReader, StoredPush};
pub use secret::{Replier, SecretRequests};
