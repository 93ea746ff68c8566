//! Saying that this holder is alive.

use std::time::Duration;

use slipway_bus::Bus;
use slipway_domain::presence::{Presence, RENEW_SECS};
use slipway_service::readiness::Readiness;
use tokio_util::sync::CancellationToken;

/// Pause before trying again, such as while the bucket is made anew after a restart of the server.
const RETRY: Duration = Duration::from_millis(250);

/// Announces every few seconds and after every reconnect, and tells when this holder drains; until dropped.
pub(crate) async fn keep(bus: Bus, mut presence: Presence, readiness: Readiness, draining: CancellationToken) {
    let mut connected = bus.connected();
    loop {
        presence.draining = draining.is_cancelled();
        let pause = match bus.announce(&presence).await {
            Ok(()) => {
                readiness.set("nats", Ok(()));
                Duration::from_secs(RENEW_SECS)
            }
            Err(error) => {
                readiness.set("nats", Err(error.to_string()));
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = draining.cancelled(), if !presence.draining => {}
            changed = connected.changed() => {
                if changed.is_err() { return }
                if !*connected.borrow_and_update() {
                    readiness.set("nats", Err("the connection is down".to_owned()));
                    let _ = connected.wait_for(|up| *up).await;
                }
            }
        }
    }
}
