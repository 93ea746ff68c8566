//! One registry, as one user. What comes from it is bounded in time and size, and what goes into
//! its addresses is checked first, since tags arrive from outside.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Method, Response, StatusCode, Url,
    header::{ACCEPT, LINK},
};
use serde::{Deserialize, de::DeserializeOwned};
use slipway_domain::{image::Digest, manifest::Feed, name::FeedName, text::sha256_hex};

use super::{
    error::{RegistryError, Trouble, with_causes},
    sign_in::{Challenge, Proof, TokenAnswer, TokenServer, challenge},
};

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer, in bytes: a page of tags, or a manifest.
const MAX_ANSWER: usize = 8 << 20;
/// Most pages of tags of one repository.
const MAX_PAGES: usize = 500;
/// Tags that are asked for at once; a registry may give fewer.
const PAGE: &str = "1000";

/// What a tag may name: an image, or one for several platforms.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
const DIGEST: &str = "docker-content-digest";

/// A client of one registry.
pub struct Connection {
    feed: FeedName,
    registry: String,
    /// Scheme, host and port.
    base: String,
    over_https: bool,
    credentials: Option<(String, String)>,
    /// By repository, from the last time that the registry asked for one.
    proofs: Mutex<HashMap<String, Proof>>,
    http: reqwest::Client,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("feed", &self.feed).field("registry", &self.registry).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}

impl Connection {
    /// Prepares a client; asks the registry nothing.
    pub fn open(feed: &Feed, credentials: Option<(&str, &str)>) -> Result<Self, RegistryError> {
        let invalid = |why: String| RegistryError {
            trouble: Trouble::Invalid,
            message: format!("registry `{}` of feed `{}` can not be used: {why}", feed.registry, feed.name),
        };
        if feed.registry.is_empty()
            || feed.registry.contains(['/', '@', '?', '#'])
            || feed.registry.contains(char::is_whitespace)
        {
            return Err(invalid("write host and port alone, such as 127.0.0.1:5000 or ghcr.io".to_owned()));
        }
        let plain = feed.plain_http || (is_loopback(&feed.registry) && feed.ca.is_none());
        // The name of Docker Hub is not where it answers.
        let host = if feed.registry == "docker.io" { "registry-1.docker.io" } else { &feed.registry };
        let base = format!("{}://{host}", if plain { "http" } else { "https" });
        Url::parse(&base).map_err(|e| invalid(e.to_string()))?;
        let credentials = credentials.map(|(user, password)| (user.to_owned(), password.to_owned()));
        Ok(Self {
            feed: feed.name.clone(),
            registry: feed.registry.clone(),
            base,
            over_https: !plain,
            credentials,
            proofs: Mutex::default(),
            http: client(plain, feed.ca.as_deref())
                .map_err(|why| RegistryError { trouble: Trouble::Unreachable, ..invalid(why) })?,
        })
    }

    /// The digest of the manifest or index that the tag names now.
    pub async fn resolve(&self, repository: &str, tag: &str) -> Result<Digest, RegistryError> {
        let what = format!("{repository}:{tag}");
        if !is_tag(tag) {
            return Err(self.error(Trouble::Invalid, &what, &format!("`{tag}` is not a tag")));
        }
        let path = self.path(repository, &what)?;
        let url = self.url(&format!("{path}/manifests/{tag}"), &what)?;
        let head = self.ask(Method::HEAD, url.clone(), &path, &what).await?;
        let told = head.headers().get(DIGEST).and_then(|digest| digest.to_str().ok()).map(str::to_owned);
        let digest = match told {
            Some(digest) => digest,
            None => {
                let answer = self.ask(Method::GET, url, &path, &what).await?;
                format!("sha256:{}", sha256_hex(&self.body(answer, &what).await?))
            }
        };
        Digest::new(digest).map_err(|e| self.error(Trouble::Invalid, &what, &e))
    }

