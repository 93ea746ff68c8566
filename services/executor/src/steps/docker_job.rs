//! `docker-job`: runs a container to its end; its exit code decides.
//!
//! The container runs detached from us, so its exit code outlives the executor: whoever adopts the
//! task takes the code, or listens on. It stays on its host afterwards, for people to look at.

use std::time::Duration;

use serde_json::json;
use slipway_domain::{
    event::Failure,
    order::{ContainerOptions, Outputs, RunJob},
};

use super::own::{self, delivery::Delivery};
use crate::{
    docker::{
        Engine,
        container::{Blueprint, Life, Seen, short},
        labels::{self, Identity, Kind},
    },
    steps,
    task::{Stop, Task, failed},
};

/// How long a container may take to end after a cancel, in seconds, if its step does not say so.
const GRACE_SECS: i32 = 10;
/// Pause between two looks, which begins with the first and doubles up to the longest.
const FIRST_POLL: Duration = Duration::from_millis(10);
const POLL: Duration = Duration::from_millis(200);
/// How long the last lines of output are waited for.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The same after a cancel, when the attempt itself has little time left.
const LAST_WORDS_OF_CANCELLED: Duration = Duration::from_secs(1);

/// Runs the job, or goes on with what an earlier holder left.
pub async fn perform(task: &Task<'_>, work: &RunJob) -> Result<Outputs, Stop> {
    Ok(outputs(&run(task, work).await?))
}

/// What is told of a container that ended well.
pub fn outputs(ended: &Seen) -> Outputs {
    Outputs::from([("exit_code".to_owned(), json!(0)), ("container_id".to_owned(), json!(ended.id))])
}

/// Runs a container, or goes on with the one that an earlier holder left; gives it when it has ended well.
pub async fn run(task: &Task<'_>, work: &RunJob) -> Result<Seen, Stop> {
    let engine = task.engine()?;
    let identity = task.identity(Kind::Job);
    let mut filter = identity.place();
    filter.push(format!("{}={}", labels::DEPLOYMENT, identity.deployment));
    let left = engine.containers(&filter).await?;
    let kept = match keep(task, &engine, left).await? {
        Some(kept) => kept,
        None if task.doorbell.stop => return Err(Stop::Cancelled),
        None => start(task, &engine, &identity, work).await?,
    };
    if task.doorbell.stop && kept.life.is_live() {
        return cancel(task, &engine, &kept.id).await;
    }
    let mut output = task.output(&engine, &kept.id, None);
    let end = task.interruptible(until_end(&engine, &kept.id));
    match own::while_printing(task, &mut output, end).await {
        Ok(ended) => {
            output.drain(LAST_WORDS, |stream, line| task.print(stream, line)).await;
            verdict(task, ended?)
        }
        Err(Stop::Cancelled) => {
            let result = cancel(task, &engine, &kept.id).await;
            output.drain(LAST_WORDS_OF_CANCELLED, |stream, line| task.print(stream, line)).await;
            result
        }
        Err(stop) => Err(stop),
    }
}

/// What of the containers that earlier attempts left is to be gone on with; the rest is removed. Only an
/// adopter goes on, and whoever was parted from the engine in between: after an attempt that ended, the job runs again.
async fn keep(task: &Task<'_>, engine: &Engine, left: Vec<Seen>) -> Result<Option<Seen>, Stop> {
    let mut kept = None;
    for seen in left {
        match seen.life {
            Life::Live | Life::Ended(..) if task.is_own(&seen) => kept = Some(seen),
            Life::Live | Life::Ended(..) if task.doorbell.adopt => {
                task.held.say(format!("going on with container {} of an earlier attempt", short(&seen.id)));
                kept = Some(seen);
            }
            // Its maker, taken for lost, may yet start it: then the job runs, and must not run a second time.
            Life::Created => kept = kept.or(own::discard(task, engine, &seen).await?),
            _ => own::remove(task, engine, &seen).await?,
        }
    }
    Ok(kept)
}

async fn start(task: &Task<'_>, engine: &Engine, identity: &Identity, work: &RunJob) -> Result<Seen, Stop> {
    let platform = work.options.platform.as_deref();
    let local = steps::image(task, engine, &work.image, work.credentials.as_ref(), platform).await?;
    let mut parts = json!({ "image": work.image.digest, "env": work.env, "command": work.command });
    if !work.files.is_empty() {
        parts["files"] = json!(work.files);
    }
    if *work.options != ContainerOptions::default() {
        parts["options"] = json!(work.options);
    }
    let spec = labels::spec(&parts);
    let blueprint = || {
        Ok(Blueprint {
            image: work.image.pinned(),
            env: steps::environment(task, &work.env)?,
            command: steps::command(task, work.command.as_ref())?,
            labels: identity.labels(&spec),
            options: steps::options(task, &work.options)?,
            ..Blueprint::default()
        })
    };
    let name = identity.name(identity.task.step.as_str());
    let delivery = Delivery { files: Some(&work.files), secrets: None };
    let plan = own::Plan { identity, name, image: &work.image, local: &local, delivery, options: &work.options };
    let id = own::create(task, engine, plan, blueprint).await?;
    task.effect("start the container").await?;
    engine.start(&id).await?;
    task.held.say(format!("started container {}", short(&id)));
    engine.inspect(&id).await?.ok_or_else(|| gone(&id))
}

async fn until_end(engine: &Engine, id: &str) -> Result<Seen, Stop> {
    let mut pause = FIRST_POLL;
    loop {
        let seen = engine.inspect(id).await?.ok_or_else(|| gone(id))?;
        match seen.life {
            Life::Ended(..) => return Ok(seen),
            Life::Created | Life::Live => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(POLL);
    }
}

/// Ends the container. One that had ended before counts as done.
async fn cancel(task: &Task<'_>, engine: &Engine, id: &str) -> Result<Seen, Stop> {
    let Some(seen) = engine.inspect(id).await? else { return Err(Stop::Cancelled) };
    if let Life::Ended(..) = seen.life {
        return verdict(task, seen);
    }
    task.effect_regardless("stop the container, because the deployment was cancelled").await?;
    engine.stop(&seen, Some(GRACE_SECS)).await?;
    Err(Stop::Cancelled)
}

/// What the container's end says.
fn verdict(task: &Task<'_>, seen: Seen) -> Result<Seen, Stop> {
    let Life::Ended(code, remark) = &seen.life else {
        return Err(failed(format!("container {} has not ended", short(&seen.id))));
    };
    if *code == 0 {
        return Ok(seen);
    }
    let remark = if remark.is_empty() { String::new() } else { format!(" ({remark})") };
    let meanwhile = match (task.back_at, seen.ended_at) {
        (Some(back), Some(ended)) if ended <= back => {
            "; the Docker engine was away meanwhile, and one without `live-restore` ends its containers when it goes \
             or comes back"
        }
        _ => "",
    };
    let message = format!("container {} ended with exit code {code}{remark}{meanwhile}", short(&seen.id));
    Err(Stop::Failed(Failure { tail: task.held.tail(), ..Failure::step(message) }))
}

fn gone(id: &str) -> Stop {
    failed(format!("container {} was removed by somebody else", short(id)))
}
