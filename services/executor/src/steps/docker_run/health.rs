//! When a container is good: a probe of ours, its own HEALTHCHECK, or that it runs.
//!
//! The engine does not restart the container while we wait, so an end is an end and its exit code
//! is known.

use std::time::{Duration, Instant};

use slipway_domain::{
    event::Failure,
    manifest::{Health, HttpProbe, TcpProbe},
};
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::{
    docker::{
        Engine,
        container::{self, Life, Seen, short},
        image::LocalImage,
    },
    steps::{self, own::while_printing},
    task::{Stop, Task, failed},
};

/// Pause between two looks, which begins with the first and doubles up to the longest.
const FIRST_POLL: Duration = Duration::from_millis(10);
const POLL: Duration = Duration::from_millis(250);
/// How long one probe may take.
const PROBE: Duration = Duration::from_secs(5);
/// How long a new connection must stay open. A published port answers for a container that does
/// not listen, and closes at once.
const OPEN: Duration = Duration::from_millis(200);
/// Without any probe a container must run for this long at least.
const RUNNING: Duration = Duration::from_secs(1);
/// How long the last words of a container are waited for.
const LAST_WORDS: Duration = Duration::from_millis(800);
/// How much of an answer or an output a message quotes.
const QUOTE: usize = 200;

/// Why nothing was asked.
const NO_ADDRESS: &str = "the container has no address that can be reached from the executor; publish the port, to others too if the engine is on another host";

