//! The networks of a new container: they are there before anything is changed, and all are joined before it starts.

use slipway_domain::order::ContainerOptions;

use crate::{
    docker::Engine,
    task::{Stop, Task, failed},
};

/// Fails if the engine lacks a network, or the container whose network is to be shared.
pub(super) async fn check(engine: &Engine, options: &ContainerOptions) -> Result<(), Stop> {
    for name in options.networks.keys() {
        if engine.network(name).await?.is_none() {
            return Err(failed(format!(
                "the Docker engine has no network `{name}`, which the container shall join; make it there first, with \
                 a `docker-network` step that this one needs, or `docker network create {name}`"
            )));
        }
    }
    let shared = options.network_mode.as_deref().and_then(|mode| mode.strip_prefix("container:"));
    if let Some(name) = shared
        && !engine.inspect(name).await?.is_some_and(|seen| seen.life.is_live())
    {
        return Err(failed(format!("no container `{name}` runs, whose network the new one shall have")));
    }
    Ok(())
}

/// Joins the networks after the first, which it was created on.
pub(super) async fn join(task: &Task<'_>, engine: &Engine, options: &ContainerOptions, id: &str) -> Result<(), Stop> {
    for (name, join) in options.networks.iter().skip(1) {
        task.effect(&format!("let the new container join network {name}")).await?;
        engine.join(id, name, join).await?;
    }
    Ok(())
}
