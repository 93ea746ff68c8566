//! The one container that a task may have: made under a name that the engine lets exist once, with
//! the bits of the release, and listened to.

pub mod delivery;
mod network;

use std::{convert::Infallible, future::Future};

use slipway_domain::{image::ImageRef, order::ContainerOptions};

use self::delivery::Delivery;

use crate::{
    docker::{
        DockerError, Engine,
        container::{Blueprint, Seen, short},
        image::LocalImage,
        labels::{self, Identity},
        output::Output,
    },
    task::{Stop, Task, failed},
};

/// How often a name that is taken is tried again.
const CREATE_TRIES: u32 = 5;
/// How long a container that is not wanted may take to end, in seconds, if its step does not say so.
const GRACE_SECS: i32 = 3;

/// What to create.
pub struct Plan<'a> {
    /// Who creates.
    pub identity: &'a Identity,
    /// Under which name.
    pub name: String,
    /// From which image of the release.
    pub image: &'a ImageRef,
    /// The engine's copy of it.
    pub local: &'a LocalImage,
    /// What is put into it.
    pub delivery: Delivery<'a>,
    /// How it is made.
    pub options: &'a ContainerOptions,
}

/// Creates the container, proves that it has the release's bits, and puts into it what it shall have. A container of
/// that name left by an earlier attempt is removed; one of anybody else is left alone, and the step fails.
pub async fn create(
    task: &Task<'_>,
    engine: &Engine,
    plan: Plan<'_>,
    blueprint: impl Fn() -> Result<Blueprint, Stop>,
) -> Result<String, Stop> {
    network::check(engine, plan.options).await?;
    let secrets = delivery::secrets(task, engine, &plan).await?;
    let id = create_empty(task, engine, &plan, || Ok(Blueprint { secrets: secrets.clone(), ..blueprint()? })).await?;
    network::join(task, engine, plan.options, &id).await?;
    delivery::files(task, engine, &plan, &id).await?;
    Ok(id)
}

async fn create_empty(
    task: &Task<'_>,
    engine: &Engine,
    plan: &Plan<'_>,
    blueprint: impl Fn() -> Result<Blueprint, Stop>,
) -> Result<String, Stop> {
    let name = &plan.name;
    for _ in 0..CREATE_TRIES {
        let blueprint = blueprint()?;
        task.effect(&format!("create container {name}")).await?;
        match engine.create(name, blueprint).await {
            Ok(id) => {
                check_image(engine, &id, plan).await?;
                return Ok(id);
            }
            Err(DockerError::Conflict { .. }) => clear_name(task, engine, plan).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(failed(format!("the container name {name} is taken again and again; look with `docker ps -a` who creates it")))
}

async fn clear_name(task: &Task<'_>, engine: &Engine, plan: &Plan<'_>) -> Result<(), Stop> {
    let Some(other) = engine.inspect(&plan.name).await? else { return Ok(()) };
    let epoch = other.labels.get(labels::EPOCH).and_then(|epoch| epoch.parse::<u64>().ok());
    let same = other.labels.get(labels::DEPLOYMENT) == Some(&plan.identity.deployment.to_string())
        && other.labels.get(labels::STEP).map(String::as_str) == Some(plan.identity.task.step.as_str());
    match epoch {
        Some(epoch) if same && epoch < plan.identity.epoch => remove(task, engine, &other).await,
        _ => Err(failed(format!(
            "the container name {} is taken by {}, which this step did not make; remove or rename that container",
            plan.name,
            short(&other.id)
        ))),
    }
}

async fn check_image(engine: &Engine, id: &str, plan: &Plan<'_>) -> Result<(), Stop> {
    let created = engine.inspect(id).await?.ok_or_else(|| failed("the new container was removed by somebody else"))?;
    if created.image == plan.local.id {
        return Ok(());
    }
    let wanted = &plan.image.digest;
    let digests = engine.image_named(&created.image, plan.image).await?.map(|real| real.digests).unwrap_or_default();
    if digests.contains(wanted) {
        return Ok(());
    }
    let found = digests.first().map_or_else(|| format!("image id {}", created.image), ToString::to_string);
    Err(failed(format!("the new container has {found} instead of {wanted}; it was not started")))
}

/// Ends and removes a container of this task, also after a cancel.
pub async fn remove(task: &Task<'_>, engine: &Engine, seen: &Seen) -> Result<(), Stop> {
    if seen.life.is_live() {
        task.effect_regardless(&format!("stop container {}", seen.name)).await?;
        engine.stop(seen, Some(GRACE_SECS)).await?;
    }
    task.effect_regardless(&format!("remove container {}", seen.name)).await?;
    Ok(engine.remove(&seen.id).await?)
}

/// Removes a container of this task that was never started; gives it if it was started at the last moment.
pub async fn discard(task: &Task<'_>, engine: &Engine, seen: &Seen) -> Result<Option<Seen>, Stop> {
    task.effect_regardless(&format!("remove container {}, which was not started", seen.name)).await?;
    Ok(engine.remove_unless_live(&seen.id).await?)
}

/// Prints what a container says for as long as the future takes.
pub async fn while_printing<T>(task: &Task<'_>, output: &mut Output, future: impl Future<Output = T>) -> T {
    let printing = async {
        output.follow(|stream, line| task.print(stream, line)).await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        value = future => value,
        never = printing => match never {},
    }
}
