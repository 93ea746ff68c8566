//! `script`: runs a text in a container of its own, as `docker-job` runs a command.
//!
//! The text goes into the container as a file: in a command `docker inspect` would show its secrets. What the script
//! writes to the file for outputs is read from the container when it has ended, so it outlives the executor as the
//! exit code does.

mod outputs;

use indexmap::IndexMap;
use slipway_domain::{
    manifest::{File, Script},
    order::{ContainerOptions, Outputs, PutFile, RunJob, RunScript},
};

use super::docker_job;
use crate::task::{Stop, Task, failed};

/// Anybody may write outputs, whoever the image's user is.
const WRITABLE: u32 = 0o666;

/// Runs the script, or goes on with what an earlier holder left.
pub async fn perform(task: &Task<'_>, work: &RunScript) -> Result<Outputs, Stop> {
    let (script, output) = (format!("{}/script", Script::FOLDER), format!("{}/output", Script::FOLDER));
    let mut files = work.files.clone();
    files.insert(script.clone(), PutFile { text: work.run.clone(), mode: File::MODE });
    files.insert(output.clone(), PutFile { text: String::new(), mode: WRITABLE });
    let mut env: IndexMap<String, String> = work.env.clone();
    env.insert(Script::OUTPUT.to_owned(), output.clone());
    let shell: Vec<String> = work.shell.split_whitespace().map(str::to_owned).chain([script]).collect();
    let options = ContainerOptions { entrypoint: Some(shell), workdir: work.workdir.clone(), ..Default::default() };
    let job = RunJob {
        image: work.image.clone(),
        credentials: work.credentials.clone(),
        command: None,
        env,
        files,
        options: Box::new(options),
    };
    let ended = docker_job::run(task, &job).await?;
    let written = task.engine()?.file(&ended.id, &output).await?.unwrap_or_default();
    let mut outputs = outputs::read(&written).map_err(|why| failed(format!("the script ended well, but {why}")))?;
    outputs.extend(docker_job::outputs(&ended));
    Ok(outputs)
}
