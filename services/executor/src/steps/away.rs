//! An engine that does not answer, as while it is restarted: waited for, for as long as the attempt has time.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use slipway_domain::event::{Failure, FailureKind};

use crate::task::{Stop, Task};

/// Pause between two looks, also before the first.
const POLL: Duration = Duration::from_millis(500);

/// Waits until the engine answers again; when it did. `message` says that it does not. A cancel does not end this: what was begun
/// there has to be ended there.
pub async fn until_back(task: &Task<'_>, endpoint: &str, message: String) -> Result<DateTime<Utc>, Stop> {
    let since = Instant::now();
    task.held.say(format!("{message}; waiting until it answers"));
    let back = async {
        loop {
            tokio::time::sleep(POLL).await;
            // Without its socket there is not even somebody to ask.
            if let Ok(engine) = task.engines.at(endpoint, task.order().tls.as_ref())
                && engine.answers().await
            {
                break;
            }
        }
    };
    tokio::select! {
        biased;
        () = task.held.fenced().cancelled() => Err(Stop::Fenced),
        () = back => {
            let lasted = since.elapsed().as_secs_f64();
            task.held.say(format!("the Docker engine answers again after {lasted:.1} s; going on"));
            Ok(Utc::now())
        }
        () = task.held.overdue().cancelled() => Err(Stop::Failed(Failure {
            kind: FailureKind::TimedOut,
            message: format!("{message}; the step's time is up"),
            tail: Vec::new(),
        })),
    }
}
