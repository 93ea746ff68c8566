//! `slipway doctor`: looks at everything that has to work, and says what to do about the rest.

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use clap::Args;
use reqwest::Method;
use serde::Serialize;
use slipway_domain::api::{TargetView, WhoAmI};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::Shared;
use crate::{
    client::Client,
    failure::{Failure, Result},
    settings::Places,
    stack::{Remembered, Stack, State},
    times,
};

/// More than this is between the clocks: expiries and time-outs look odd to people.
const SKEW: i64 = 5;
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

#[derive(Debug, Args)]
pub struct Doctor {}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &str, detail: impl Into<String>) -> Self {
        Self { check: check.to_owned(), ok: true, detail: detail.into(), advice: None }
    }

    fn problem(check: &str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check: check.to_owned(), ok: false, detail: detail.into(), advice: Some(advice.into()) }
    }
}

impl Doctor {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let mut findings = local_stack()?;
        match shared.client() {
            Ok(client) => {
                if let Some(reached) = server(&client, &mut findings).await {
                    findings.push(clocks(reached));
                    findings.push(ready(&client).await);
                    findings.push(token(&client).await);
                    findings.extend(targets(&client).await);
                }
            }
            Err(failure) => findings.push(Finding::problem("settings", plain(&failure), "see `slipway login --help`")),
        }
        findings.push(docker().await);
        shared.output.show(&findings, |_| text(&findings))?;
        if findings.iter().all(|f| f.ok) { Ok(()) } else { Err(Failure::Told) }
    }
}

fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|f| f.check.len()).max().unwrap_or_default();
    let mut text = String::new();
    for f in findings {
        let word = if f.ok { "ok     " } else { "problem" };
        text.push_str(&format!("{word}  {:width$}  {}\n", f.check, f.detail));
        if let Some(advice) = &f.advice {
            text.push_str(&format!("         {:width$}  -> {advice}\n", ""));
        }
    }
    text
}

fn plain(failure: &Failure) -> String {
    let shown = failure.shown();
    shown.trim().trim_start_matches("error: ").lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The processes of the stack that the command would use, if there is one.
fn local_stack() -> Result<Vec<Finding>> {
    let Some(dir) = Places::of_process().file().and_then(|file| file.parent().map(PathBuf::from)) else {
        return Ok(Vec::new());
    };
    let Some(remembered) = Remembered::load(&dir)? else { return Ok(Vec::new()) };
    let stack = Stack::new(dir.clone(), remembered);
    let finding = |(name, address, state)| match state {
        State::Running { pid, .. } => Finding::ok(name, format!("runs at {address}, pid {pid}")),
        State::Outdated { pid } => Finding::problem(
            name,
            format!("runs at {address}, pid {pid}, but its program was replaced"),
            format!("`slipway up --dir {}` restarts it", dir.display()),
        ),
        State::Stopped => Finding::problem(
            name,
            "does not run",
            format!("`slipway up --dir {}` starts it; its log is in {}", dir.display(), dir.join("logs").display()),
        ),
    };
    Ok(stack.states().into_iter().map(finding).collect())
}

/// Whether the server answers, and the time that it says.
async fn server(client: &Client, findings: &mut Vec<Finding>) -> Option<DateTime<Utc>> {
    let url = &client.settings().server;
    let advice = format!(
        "the address comes from {}; start a local stack with `slipway up`, or name the server with --server",
        client.settings().source
    );
    let request = client.request(Method::GET, "/healthz").timeout(Duration::from_secs(10));
    match request.send().await {
        Ok(answer) if answer.status().is_success() => {
            findings.push(Finding::ok("server", format!("{url} answers")));
            let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
            let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
            Some(date.map_or_else(times::now, |date| date.with_timezone(&Utc)))
        }
        Ok(answer) => {
            let detail = format!("{url}/healthz answers {}: this is no Slipway release service", answer.status());
            findings.push(Finding::problem("server", detail, advice));
            None
        }
        Err(_) => {
            findings.push(Finding::problem("server", format!("{url} can not be reached"), advice));
            None
        }
    }
}

fn clocks(server: DateTime<Utc>) -> Finding {
    let skew = (times::now() - server).num_seconds();
    if skew.abs() <= SKEW {
        return Finding::ok("clock", "agrees with the server's");
    }
    let word = if skew > 0 { "ahead of" } else { "behind" };
    Finding::problem(
        "clock",
        format!("this machine is {} {word} the server", times::span(skew.abs())),
        "set both by NTP (such as `systemctl enable --now systemd-timesyncd`)",
    )
}

/// The server's own word on NATS, its database and its fold of the log.
async fn ready(client: &Client) -> Finding {
    let request = client.request(Method::GET, "/readyz").timeout(Duration::from_secs(10));
    let advice = "look at the release service's log; NATS has to run and take its credentials";
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Finding::ok("ready", "NATS, database and log are in place"),
        Ok(answer) => {
            let reason = answer.text().await.unwrap_or_default();
            Finding::problem("ready", format!("the server is not ready: {}", reason.trim()), advice)
        }
        Err(_) => Finding::problem("ready", "the server does not say whether it is ready", advice),
    }
}

