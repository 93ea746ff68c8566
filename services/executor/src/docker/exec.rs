//! Commands that are run inside of a container, beside what it runs itself.

use bollard::{exec::StartExecResults, models::ExecConfig};
use futures::StreamExt;

use super::{DockerError, Engine, container::short};

/// How much of what a command says is kept.
const KEPT: usize = 4096;

impl Engine {
    /// Runs a command to its end: its exit code, and what it said last.
    pub async fn exec(&self, id: &str, command: &[String]) -> Result<(i64, String), DockerError> {
        let explain = |error| self.refused("running a command in the container", &short(id), error);
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..Default::default()
        };
        let exec = self.docker.create_exec(id, config).await.map_err(explain)?;
        let mut said = Vec::new();
        if let StartExecResults::Attached { mut output, .. } =
            self.docker.start_exec(&exec.id, None).await.map_err(explain)?
        {
            while let Some(chunk) = output.next().await {
                said.extend_from_slice(chunk.map_err(explain)?.as_ref());
                said.drain(..said.len().saturating_sub(KEPT));
            }
        }
        let ended = self.docker.inspect_exec(&exec.id).await.map_err(explain)?;
        Ok((ended.exit_code.unwrap_or(-1), String::from_utf8_lossy(&said).trim().to_owned()))
    }
}
