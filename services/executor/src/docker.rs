//! Docker engines: one client per endpoint, and what an engine can refuse.
//!
//! The only home of bollard: its types end at the border of this module. Nothing here decides
//! anything or writes to the deployment log.

pub mod archive;
pub mod container;
mod exec;
mod host;
pub mod image;
pub mod labels;
pub mod network;
pub mod output;
mod remote;
mod volume;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker};
use slipway_domain::manifest::DockerTls;

/// How long an engine may take to begin its answer, in seconds.
const ANSWER_SECS: u64 = 120;

/// How long it may take to say that it is there.
const PING: Duration = Duration::from_secs(5);

/// Scheme of the engines of this host.
const SCHEME: &str = "unix://";

/// What went wrong with an engine.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The endpoint is not one that an executor can serve.
    #[error("`{endpoint}` is not a Docker endpoint that this executor can use: {why}")]
    Endpoint {
        /// What was said.
        endpoint: String,
        /// Why not.
        why: String,
    },
    /// The engine does not answer.
    #[error(
        "the Docker engine {endpoint} does not answer ({reason}); check that it runs and that the executor may use it"
    )]
    Unreachable {
        /// The engine.
        endpoint: String,
        /// The system's words.
        reason: String,
    },
    /// The thing is not there (any more).
    #[error("{0} is not there")]
    Gone(String),
    /// The name, or the thing, is taken by somebody else at the moment.
    #[error("{doing}: {message}")]
    Conflict {
        /// What was tried.
        doing: String,
        /// The engine's words.
        message: String,
    },
    /// The engine said no.
    #[error("{doing}: {message}")]
    Refused {
        /// What was tried.
        doing: String,
        /// The engine's words.
        message: String,
    },
}

/// One engine.
#[derive(Clone)]
pub struct Engine {
    docker: Docker,
    endpoint: Arc<str>,
    /// What ssh said last, if that is how it is reached.
    last_words: remote::LastWords,
    networks: Arc<tokio::sync::Mutex<()>>,
}

/// The engines that tasks have named so far.
pub struct Engines {
    known: Mutex<HashMap<(String, Option<DockerTls>), Engine>>,
    ssh_config: Option<PathBuf>,
}

impl Engines {
    /// None so far. `ssh_config` is how ssh is configured, if not as it is for the user.
    pub fn new(ssh_config: Option<PathBuf>) -> Self {
        Self { known: Mutex::default(), ssh_config }
    }

    /// The engine of an endpoint. Connects with the first request, not here.
    pub fn at(&self, endpoint: &str, tls: Option<&DockerTls>) -> Result<Engine, DockerError> {
        let mut known = self.known.lock().expect("invariant: nobody panics while holding the engines");
        let key = (endpoint.to_owned(), tls.cloned());
        if let Some(engine) = known.get(&key) {
            return Ok(engine.clone());
        }
        let last_words = remote::LastWords::default();
        let docker = self.connect(endpoint, tls, last_words.clone())?;
        let engine = Engine { docker, endpoint: endpoint.into(), last_words, networks: Arc::default() };
        known.insert(key, engine.clone());
        Ok(engine)
    }

    fn connect(
        &self,
        endpoint: &str,
        tls: Option<&DockerTls>,
        last_words: remote::LastWords,
    ) -> Result<Docker, DockerError> {
        let wrong = |why: String| DockerError::Endpoint { endpoint: endpoint.to_owned(), why };
        let scheme = endpoint.split_once("://").map(|(scheme, _)| scheme);
        match (scheme, endpoint.split_once("://").map_or("", |(_, rest)| rest), tls) {
            (Some("unix"), path, _) if path.starts_with('/') => {
                // What is not there yet may come.
                Docker::connect_with_unix(path, ANSWER_SECS, API_DEFAULT_VERSION).map_err(|error| {
                    DockerError::Unreachable { endpoint: endpoint.to_owned(), reason: error.to_string() }
                })
            }
            (Some("tcp"), address, Some(tls)) => remote::tcp(address, tls).map_err(wrong),
            (Some("tcp"), _, None) => Err(wrong("a target of tcp:// needs `tls: {ca, cert, key}`".to_owned())),
            (Some("ssh"), _, _) => remote::ssh(endpoint, self.ssh_config.clone(), last_words).map_err(wrong),
            _ => Err(wrong("write unix:///path/to/docker.sock, tcp://host:2376 or ssh://user@host".to_owned())),
        }
    }
}

impl Engine {
    /// Whether it answers at this moment.
    pub async fn answers(&self) -> bool {
        matches!(tokio::time::timeout(PING, self.docker.ping()).await, Ok(Ok(_)))
    }

    /// The name of the engine's host, by which its published ports can be reached; none if it is this one.
    pub fn host(&self) -> Option<String> {
        remote::host_of(&self.endpoint)
    }

    /// A reason with what ssh said, if it said something.
    fn with_last_words(&self, reason: String) -> String {
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        match words.split_whitespace().collect::<Vec<_>>().join(" ") {
            none if none.is_empty() => reason,
            words => format!("{reason}; ssh said: {words}"),
        }
    }

    /// As [`Engine::explain`], where what is not there may be something else than the thing itself.
    fn refused(&self, doing: &str, what: &str, error: bollard::errors::Error) -> DockerError {
        match error {
            bollard::errors::Error::DockerResponseServerError { status_code: 404, message } => {
                DockerError::Refused { doing: doing.to_owned(), message }
            }
            error => self.explain(doing, what, error),
        }
    }

    /// An error of bollard in words of our own. `doing` says what was tried, `what` names the thing.
    fn explain(&self, doing: &str, what: &str, error: bollard::errors::Error) -> DockerError {
        use bollard::errors::Error as E;
        let refused = |message: String| DockerError::Refused { doing: doing.to_owned(), message };
        match error {
            E::DockerResponseServerError { status_code: 404, .. } => DockerError::Gone(what.to_owned()),
            E::DockerResponseServerError { status_code: 409, message } => {
                DockerError::Conflict { doing: doing.to_owned(), message }
            }
            E::DockerResponseServerError { status_code: 500.., message } if lost_containerd(&message) => {
                DockerError::Unreachable { endpoint: self.endpoint.to_string(), reason: message }
            }
            E::DockerResponseServerError { message, .. } | E::DockerStreamError { error: message } => refused(message),
            E::SocketNotFoundError(_)
            | E::HyperLegacyError { .. }
            | E::HyperResponseError { .. }
            | E::IOError { .. }
            | E::RequestTimeoutError => DockerError::Unreachable {
                endpoint: self.endpoint.to_string(),
                reason: self.with_last_words(chain(&error)),
            },
            other => refused(chain(&other)),
        }
    }
}

/// Whether an engine says that it has lost the program below it, as it does while both go down or come up.
fn lost_containerd(message: &str) -> bool {
    ["connection error: desc", "transport is closing", "ttrpc: closed"].iter().any(|words| message.contains(words))
}

/// An error and its causes, without saying the same twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}