/// What is looked at.
enum Probe<'a> {
    Http(&'a HttpProbe),
    Tcp(&'a TcpProbe),
    Exec(Vec<String>),
    Healthcheck,
    Running,
}

/// Waits until the container is good and has stayed so. Its output is printed meanwhile, the last
/// `lines` lines of what it said before included (all if none).
pub async fn wait(
    task: &Task<'_>,
    engine: &Engine,
    health: Option<&Health>,
    image: &LocalImage,
    id: &str,
    lines: Option<u32>,
) -> Result<(), Stop> {
    let default = Health::default();
    let health = health.unwrap_or(&default);
    let probe = match health {
        Health { http: Some(http), .. } => Probe::Http(http),
        Health { tcp: Some(tcp), .. } => Probe::Tcp(tcp),
        Health { exec: Some(command), .. } => Probe::Exec(steps::filled(task, command)?),
        _ if health.healthcheck.is_some() || image.has_healthcheck => Probe::Healthcheck,
        _ => Probe::Running,
    };
    let mut output = task.output(engine, id, lines);
    let watch = task.interruptible(watch(task, engine, health, &probe, id));
    let verdict = while_printing(task, &mut output, watch).await.and_then(|verdict| verdict);
    if matches!(verdict, Err(Stop::Failed(_))) {
        output.drain(LAST_WORDS, |stream, line| task.print(stream, line)).await;
    }
    verdict.map_err(|stop| match stop {
        Stop::Failed(failure) => Stop::Failed(Failure { tail: task.held.tail(), ..failure }),
        other => other,
    })
}

async fn watch(task: &Task<'_>, engine: &Engine, health: &Health, probe: &Probe<'_>, id: &str) -> Result<(), Stop> {
    let started = Instant::now();
    let stay = if matches!(probe, Probe::Running) { health.stay.0.max(RUNNING) } else { health.stay.0 };
    let mut good_since: Option<Instant> = None;
    let mut pause = FIRST_POLL;
    loop {
        let verdict = match engine.inspect(id).await {
            Ok(Some(seen)) => {
                still_there(&seen, started, good_since)?;
                probe.check(task.http, engine, &seen).await
            }
            Ok(None) => return Err(failed(format!("container {} was removed by somebody else", short(id)))),
            Err(error) => return Err(error.into()),
        };
        match (verdict, good_since) {
            (Ok(()), None) => {
                good_since = Some(Instant::now());
                task.held.say(format!("good after {:.1} s", started.elapsed().as_secs_f64()));
            }
            (Err(why), Some(_)) => {
                return Err(failed(format!("the new container was good and did not stay so: {why}")));
            }
            (Err(why), None) if started.elapsed() >= health.within.0 => {
                return Err(failed(format!("the new container was not good within {}: {why}", health.within)));
            }
            _ => {}
        }
        if good_since.is_some_and(|since| since.elapsed() >= stay) {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(POLL);
    }
}

/// Fails if the container has ended.
fn still_there(seen: &Seen, started: Instant, good_since: Option<Instant>) -> Result<(), Stop> {
    let Life::Ended(code, remark) = &seen.life else { return Ok(()) };
    let before = if good_since.is_some() { "although it was good" } else { "before it was good" };
    let after = started.elapsed().as_secs_f64();
    let remark = if remark.is_empty() { String::new() } else { format!(" ({remark})") };
    Err(failed(format!("the new container ended with exit code {code}{remark} after {after:.1} s, {before}")))
}

impl Probe<'_> {
    async fn check(&self, http: &reqwest::Client, engine: &Engine, seen: &Seen) -> Result<(), String> {
        let host = engine.host();
        match self {
            Self::Http(probe) => check_http(http, addresses(seen, probe.port, host.as_deref()), probe).await,
            Self::Tcp(probe) => check_tcp(addresses(seen, probe.port, host.as_deref())).await,
            Self::Exec(command) => check_exec(engine, &seen.id, command).await,
            Self::Healthcheck => match &seen.health {
                Some(container::Health::Healthy) => Ok(()),
                Some(container::Health::Unhealthy(output)) => Err(format!("its HEALTHCHECK says: {}", ending(output))),
                Some(container::Health::Starting(None)) => Err("its HEALTHCHECK has not passed so far".to_owned()),
                Some(container::Health::Starting(Some(output))) => {
                    Err(format!("its HEALTHCHECK has not passed so far, and says: {}", ending(output)))
                }
                None => Err("its HEALTHCHECK has no verdict".to_owned()),
            },
            Self::Running if seen.life.is_live() => Ok(()),
            Self::Running => Err("it does not run".to_owned()),
        }
    }
}

/// Where a port of the container may be reached from this host, the best first. Of a container on another host only
/// what is published there to others.
pub fn addresses(seen: &Seen, port: u16, host: Option<&str>) -> Vec<String> {
    if let Some(host) = host {
        let published = seen.published.get(&format!("{port}/tcp"));
        let shared = published.filter(|(ip, _)| !matches!(ip.as_str(), "127.0.0.1" | "::1"));
        return shared.map(|(_, port)| format!("{host}:{port}")).into_iter().collect();
    }
    let published = seen.published.get(&format!("{port}/tcp")).map(|(ip, port)| match ip.as_str() {
        "" | "0.0.0.0" => format!("127.0.0.1:{port}"),
        "::" => format!("[::1]:{port}"),
        ip if ip.contains(':') => format!("[{ip}]:{port}"),
        ip => format!("{ip}:{port}"),
    });
    published.into_iter().chain(seen.addresses.iter().map(|ip| format!("{ip}:{port}"))).collect()
}

async fn check_http(http: &reqwest::Client, addresses: Vec<String>, probe: &HttpProbe) -> Result<(), String> {
    let mut first = None;
    for address in addresses {
        let slash = if probe.path.starts_with('/') { "" } else { "/" };
        let url = format!("http://{address}{slash}{}", probe.path);
        match http.get(&url).timeout(PROBE).send().await {
            Ok(answer) if (200..400).contains(&answer.status().as_u16()) => return Ok(()),
            Ok(answer) => {
                let status = answer.status();
                let body = answer.text().await.unwrap_or_default();
                return Err(format!("GET {url} answered {status} {}", beginning(&body)).trim_end().to_owned());
            }
            Err(error) => {
                let reason = if error.is_timeout() { "no answer in time" } else { "no connection" };
                first.get_or_insert(format!("GET {url}: {reason}"));
            }
        }
    }
    Err(first.unwrap_or_else(|| NO_ADDRESS.to_owned()))
}

/// The beginning of an answer, on one line: it is shown in tables.
fn beginning(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(QUOTE).collect()
}

/// The end of an output, where its errors are, on one line.
fn ending(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let rest = line.chars().count().saturating_sub(QUOTE);
    line.chars().skip(rest).collect()
}

async fn check_exec(engine: &Engine, id: &str, command: &[String]) -> Result<(), String> {
    let shown = command.first().map_or("", String::as_str);
    match tokio::time::timeout(PROBE, engine.exec(id, command)).await {
        Ok(Ok((0, _))) => Ok(()),
        Ok(Ok((code, said))) => Err(format!("`{shown}` ended with exit code {code}: {}", ending(&said))),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("`{shown}` did not end within {} s", PROBE.as_secs())),
    }
}

async fn check_tcp(addresses: Vec<String>) -> Result<(), String> {
    let mut first = None;
    for address in addresses {
        match tokio::time::timeout(PROBE, connect(&address)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => first.get_or_insert(format!("TCP {address}: {error}")),
            Err(_) => first.get_or_insert(format!("TCP {address}: no answer in time")),
        };
    }
    Err(first.unwrap_or_else(|| NO_ADDRESS.to_owned()))
}

async fn connect(address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    match tokio::time::timeout(OPEN, stream.read(&mut [0; 1])).await {
        Ok(Ok(0)) => Err(std::io::Error::other("the connection was closed at once")),
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}
