//! A simulated `docker-run`: bring the new container up, wait until it proves to be good, retire the old one.

use serde_json::json;
use slipway_domain::order::{Outputs, RunContainer};

use super::{Scene, journal::Container};
use crate::task::{Stop, failed};

pub(super) async fn perform(scene: &Scene<'_>, work: &RunContainer) -> Result<Outputs, Stop> {
    let doorbell = scene.task.doorbell;
    let left = scene.look().await?;
    if doorbell.stop {
        if let Some(container) = left {
            scene.remove(&container).await?;
        }
        return Err(Stop::Cancelled);
    }
    if doorbell.restore {
        if let Some(container) = left {
            scene.remove(&container).await?;
        }
        scene.bring_back().await?;
        return Ok(Outputs::new());
    }
    scene.fill(work.env.values().chain(work.command.iter().flatten()).chain(work.secrets.values()))?;
    scene.fill(work.files.values().map(|file| &file.text).chain(work.options.secret_texts()))?;
    let container = match left {
        Some(container) if doorbell.adopt && container.was_started() => {
            scene.task.held.say(format!("going on with container {} of an earlier attempt", container.id));
            container
        }
        left => {
            if let Some(container) = left {
                scene.remove(&container).await?;
            }
            scene.bring_up().await?
        }
    };
    let proof = if work.create_only { Ok(()) } else { good(scene, &container).await };
    match proof {
        Ok(()) => {}
        Err(Stop::Fenced) => return Err(Stop::Fenced),
        Err(stop) => {
            scene.remove(&container).await?;
            return Err(stop);
        }
    }
    scene.retire_predecessors(work.keep_predecessor).await?;
    Ok(Outputs::from([
        ("container_id".to_owned(), json!(container.id)),
        ("name".to_owned(), json!(container.id)),
        ("ports".to_owned(), json!({})),
        ("networks".to_owned(), json!({})),
        ("image_digest".to_owned(), json!(work.image.digest)),
    ]))
}

async fn good(scene: &Scene<'_>, container: &Container) -> Result<(), Stop> {
    match scene.until_over(container).await? {
        0 => Ok(()),
        _ => Err(failed(format!("simulated failure: container {} did not become healthy", container.id))),
    }
}
