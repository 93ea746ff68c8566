//! The log's time: the last server timestamp that was seen, plus this process's monotonic clock.
//!
//! Deadlines are judged by it and never by this machine's wall clock, which may be wrong.

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// What time it is at the server, never ahead of it.
#[derive(Debug, Default)]
pub struct Clock {
    seen: Option<(DateTime<Utc>, Instant)>,
}

impl Clock {
    /// The server stamped something with this time, and it has just arrived.
    pub fn observe(&mut self, at: DateTime<Utc>) {
        if self.now().is_none_or(|now| at > now) {
            self.seen = Some((at, Instant::now()));
        }
    }

    /// The time, once something was observed.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        let (at, since) = self.seen?;
        Some(at + TimeDelta::from_std(since.elapsed()).unwrap_or_default())
    }
}