    /// Every tag of the repository, all pages.
    pub async fn tags(&self, repository: &str) -> Result<Vec<String>, RegistryError> {
        let path = self.path(repository, repository)?;
        let mut next = Some(self.url(&format!("{path}/tags/list?n={PAGE}"), repository)?);
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let Some(url) = next else { return Ok(tags) };
            let answer = self.ask(Method::GET, url, &path, repository).await?;
            next = self.next_page(&answer, repository)?;
            let page: Page = self.json(answer, repository, "its list of tags").await?;
            tags.extend(page.tags.unwrap_or_default());
        }
        Err(self.error(Trouble::Invalid, repository, &format!("its list of tags has more than {MAX_PAGES} pages")))
    }

    /// Where the registry keeps a repository.
    pub(super) fn path(&self, repository: &str, what: &str) -> Result<String, RegistryError> {
        if !is_repository(repository) {
            return Err(self.error(Trouble::Invalid, what, &format!("`{repository}` is not a repository")));
        }
        // Docker Hub keeps its official images under `library`, which nobody writes.
        let official = self.registry == "docker.io" && !repository.contains('/');
        Ok(if official { format!("library/{repository}") } else { repository.to_owned() })
    }

    pub(super) fn url(&self, rest: &str, what: &str) -> Result<Url, RegistryError> {
        Url::parse(&format!("{}/v2/{rest}", self.base)).map_err(|e| self.error(Trouble::Invalid, what, &e.to_string()))
    }

    /// Asks, signing in if the registry wants that.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: Url,
        path: &str,
        what: &str,
    ) -> Result<Response, RegistryError> {
        let known = self.proofs.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        let mut answer = self.send(method.clone(), url.clone(), known.as_ref(), what).await?;
        if answer.status() == StatusCode::UNAUTHORIZED
            && let Some(proof) = self.sign_in(&answer, path, what).await?
        {
            answer = self.send(method, url, Some(&proof), what).await?;
            if answer.status().is_success() {
                self.proofs.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), proof);
            }
        }
        self.successful(answer, what)
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        proof: Option<&Proof>,
        what: &str,
    ) -> Result<Response, RegistryError> {
        let request = self.http.request(method, url).header(ACCEPT, format!("{MANIFESTS}, application/json"));
        let request = match (proof, &self.credentials) {
            (Some(Proof::Bearer(token)), _) => request.bearer_auth(token),
            (Some(Proof::Basic), Some((user, password))) => request.basic_auth(user, Some(password)),
            _ => request,
        };
        request.send().await.map_err(|e| self.unreachable(&e, what))
    }

    /// What the registry wants to see; none if there is nothing to show.
    async fn sign_in(&self, refusal: &Response, path: &str, what: &str) -> Result<Option<Proof>, RegistryError> {
        Ok(match challenge(refusal.headers()) {
            Some(Challenge::Basic) => self.credentials.as_ref().map(|_| Proof::Basic),
            Some(Challenge::Bearer(server)) => Some(Proof::Bearer(self.token(&server, path, what).await?)),
            None => None,
        })
    }

    async fn token(&self, server: &TokenServer, path: &str, what: &str) -> Result<String, RegistryError> {
        let url = server.url(path, self.over_https, self.credentials.is_some());
        let mut request = self.http.get(url.map_err(|e| self.error(Trouble::Invalid, what, &e))?);
        if let Some((user, password)) = &self.credentials {
            request = request.basic_auth(user, Some(password));
        }
        let answer = request.send().await.map_err(|e| self.unreachable(&e, what))?;
        let answer: TokenAnswer = self.json(self.successful(answer, what)?, what, "its token").await?;
        answer.token().ok_or_else(|| self.error(Trouble::Invalid, what, "its token server's answer has no token"))
    }

    fn successful(&self, answer: Response, what: &str) -> Result<Response, RegistryError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        Err(self.error(Trouble::of_status(status.as_u16()), what, &format!("it answered {status}")))
    }

    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        answer: Response,
        what: &str,
        of: &str,
    ) -> Result<T, RegistryError> {
        serde_json::from_slice(&self.body(answer, what).await?)
            .map_err(|e| self.error(Trouble::Invalid, what, &format!("{of} can not be read: {e}")))
    }

    async fn body(&self, mut answer: Response, what: &str) -> Result<Vec<u8>, RegistryError> {
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| self.unreachable(&e, what))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err(self.error(Trouble::Invalid, what, "its answer is larger than 8 MiB"));
            }
        }
        Ok(body)
    }

    /// The page that the `Link` header names. One at another server is refused: it would be sent the credentials.
    fn next_page(&self, response: &Response, repository: &str) -> Result<Option<Url>, RegistryError> {
        let links = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        let Some(next) = links.flat_map(|value| value.split(',')).find_map(next_link) else { return Ok(None) };
        let here = response.url();
        match here.join(next) {
            Ok(url) if url.origin() == here.origin() && url != *here => Ok(Some(url)),
            _ => Err(self.error(Trouble::Invalid, repository, &format!("the next page of its tags is at `{next}`"))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error, what: &str) -> RegistryError {
        if error.is_timeout() {
            let why = format!("no answer within {} s", TIMEOUT.as_secs());
            return self.error(Trouble::Unreachable, what, &why);
        }
        self.error(Trouble::Unreachable, what, &with_causes(error))
    }

    fn error(&self, trouble: Trouble, what: &str, cause: &str) -> RegistryError {
        let (registry, feed) = (&self.registry, &self.feed);
        let message = match trouble {
            Trouble::Missing => {
                format!(
                    "registry {registry} (feed `{feed}`) has no {what}; check the tag, the package's `image`, and that it was pushed"
                )
            }
            Trouble::Denied if self.credentials.is_none() => format!(
                "registry {registry} (feed `{feed}`) does not show {what} to anonymous users: {cause}; check the name, or give the feed `credentials`"
            ),
            Trouble::Denied => format!(
                "registry {registry} (feed `{feed}`) refuses {what} to the feed's user: {cause}; check the feed's `credentials` and the user's rights"
            ),
            Trouble::Unreachable => format!(
                "registry {registry} (feed `{feed}`) could not be asked for {what}: {cause}; check that it runs, and the feed's `registry` and `plain-http`"
            ),
            Trouble::Invalid => format!(
                "registry {registry} (feed `{feed}`) could not be asked for {what}: {cause}; check the package's `image` and the feed's `registry`"
            ),
        };
        RegistryError { trouble, message }
    }
}

/// An HTTP client. Without CA certificates on this machine only plain http can be spoken.
fn client(plain: bool, ca: Option<&str>) -> Result<reqwest::Client, String> {
    let builder = || {
        let agent = concat!("slipway/", env!("CARGO_PKG_VERSION"));
        reqwest::Client::builder().timeout(TIMEOUT).user_agent(agent)
    };
    if let Some(path) = ca {
        let unreadable = |why: String| format!("the certificates of `ca: {path}` can not be read: {why}");
        let pem = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| unreadable(with_causes(&e)))?;
        if certificates.is_empty() {
            return Err(unreadable("there is none in the file, which should be PEM".to_owned()));
        }
        return builder().tls_certs_only(certificates).build().map_err(|e| unreadable(with_causes(&e)));
    }
    match builder().build() {
        Err(_) if plain => builder().tls_certs_only([]).build().map_err(|e| with_causes(&e)),
        built => built.map_err(|e| {
            format!(
                "{}; https can not be verified on this machine, install the package ca-certificates",
                with_causes(&e)
            )
        }),
    }
}

/// The target of a `<target>; rel="next"`.
fn next_link(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = |p: &str| matches!(p.trim(), "rel=\"next\"" | "rel=next");
    parameters.split(';').any(next).then_some(target)
}

/// Whether a registry is on this machine, where Docker too speaks plain http.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128 && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn is_repository(repository: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let component = |part: &str| {
        edge(part.bytes().next())
            && edge(part.bytes().last())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
    };
    repository.len() <= 255 && repository.split('/').all(component)
}

#[cfg(test)]
mod tests;
