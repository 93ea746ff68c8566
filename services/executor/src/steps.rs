//! What each step kind does, one file per kind. Steps make no choices: the order is complete.

mod away;
pub mod demo;
pub mod docker_job;
mod docker_network;
mod docker_pull;
pub mod docker_run;
mod http;
mod own;
mod script;
pub mod sql;
pub mod wait;

use indexmap::IndexMap;
use slipway_domain::{
    image::ImageRef,
    order::{ContainerOptions, Doorbell, Outputs, Work},
    release::PullCredentials,
};
use slipway_worker::{End, Held, Perform};
use std::{path::PathBuf, sync::Arc};

use crate::{
    docker::{Engine, Engines, image::LocalImage, output::Heard},
    task::{Stop, Task, failed, wrong_order},
};

/// Performs the tasks of an executor.
pub struct Steps {
    engines: Arc<Engines>,
    http: reqwest::Client,
    worker_docker: String,
}

impl Steps {
    /// `worker_docker` is the engine of tasks that run on no target; `ssh_config` is how ssh is configured, if not as it
    /// is for the user.
    pub fn new(worker_docker: String, ssh_config: Option<PathBuf>, http: reqwest::Client) -> Self {
        Self { engines: Arc::new(Engines::new(ssh_config)), http, worker_docker }
    }

    /// The engines that tasks have named so far.
    pub fn engines(&self) -> Arc<Engines> {
        self.engines.clone()
    }

    /// One attempt, as the steps see it.
    pub fn task<'a>(&'a self, held: &'a Held, doorbell: &'a Doorbell) -> Task<'a> {
        let (http, engines, worker_docker) = (&self.http, self.engines.as_ref(), self.worker_docker.as_str());
        Task { held, doorbell, http, engines, worker_docker, back_at: None, heard: Heard::default() }
    }
}

impl Perform for Steps {
    async fn perform(&self, held: Arc<Held>, doorbell: &Doorbell) -> End {
        let mut task = self.task(&held, doorbell);
        let result = loop {
            let result = dispatch(&task, &doorbell.order.work).await;
            let Err(Stop::Away { endpoint, message }) = result else { break result };
            match away::until_back(&task, &endpoint, message).await {
                // What the step finds of its own doing it goes on with, as an adopter would.
                Ok(back_at) => task.back_at = Some(back_at),
                Err(stop) => break Err(stop),
            }
        };
        task.end(result)
    }
}

async fn dispatch(task: &Task<'_>, work: &Work) -> Result<Outputs, Stop> {
    match work {
        Work::DockerRun(run) => docker_run::perform(task, run).await,
        Work::DockerJob(job) => docker_job::perform(task, job).await,
        Work::Script(script) => script::perform(task, script).await,
        Work::DockerNetwork(network) => docker_network::perform(task, network).await,
        Work::DockerPull(pull) => docker_pull::perform(task, pull).await,
        Work::Sql(sql) => sql::perform(task, sql).await,
        Work::Http(call) => http::perform(task, call).await,
        Work::Wait { span } => wait::perform(task, span.0).await,
        Work::Demo { message } => demo::perform(task, message.as_deref()).await,
        Work::Slack(_) | Work::Announce(_) => Err(wrong_order(
            "an executor does not post messages; this task belongs to the notifier, so the plan is wrong",
        )),
    }
}

/// The image on the engine, pulled if it is not there by that digest, or not for the platform.
async fn image(
    task: &Task<'_>,
    engine: &Engine,
    image: &ImageRef,
    credentials: Option<&PullCredentials>,
    platform: Option<&str>,
) -> Result<LocalImage, Stop> {
    let fits = |local: &LocalImage| platform.is_none_or(|platform| local.is_for(platform));
    if let Some(there) = engine.image(image).await?.filter(fits) {
        return Ok(there);
    }
    let login = task.login(credentials)?;
    task.effect(&format!("pull {}", image.pinned())).await?;
    task.interruptible(engine.pull(image, platform, login, |words| task.held.say(words))).await??;
    let pulled = engine.image(image).await?.ok_or_else(|| {
        failed(format!(
            "the engine pulled {image} but does not list it under that digest; look at `docker images --digests`"
        ))
    })?;
    if platform.is_none() {
        let own = engine.facts().await?.platform;
        if !pulled.is_for(&own) {
            let image = &image.repository;
            task.held.say(format!(
                "{image} is for {}, and this engine is {own}: it runs only if the host emulates it",
                pulled.platform
            ));
        }
    }
    match platform.filter(|_| !fits(&pulled)) {
        None => Ok(pulled),
        Some(wanted) => {
            Err(failed(format!("{image} is for {}, and not for {wanted} as the step says", pulled.platform)))
        }
    }
}

/// `NAME=value` with secrets filled in.
fn environment(task: &Task<'_>, env: &IndexMap<String, String>) -> Result<Vec<String>, Stop> {
    env.iter().map(|(name, value)| Ok(format!("{name}={}", task.held.fill(value)?))).collect()
}

/// The command with secrets filled in.
fn command(task: &Task<'_>, command: Option<&Vec<String>>) -> Result<Option<Vec<String>>, Stop> {
    command.map(|words| filled(task, words)).transpose()
}

fn filled(task: &Task<'_>, words: &[String]) -> Result<Vec<String>, Stop> {
    Ok(words.iter().map(|word| task.held.fill(word)).collect::<Result<_, _>>()?)
}

/// The options with secrets filled in.
fn options(task: &Task<'_>, options: &ContainerOptions) -> Result<ContainerOptions, Stop> {
    let mut options = options.clone();
    for text in options.secret_texts_mut() {
        *text = task.held.fill(text)?;
    }
    Ok(options)
}
