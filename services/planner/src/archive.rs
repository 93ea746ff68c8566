//! Whether the log is the one that the archive was made from: a planner remembers nothing, so others tell.

use std::time::Duration;

use slipway_bus::{Bus, BusError, PresenceEvent};
use slipway_domain::presence::{Mark, Presence, Role};

/// How long a planner that starts waits for a release service to say how far its archive goes.
const WAIT: Duration = Duration::from_secs(30);

/// Waits for word of the archive, and refuses a log that has less, or something else.
pub async fn check(bus: Bus) -> Result<(), BusError> {
    let Ok(mark) = tokio::time::timeout(WAIT, told(&bus)).await else {
        tracing::warn!(
            "no release service says how far its archive goes; going on without knowing that the log is whole"
        );
        return Ok(());
    };
    let Some(mark) = mark else { return Ok(()) };
    let regression = Err(BusError::Regression { seq: mark.seq });
    if bus.head().await? < mark.seq {
        return regression;
    }
    match bus.mark_at(mark.seq).await? {
        Some(found) if found != mark => regression,
        // Not there any more: purged.
        _ => Ok(()),
    }
}

/// The mark of a release service; none if its archive is empty.
async fn told(bus: &Bus) -> Option<Mark> {
    let mut watch = bus.watch_presence();
    loop {
        if let PresenceEvent::Up(Presence { role: Role::Release, archived, .. }) = watch.next().await {
            return archived;
        }
    }
}
