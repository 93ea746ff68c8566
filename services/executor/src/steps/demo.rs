//! `demo`: holds until a person says go on, so that a recovery can be rehearsed while it holds.

use serde_json::json;
use slipway_domain::order::Outputs;

use crate::task::{Stop, Task, failed};

/// Returns when told to go on. Nothing is to be adopted: whoever holds it next holds on, and hears what was told.
pub async fn perform(task: &Task<'_>, message: Option<&str>) -> Result<Outputs, Stop> {
    if task.doorbell.stop {
        return Err(Stop::Cancelled);
    }
    if let Some(message) = message {
        task.held.say(task.held.fill(message)?);
    }
    let (deployment, key) = (task.held.deployment(), task.held.task());
    task.held.say(format!(
        "holds until told: `slipway deployment go {deployment} {} --target {}`, with --fail to let it fail",
        key.step, key.target
    ));
    match task.interruptible(task.held.told()).await? {
        false => Ok(Outputs::from([("attempt".to_owned(), json!(task.held.attempt()))])),
        true => Err(failed("it was told to fail")),
    }
}
