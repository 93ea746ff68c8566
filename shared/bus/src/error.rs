//! What the bus can not do for its caller. What passes by itself is retried inside and never shown.

/// A permanent failure, or an unreadable message.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BusError {
    /// The credentials file is of no use.
    #[error("cannot use the NATS credentials in {path}: {reason}")]
    Credentials {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server refuses this service, or its address makes no sense.
    #[error("cannot connect to NATS at {url}: {reason}")]
    Connect {
        /// The server, without user and password.
        url: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The server is too old.
    #[error("nats-server {version} is too old: Slipway needs 2.14 or newer; install a newer nats-server")]
    TooOld {
        /// The server's version.
        version: String,
    },
    /// A stream is there, but not as the engine needs it.
    #[error(
        "stream {stream} has {found}, but Slipway needs {needed}; change it with `nats stream edit {stream}`, or use another NATS account"
    )]
    Settings {
        /// The stream.
        stream: String,
        /// The setting as found.
        found: String,
        /// The setting as needed.
        needed: String,
    },
    /// An envelope above the limit.
    #[error(
        "the message for {subject} has {bytes} bytes compressed, more than the {limit} that the log takes; make the project's steps, inline files or outputs smaller"
    )]
    TooLarge {
        /// Where it should have gone.
        subject: String,
        /// Its size, compressed.
        bytes: usize,
        /// The most it may have.
        limit: usize,
    },
    /// This service's credentials do not allow it.
    #[error("NATS does not permit this service to use `{subject}`; check the permissions of its NATS user")]
    Denied {
        /// The subject, or a pattern of it.
        subject: String,
    },
    /// The stream has no room.
    #[error("stream {stream} is full ({reason}); purge finished deployments or give it more max_bytes")]
    Full {
        /// The stream.
        stream: String,
        /// The server's words.
        reason: String,
    },
    /// The server says no, for good.
    #[error("NATS refused {what}: {reason}")]
    Refused {
        /// What was asked.
        what: String,
        /// The server's words.
        reason: String,
    },
    /// The server did not answer in time.
    #[error("NATS did not answer {what} in time; check that it is reachable and that JetStream is enabled")]
    NoAnswer {
        /// What was asked.
        what: String,
    },
    /// A message that this version can not read. Reading may go on after it.
    #[error("message {seq} on {subject} can not be read: {reason}; it may come from a newer version of Slipway")]
    Unreadable {
        /// Its sequence.
        seq: u64,
        /// Where it is.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The log has lost messages that this process has already folded. Nothing may go on.
    #[error(
        "LOG_REGRESSION: the log no longer has message {seq} as this service saw it; NATS lost data or was restored from a backup, stop all services and repair the log"
    )]
    Regression {
        /// The highest sequence that was seen.
        seq: u64,
    },
}
