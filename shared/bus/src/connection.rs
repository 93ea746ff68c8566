//! The connection: credentials, the server's version, reconnects, and whether it is up right now.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerError, jetstream};
use slipway_domain::presence::Role;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{BusError, denial::Denials};

const OLDEST: (u64, u64) = (2, 14);
const PING: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const API_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_EVENT: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const FIRST_RECONNECT: Duration = Duration::from_millis(5);
const LAST_RECONNECT: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(2);
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// How to connect, and who connects.
#[derive(Clone)]
pub struct BusConfig {
    /// Server, or several separated by commas.
    pub url: String,
    /// File with an nkey seed or a .creds file.
    pub creds: Option<PathBuf>,
    /// Which service.
    pub role: Role,
    /// Which one of its kind; part of the connection's name and of its inboxes.
    pub id: String,
}

impl BusConfig {
    fn shown_url(&self) -> String {
        let shown = |url: &str| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
            (None, Some((_, host))) => format!("***@{host}"),
            (_, None) => url.to_owned(),
        };
        self.url.split(',').map(shown).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusConfig")
            .field("url", &self.shown_url())
            .field("creds", &self.creds)
            .field("role", &self.role)
            .field("id", &self.id)
            .finish()
    }
}

/// A connection to the bus. Clones share it.
#[derive(Clone)]
pub struct Bus {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) js: jetstream::Context,
    pub(crate) log: jetstream::stream::Stream<()>,
    pub(crate) blobs: jetstream::stream::Stream<()>,
    pub(crate) name: String,
    pub(crate) signals: Arc<Signals>,
    pub(crate) keeps_streams: AtomicBool,
}

/// What the connection's events tell.
pub(crate) struct Signals {
    pub(crate) connected: watch::Sender<bool>,
    /// Counts connections; a change means that whatever the server kept in memory may be gone.
    pub(crate) generation: watch::Sender<u64>,
    pub(crate) denials: Denials,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl Bus {
    /// Connects. While nothing answers it keeps trying and says so in the log; an error is final:
    /// wrong credentials, a server that is too old, an address that makes no sense.
    pub async fn connect(config: &BusConfig) -> Result<Self, BusError> {
        let credentials = Credentials::read(config).await?;
        let signals = Arc::new(Signals {
            connected: watch::Sender::new(false),
            generation: watch::Sender::new(0),
            denials: Denials::default(),
        });
        let client = keep_trying(config, &credentials, &signals).await?;
        let version = client.server_info().version;
        if parse_version(&version).is_some_and(|version| version < OLDEST) {
            return Err(BusError::TooOld { version });
        }
        // The event of this first connection is still on its way; what begins before it would take it for a reconnect.
        let mut generation = signals.generation.subscribe();
        let _ = tokio::time::timeout(FIRST_EVENT, generation.wait_for(|n| *n > 0)).await;
        signals.connected.send_replace(true);
        let js =
            jetstream::ContextBuilder::new().timeout(API_TIMEOUT).backpressure_on_inflight(true).build(client.clone());
        let stream = async |name: &str| {
            let refused = |e: jetstream::context::GetStreamError| e.to_string();
            let stream = js.get_stream_no_info(name).await.map_err(refused);
            stream.map_err(|reason| BusError::Refused { what: format!("stream {name}"), reason })
        };
        let (log, blobs) = (stream(crate::stream::DEPLOYMENTS).await?, stream(crate::stream::BLOBS_STREAM).await?);
        tracing::info!(url = config.shown_url(), server = version, "connected to NATS");
        let name = format!("{}-{}", config.role.as_str(), config.id);
        let keeps_streams = AtomicBool::new(false);
        Ok(Self { inner: Arc::new(Inner { client, js, log, blobs, name, signals, keeps_streams }) })
    }

    /// Whether the connection is up right now.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.inner.signals.connected.subscribe()
    }

    pub(crate) fn generation(&self) -> watch::Receiver<u64> {
        self.inner.signals.generation.subscribe()
    }

    pub(crate) fn denied_since(&self, subject: &str, since: Instant) -> bool {
        self.inner.signals.denials.since(subject, since)
    }

    /// Waits until connected, at most that long.
    pub(crate) async fn wait_connected(&self, at_most: Duration) {
        let mut connected = self.connected();
        let _ = tokio::time::timeout(at_most, connected.wait_for(|up| *up)).await;
    }
}

async fn keep_trying(
    config: &BusConfig,
    credentials: &Credentials,
    signals: &Arc<Signals>,
) -> Result<Client, BusError> {
    let addresses: Vec<async_nats::ServerAddr> = config
        .url
        .split(',')
        .map(|url| url.trim().parse())
        .collect::<Result<_, std::io::Error>>()
        .map_err(|e| config.cannot(format!("this is not an address ({e}); write it like nats://127.0.0.1:4222")))?;
    let mut pause = FIRST_RETRY;
    let mut complained: Option<Instant> = None;
    loop {
        let options = options(config, credentials, signals.clone())?;
        let error = match options.connect(&addresses[..]).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                return Err(config.cannot("it refuses the credentials; check SLIPWAY_NATS_CREDS".into()));
            }
            ConnectErrorKind::ServerParse | ConnectErrorKind::Tls => return Err(config.cannot(error.to_string())),
            _ => {}
        }
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            complained = Some(Instant::now());
            tracing::warn!(url = config.shown_url(), %error, "NATS does not answer; trying again until it does");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_RETRY);
    }
}

