//! A simulated `docker-job`, or `script`: a container that runs to its end, whoever looks on.

use serde_json::json;
use slipway_domain::order::{Outputs, RunJob, RunScript};

use super::Scene;
use crate::task::{Stop, failed};

pub(super) async fn perform(scene: &Scene<'_>, work: &RunJob) -> Result<Outputs, Stop> {
    let texts = work.env.values().chain(work.command.iter().flatten()).chain(work.options.secret_texts());
    run(scene, texts.chain(work.files.values().map(|file| &file.text))).await
}

/// What it would write for later steps is not known.
pub(super) async fn perform_script(scene: &Scene<'_>, work: &RunScript) -> Result<Outputs, Stop> {
    let texts = work.env.values().chain([&work.run, &work.shell]).chain(&work.workdir);
    run(scene, texts.chain(work.files.values().map(|file| &file.text))).await
}

async fn run(scene: &Scene<'_>, texts: impl Iterator<Item = &String>) -> Result<Outputs, Stop> {
    let doorbell = scene.task.doorbell;
    let container = match scene.look().await? {
        Some(container) if doorbell.adopt && container.was_started() => {
            scene.task.held.say(format!("going on with container {} of an earlier attempt", container.id));
            container
        }
        left => {
            if let Some(container) = left {
                scene.remove(&container).await?;
            }
            if doorbell.stop {
                return Err(Stop::Cancelled);
            }
            scene.fill(texts)?;
            scene.bring_up().await?
        }
    };
    if doorbell.stop {
        scene.remove(&container).await?;
        return Err(Stop::Cancelled);
    }
    match scene.until_over(&container).await {
        Ok(0) => {
            Ok(Outputs::from([("exit_code".to_owned(), json!(0)), ("container_id".to_owned(), json!(container.id))]))
        }
        Ok(code) => Err(failed(format!("simulated failure: container {} ended with exit code {code}", container.id))),
        Err(Stop::Cancelled) => {
            scene.remove(&container).await?;
            Err(Stop::Cancelled)
        }
        Err(stop) => Err(stop),
    }
}
