//! What an executor does beside tasks when the release service asks: look at a target, and remove
//! there what is named. It touches nothing that runs, and nothing that Slipway did not make.

use std::sync::Arc;

use slipway_bus::{Bus, ErrandReply, Errands};
use slipway_domain::{
    inspection::{Endpoint, Errand, ErrandAnswer, Inspection},
    name::{HolderName, TargetName},
};
use slipway_worker::WorkerConfig;

use crate::docker::{DockerError, Engine, Engines, container::Seen, image::RemovedImage, labels};

/// Answers the errands to every target that this executor serves, for as long as the process lives. One that NATS does
/// not let it hear is one that nobody answers.
pub async fn serve(bus: &Bus, worker: &WorkerConfig, engines: &Arc<Engines>) {
    for target in worker.targets.iter().filter(|target| !target.is_reserved()) {
        match bus.errands(target).await {
            Ok(errands) => {
                tokio::spawn(answer(errands, worker.name.clone(), target.clone(), engines.clone()));
            }
            Err(error) => tracing::warn!(%error, %target, "errands to this target can not be answered"),
        }
    }
}

async fn answer(mut errands: Errands, name: HolderName, target: TargetName, engines: Arc<Engines>) {
    while let Some((errand, reply)) = errands.next().await {
        let (name, target, engines) = (name.clone(), target.clone(), engines.clone());
        tokio::spawn(async move { run(&errand, &reply, name, &target, &engines).await });
    }
}

async fn run(errand: &Errand, reply: &ErrandReply, name: HolderName, target: &TargetName, engines: &Engines) {
    let answer = match errand {
        Errand::Inspect { at } => {
            inspect(engines, at, name.clone(), target).await.map(Box::new).map(ErrandAnswer::Seen)
        }
        Errand::Remove { at, containers, images } => remove(engines, at, target, containers, images).await,
    };
    let failed = |reason: String| ErrandAnswer::Failed { executor: name.clone(), reason };
    let answer = answer.unwrap_or_else(|error| failed(error.to_string()));
    if !reply.answer(&answer).await {
        let text = "there are too many containers of Slipway to tell in one message; remove what has ended";
        reply.answer(&failed(text.to_owned())).await;
    }
}

async fn inspect(
    engines: &Engines,
    at: &Endpoint,
    executor: HolderName,
    target: &TargetName,
) -> Result<Inspection, DockerError> {
    let engine = engines.at(&at.docker, at.tls.as_ref())?;
    let facts = engine.facts().await?;
    let seen = engine.containers(&[format!("{}={target}", labels::TARGET)]).await?;
    let containers = seen.iter().filter_map(|seen| seen.found()).collect();
    Ok(Inspection { executor, engine: facts, containers })
}

async fn remove(
    engines: &Engines,
    at: &Endpoint,
    target: &TargetName,
    containers: &[String],
    images: &[String],
) -> Result<ErrandAnswer, DockerError> {
    let engine = engines.at(&at.docker, at.tls.as_ref())?;
    let mut gone = Vec::new();
    for id in containers {
        let Some(seen) = engine.inspect(id).await? else {
            gone.push(id.clone());
            continue;
        };
        let own = seen.labels.get(labels::TARGET).is_some_and(|label| label == target.as_str());
        if own && engine.remove_unless_live(id).await?.is_none() {
            tracing::info!(%target, container = id, "removed a container that is not needed any more");
            remove_volumes(&engine, &seen).await?;
            gone.push(id.clone());
        }
    }
    let mut gone_images = Vec::new();
    for image in images {
        match engine.remove_image(image).await? {
            RemovedImage::Gone => {
                tracing::info!(%target, image, "removed an image that is not needed any more");
                gone_images.push(image.clone());
            }
            RemovedImage::WasNotThere => gone_images.push(image.clone()),
            RemovedImage::InUse => {}
        }
    }
    Ok(ErrandAnswer::Removed { containers: gone, images: gone_images })
}

/// Removes the volumes that were made for a container that has gone.
async fn remove_volumes(engine: &Engine, gone: &Seen) -> Result<(), DockerError> {
    let made_for = [labels::DEPLOYMENT, labels::STEP, labels::TARGET]
        .map(|label| format!("{label}={}", gone.labels.get(label).map_or("", String::as_str)));
    for (volume, _) in engine.volumes(&made_for).await? {
        engine.remove_volume(&volume).await?;
    }
    Ok(())
}
