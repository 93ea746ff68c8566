//! How full the log is. New deployments are refused while there is still room for those under way.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{app::Shared, problem::Problem};

/// The share of the log's bytes beyond which nothing new is taken.
const NEARLY_FULL: f64 = 0.8;
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How full the log was when it was last asked; nothing before the first answer.
#[derive(Debug, Default)]
pub struct Room(Mutex<Option<f64>>);

impl Room {
    /// Refuses what would begin something new while the log is nearly full.
    pub fn for_more(&self) -> Result<(), Problem> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(fill) if fill >= NEARLY_FULL => Err(Problem::unavailable(
                "log-nearly-full",
                format!(
                    "the deployment log is {:.0} % full, and the rest is kept for what is under way; \
                     give stream DEPLOYMENTS more max_bytes",
                    fill * 100.0
                ),
            )),
            _ => Ok(()),
        }
    }

    fn set(&self, fill: f64) {
        metrics::gauge!("slipway_release_log_fill_ratio").set(fill);
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(fill);
        let full = |fill: f64| fill >= NEARLY_FULL;
        if full(fill) && !before.is_some_and(full) {
            tracing::error!(fill, "the deployment log is nearly full; new deployments are refused");
        }
    }
}

/// Asks again and again until the shutdown.
pub async fn run(app: Shared, shutdown: CancellationToken) {
    let forever = async {
        loop {
            match app.bus.fill().await {
                Ok(fill) => app.room.set(fill),
                Err(error) => tracing::warn!(%error, "how full the log is can not be asked"),
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    shutdown.run_until_cancelled(forever).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_four_fifths_on_nothing_new_is_taken_until_there_is_room_again() {
        let room = Room::default();
        assert!(room.for_more().is_ok());
        for (fill, taken) in [(0.0, true), (0.79, true), (0.8, false), (1.0, false), (0.5, true)] {
            room.set(fill);
            assert_eq!(room.for_more().is_ok(), taken, "{fill}");
        }
        room.set(0.86);
        let problem = room.for_more().unwrap_err();
        assert_eq!((problem.code(), problem.status()), ("log-nearly-full", 503));
        assert!(problem.detail().contains("86 % full"), "{problem}");
    }
}
