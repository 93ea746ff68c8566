//! Docker engines: one client per endpoint, and what an engine can refuse.
//!
//! The only home of bollard: its types end at the border of this module. Nothing here decides
//! anything or writes to the deployment log.

pub mod archive;
pub mod container;
mod host;
pub mod image;
pub mod labels;
pub mod output;
mod volume;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker};

/// How long an engine may take to begin its answer, in seconds.
const ANSWER_SECS: u64 = 120;

/// How long it may take to say that it is there.
const PING: Duration = Duration::from_secs(5);

/// Scheme of the endpoints that an executor serves: engines on its own host.
const SCHEME: &str = "unix://";

/// What went wrong with an engine.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The endpoint is not one that this executor can serve.
    #[error("`{0}` is not a Docker endpoint of this host; an executor serves unix:///path/to/docker.sock")]
    Endpoint(String),
    /// The engine does not answer.
    #[error(
        "the Docker engine {endpoint} does not answer ({reason}); check that it runs and that the executor may use its socket"
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
}

/// The engines that tasks have named so far.
#[derive(Default)]
pub struct Engines {
    known: Mutex<HashMap<String, Engine>>,
}

impl Engines {
    /// The engine of an endpoint. Connects with the first request, not here.
    pub fn at(&self, endpoint: &str) -> Result<Engine, DockerError> {
        let Some(path) = endpoint.strip_prefix(SCHEME).filter(|path| path.starts_with('/')) else {
            return Err(DockerError::Endpoint(endpoint.to_owned()));
        };
        let mut known = self.known.lock().expect("invariant: nobody panics while holding the engines");
        if let Some(engine) = known.get(endpoint) {
            return Ok(engine.clone());
        }
        let docker = Docker::connect_with_unix(path, ANSWER_SECS, API_DEFAULT_VERSION)
            .map_err(|error| DockerError::Unreachable { endpoint: endpoint.to_owned(), reason: error.to_string() })?;
        let engine = Engine { docker, endpoint: endpoint.into() };
        known.insert(endpoint.to_owned(), engine.clone());
        Ok(engine)
    }
}

impl Engine {
    /// Whether it answers at this moment.
    pub async fn answers(&self) -> bool {
        matches!(tokio::time::timeout(PING, self.docker.ping()).await, Ok(Ok(_)))
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
            | E::RequestTimeoutError => {
                DockerError::Unreachable { endpoint: self.endpoint.to_string(), reason: chain(&error) }
            }
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
