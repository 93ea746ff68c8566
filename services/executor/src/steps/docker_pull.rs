//! `docker-pull`: images are on the engine before anything is changed there.

use serde_json::json;
use slipway_domain::order::{Outputs, PullImages};

use super::image;
use crate::task::{Stop, Task};

/// Pulls what is not there by its digest. Done again it finds all of it.
pub async fn perform(task: &Task<'_>, work: &PullImages) -> Result<Outputs, Stop> {
    if task.doorbell.stop {
        return Err(Stop::Cancelled);
    }
    let engine = task.engine()?;
    let (mut pulled, mut already) = (Vec::new(), Vec::new());
    for (name, wanted) in &work.images {
        if engine.image(&wanted.image).await?.is_some() {
            already.push(name);
            continue;
        }
        image(task, &engine, &wanted.image, wanted.credentials.as_ref(), None).await?;
        pulled.push(name);
    }
    Ok(Outputs::from([("pulled".to_owned(), json!(pulled)), ("already".to_owned(), json!(already))]))
}