async fn token(client: &Client) -> Finding {
    if client.settings().token.is_none() {
        return Finding::problem("token", "there is none", "sign in with `slipway login`, or set SLIPWAY_TOKEN");
    }
    match client.get::<WhoAmI>("/api/v1/whoami").await {
        Ok(me) => Finding::ok("token", format!("of {}, may {:?}", me.person, me.right).to_lowercase()),
        Err(failure) => {
            Finding::problem("token", plain(&failure), "get a new one (`slipway token create`) and `slipway login`")
        }
    }
}

async fn targets(client: &Client) -> Vec<Finding> {
    let targets: Vec<TargetView> = match client.get("/api/v1/target-status").await {
        Ok(targets) => targets,
        Err(failure) => {
            return vec![Finding::problem("targets", plain(&failure), "the token must be allowed to read")];
        }
    };
    if targets.is_empty() {
        return vec![Finding::ok("targets", "there are none yet; apply Target manifests")];
    }
    targets
        .iter()
        .map(|target| {
            let check = format!("target {}", target.name);
            if target.executors.is_empty() {
                let advice = format!(
                    "start an executor that has it in SLIPWAY_TARGETS; for a local stack `slipway up --targets …,{}`",
                    target.name
                );
                return Finding::problem(&check, "no executor serves it", advice);
            }
            let names: Vec<String> = target.executors.iter().map(ToString::to_string).collect();
            Finding::ok(&check, format!("served by {}", names.join(", ")))
        })
        .collect()
}

/// Whether the Docker engine of this machine answers.
async fn docker() -> Finding {
    let host = std::env::var("DOCKER_HOST").or_else(|_| std::env::var("SLIPWAY_WORKER_DOCKER")).ok();
    let remembered = Places::of_process().file().and_then(|file| Remembered::load(file.parent()?).ok().flatten());
    let host = host.filter(|host| !host.is_empty()).or(remembered.and_then(|r| r.docker));
    let path = match host.as_deref() {
        None => DEFAULT_SOCKET,
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => path,
            None => return Finding::ok("docker", format!("{host} is not a socket of this machine; not looked at")),
        },
    };
    let asked = tokio::time::timeout(Duration::from_secs(5), ping(path)).await;
    match asked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
        Ok(true) => Finding::ok("docker", format!("{path} answers")),
        Ok(false) => Finding::problem("docker", format!("{path} is no Docker engine"), "check DOCKER_HOST"),
        Err(e) => Finding::problem(
            "docker",
            format!("{path}: {e}"),
            "install and start the engine, add this user to the group docker, or set DOCKER_HOST; only needed where executors run",
        ),
    }
}

async fn ping(path: &str) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n").await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    Ok(&head[..5] == b"HTTP/" && &head[9..] == b"200")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_aligned_and_a_problem_says_what_to_do() {
        let findings =
            [Finding::ok("server", "http://x answers"), Finding::problem("token", "there is none", "sign in")];
        assert_eq!(
            text(&findings),
            "ok       server  http://x answers\nproblem  token   there is none\n                 -> sign in\n"
        );
    }

    #[test]
    fn a_clock_may_differ_by_some_seconds() {
        assert!(clocks(times::now()).ok);
        let finding = clocks(times::now() - chrono::Duration::seconds(90));
        assert!(!finding.ok && finding.detail.contains("ahead of"), "{}", finding.detail);
    }
}
