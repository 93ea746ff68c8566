//! Commands of this machine that tests use as a person would: `docker push`, the build script.

use std::{ffi::OsStr, process::Output};

use anyhow::{Result, ensure};
use tokio::process::Command;

/// Runs a program to its end; its output whatever the exit code.
pub async fn output(mut command: Command) -> Result<Output> {
    Ok(command.stdin(std::process::Stdio::null()).kill_on_drop(true).output().await?)
}

/// Runs a program that must succeed; what it printed.
pub async fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).env("DOCKER_HOST", crate::settings::docker());
    let output = output(command).await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{} {arguments:?}: {}\n{printed}{}",
        program.as_ref().display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(printed)
}
