//! `docker-network`: a network is on the engine. It stays there; nothing of Slipway removes it.

use serde_json::json;
use slipway_domain::order::{MakeNetwork, Outputs};

use crate::{
    docker::{
        Engine,
        labels::{self, Kind},
        network::SeenNetwork,
    },
    task::{Stop, Task, failed},
};

/// Makes the network if it is not there. One that is there and is another fails the step: containers are on it.
pub async fn perform(task: &Task<'_>, work: &MakeNetwork) -> Result<Outputs, Stop> {
    if task.doorbell.stop {
        return Err(Stop::Cancelled);
    }
    let engine = task.engine()?;
    let (network, created) = match engine.network(&work.name).await? {
        Some(network) => (network, false),
        None => make(task, &engine, work).await?,
    };
    let differences = network.differences(work);
    if !differences.is_empty() {
        return Err(failed(format!(
            "network `{}` is on the Docker engine already and is another: {}; change the step, or remove the network \
             there when no container is on it any more",
            work.name,
            differences.join(", ")
        )));
    }
    let how = if created { "made" } else { "is there already:" };
    task.held.say(format!("{how} network {} ({})", work.name, network.subnet.as_deref().unwrap_or("no addresses")));
    Ok(Outputs::from([
        ("network_id".to_owned(), json!(network.id)),
        ("name".to_owned(), json!(work.name)),
        ("created".to_owned(), json!(created)),
        ("subnet".to_owned(), json!(network.subnet)),
        ("gateway".to_owned(), json!(network.gateway)),
    ]))
}

/// Makes it, and says whether it was not somebody else who did. Engines let several networks have one name: the tasks
/// of an executor make theirs one after another, and of two executors the later one gives way.
async fn make(task: &Task<'_>, engine: &Engine, work: &MakeNetwork) -> Result<(SeenNetwork, bool), Stop> {
    let _turn = task.interruptible(engine.turn_to_make_networks()).await?;
    if let Some(network) = engine.network(&work.name).await? {
        return Ok((network, false));
    }
    let identity = task.identity(Kind::Network);
    task.effect(&format!("make network {}", work.name)).await?;
    let made = engine.make_network(work, identity.labels(&labels::spec(&json!(work)))).await;
    match (made, engine.network(&work.name).await?) {
        (Ok(id), Some(first)) if first.id == id => Ok((first, true)),
        (Ok(id), Some(first)) => {
            task.effect_regardless("remove the network again, since somebody else made it at the same time").await?;
            engine.remove_network(&id).await?;
            Ok((first, false))
        }
        // Its addresses were taken by the very network that somebody else made.
        (Err(_), Some(first)) => Ok((first, false)),
        (Err(error), None) => Err(error.into()),
        (Ok(_), None) => Err(failed(format!("network `{}` was removed by somebody else", work.name))),
    }
}