impl BusConfig {
    fn cannot(&self, reason: String) -> BusError {
        BusError::Connect { url: self.shown_url(), reason }
    }
}

/// How this service proves itself to the server. No `Debug`: it holds the seed.
enum Credentials {
    Anonymous,
    Password { user: String, password: String },
    Seed(String),
    File { path: String, text: String },
}

impl Credentials {
    /// Those in the URL, which the client library leaves alone.
    fn from_url(url: &str) -> Self {
        let first = url.split(',').next().and_then(|url| url.trim().parse::<async_nats::ServerAddr>().ok());
        let both = first.and_then(|address| Some((address.username()?.to_owned(), address.password()?.to_owned())));
        both.map_or(Self::Anonymous, |(user, password)| Self::Password { user, password })
    }

    async fn read(config: &BusConfig) -> Result<Self, BusError> {
        let Some(path) = &config.creds else { return Ok(Self::from_url(&config.url)) };
        let shown = path.display().to_string();
        let text = tokio::fs::read_to_string(path)
            .await
            .map_err(|e| BusError::Credentials { path: shown.clone(), reason: e.to_string() })?;
        if text.contains("BEGIN NATS USER JWT") {
            return Ok(Self::File { path: shown, text });
        }
        let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU"));
        seed.map(|seed| Self::Seed(seed.to_owned())).ok_or(BusError::Credentials {
            path: shown,
            reason: "there is neither an nkey seed (a line that begins with SU) nor a .creds file in it".into(),
        })
    }
}

fn options(config: &BusConfig, credentials: &Credentials, signals: Arc<Signals>) -> Result<ConnectOptions, BusError> {
    let options = match credentials {
        Credentials::Anonymous => ConnectOptions::new(),
        Credentials::Password { user, password } => {
            ConnectOptions::with_user_and_password(user.clone(), password.clone())
        }
        Credentials::Seed(seed) => ConnectOptions::with_nkey(seed.clone()),
        // The parser's own words are left out: they might quote the file.
        Credentials::File { path, text } => ConnectOptions::with_credentials(text).map_err(|_| {
            BusError::Credentials { path: path.clone(), reason: "it is not a valid .creds file".into() }
        })?,
    };
    let role = config.role.as_str();
    Ok(options
        .name(format!("slipway-{role} {}", config.id))
        .custom_inbox_prefix(format!("_INBOX_{role}_{}", config.id))
        .ping_interval(PING)
        .connection_timeout(CONNECT_TIMEOUT)
        .max_reconnects(None)
        .reconnect_delay_callback(reconnect_pause)
        .event_callback(move |event| {
            let signals = signals.clone();
            async move { signals.hear(&event) }
        }))
}

/// Pause before so many attempts in a row. Short, since everything waits for NATS; not the same for all who wait.
fn reconnect_pause(attempts: usize) -> Duration {
    let doubled = FIRST_RECONNECT * 2_u32.saturating_pow(u32::try_from(attempts.min(16)).unwrap_or(16));
    let jitter = Uuid::new_v4().as_bytes()[0];
    doubled.min(LAST_RECONNECT).mul_f32(0.75 + f32::from(jitter) / 1024.0)
}

impl Signals {
    fn hear(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.generation.send_modify(|n| *n += 1);
                metrics::counter!("slipway_nats_connections_total").increment(1);
                metrics::gauge!("slipway_nats_connected").set(1.0);
                if !self.connected.send_replace(true) {
                    tracing::info!("connection to NATS is up");
                }
            }
            Event::Disconnected | Event::Closed => {
                metrics::gauge!("slipway_nats_connected").set(0.0);
                if self.connected.send_replace(false) {
                    tracing::warn!("connection to NATS is down; trying again until it is back");
                }
            }
            Event::LameDuckMode => tracing::info!("the NATS server is about to stop"),
            Event::SlowConsumer(_) => tracing::warn!("messages arrive faster than they are handled"),
            Event::ServerError(ServerError::Other(words)) => self.denials.note(words),
            Event::ServerError(error) => tracing::warn!(%error, "NATS reports an error"),
            Event::ClientError(error) => tracing::debug!(%error, "the NATS client reports an error"),
            Event::Draining => {}
        }
    }
}

/// Major and minor of `2.15.1`.
fn parse_version(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(parse_version("2.9.10").unwrap() < OLDEST);
        assert!(parse_version("2.14.0").unwrap() >= OLDEST);
        assert!(parse_version("3.0.0-RC.1").unwrap() >= OLDEST);
    }

    #[test]
    fn pauses_before_reconnecting_grow_to_half_a_second() {
        let longest = |attempts| (0..50).map(|_| reconnect_pause(attempts)).max().unwrap();
        assert!(longest(0) <= FIRST_RECONNECT && longest(3) > FIRST_RECONNECT * 4);
        assert!((LAST_RECONNECT / 2..=LAST_RECONNECT).contains(&longest(100)));
    }

    #[test]
    fn the_configuration_shows_no_password() {
        let config = BusConfig {
            url: "nats://u:hidden@a:4222,nats://b:4222".into(),
            creds: None,
            role: Role::Planner,
            id: "planner-1".into(),
        };
        let shown = format!("{config:?}");
        assert!(shown.contains("nats://***@a:4222,nats://b:4222"), "{shown}");
        assert!(!shown.contains("hidden"));
    }
}
