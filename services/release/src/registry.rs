//! The registries that feeds name: which digest a tag has, and which tags there are.
//!
//! Only the registry itself is believed. One client per feed and credential is kept, since a client
//! keeps its tokens.

mod connection;
mod error;
mod platforms;
mod sign_in;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use slipway_domain::{image::Digest, manifest::Feed, name::FeedName, text::sha256_hex};

use self::connection::Connection;
pub use self::error::{RegistryError, Trouble};
use crate::{app::App, problem::Problem};

/// Clients of the feeds' registries, made when first needed.
#[derive(Debug, Default)]
pub struct Registries {
    connections: Mutex<HashMap<FeedName, (Fingerprint, Arc<Connection>)>>,
}

/// What a client was made from; another one is made when it differs. Holds no password.
#[derive(Debug, PartialEq)]
struct Fingerprint {
    registry: String,
    plain_http: bool,
    credentials: Option<(String, String)>,
    /// Digest of the certificates; a file that was changed makes another client.
    ca: Option<String>,
}

impl Registries {
    fn connection(&self, feed: &Feed, credentials: Option<(&str, &str)>) -> Result<Arc<Connection>, RegistryError> {
        let fingerprint = Fingerprint {
            registry: feed.registry.clone(),
            plain_http: feed.plain_http,
            credentials: credentials.map(|(user, password)| (user.to_owned(), sha256_hex(password.as_bytes()))),
            ca: feed.ca.as_ref().map(|path| sha256_hex(&std::fs::read(path).unwrap_or_default())),
        };
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, connection)) = connections.get(&feed.name)
            && *known == fingerprint
        {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(Connection::open(feed, credentials)?);
        connections.insert(feed.name.clone(), (fingerprint, Arc::clone(&connection)));
        Ok(connection)
    }
}

/// The digest that the tag has at the feed's registry now.
pub async fn resolve(app: &App, feed: &Feed, image: &str, tag: &str) -> Result<Digest, RegistryError> {
    connect(app, feed).await?.resolve(image, tag).await
}

/// The platforms that an image is there for; none if the registry does not tell.
pub async fn platforms(app: &App, feed: &Feed, image: &str, digest: &Digest) -> Result<Vec<String>, RegistryError> {
    connect(app, feed).await?.platforms(image, digest).await
}

/// Every tag of a repository of the feed's registry, in the registry's order.
pub async fn tags(app: &App, feed: &Feed, image: &str) -> Result<Vec<String>, RegistryError> {
    connect(app, feed).await?.tags(image).await
}

async fn connect(app: &App, feed: &Feed) -> Result<Arc<Connection>, RegistryError> {
    let credentials = app.feed_password(feed).await.map_err(|problem| RegistryError {
        trouble: if problem.status() >= 500 { Trouble::Unreachable } else { Trouble::Denied },
        message: format!("the password of feed `{}` can not be had: {}", feed.name, problem.detail()),
    })?;
    app.registries.connection(feed, credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str())))
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error.trouble {
            Trouble::Missing => Self::unprocessable("unknown-image", error.message),
            Trouble::Denied => Self::unprocessable("registry-denied", error.message),
            Trouble::Invalid => Self::unprocessable("registry-answer", error.message),
            Trouble::Unreachable => Self::unavailable("registry-unreachable", error.message),
        }
    }
}
