//! `wait`: does nothing for a while.

use std::time::Duration;

use slipway_domain::order::Outputs;

use crate::task::{Stop, Task};

/// Returns after the span, at once if it is zero, or when the deployment is cancelled.
pub async fn perform(task: &Task<'_>, span: Duration) -> Result<Outputs, Stop> {
    if task.doorbell.stop {
        return Err(Stop::Cancelled);
    }
    if !span.is_zero() {
        task.interruptible(tokio::time::sleep(span)).await?;
    }
    Ok(Outputs::new())
}
