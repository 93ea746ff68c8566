//! One registry, as one user. What comes from it is bounded in time and size, and what goes into
//! its addresses is checked first, since tags arrive from outside.

use std::time::Duration;

use oci_client::{
    Client, Reference, RegistryOperation,
    client::{ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};
use reqwest::{Response, Url, header::LINK};
use serde::Deserialize;
use slipway_domain::{image::Digest, manifest::Feed, name::FeedName};

use super::error::{RegistryError, Trouble, with_causes};

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest page of tags, in bytes.
const MAX_PAGE: usize = 8 << 20;
/// Most pages of tags of one repository.
const MAX_PAGES: usize = 500;
/// Tags that are asked for at once; a registry may give fewer.
const PAGE: &str = "1000";

/// A client of one registry, signed in or not.
pub struct Connection {
    feed: FeedName,
    registry: String,
    scheme: &'static str,
    auth: RegistryAuth,
    client: Client,
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
        let plain = feed.plain_http || is_loopback(&feed.registry);
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(TIMEOUT),
            read_timeout: Some(TIMEOUT),
            user_agent: concat!("slipway/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let auth = credentials.map_or(RegistryAuth::Anonymous, |(user, password)| {
            RegistryAuth::Basic(user.to_owned(), password.to_owned())
        });
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|e| invalid(with_causes(&e)))?;
        Ok(Self {
            feed: feed.name.clone(),
            registry: feed.registry.clone(),
            scheme: if plain { "http" } else { "https" },
            auth,
            client: Client::try_from(config).map_err(|e| invalid(with_causes(&e)))?,
            http,
        })
    }

    /// The digest of the manifest or index that the tag names now.
    pub async fn resolve(&self, repository: &str, tag: &str) -> Result<Digest, RegistryError> {
        let what = format!("{repository}:{tag}");
        if !is_tag(tag) {
            return Err(self.error(Trouble::Invalid, &what, &format!("`{tag}` is not a tag")));
        }
        let reference = self.reference(repository, tag, &what)?;
        let digest = tokio::time::timeout(TIMEOUT, self.client.fetch_manifest_digest(&reference, &self.auth))
            .await
            .map_err(|_| self.timed_out(&what))?
            .map_err(|e| self.error(Trouble::of(&e), &what, &with_causes(&e)))?;
        Digest::new(digest).map_err(|e| self.error(Trouble::Invalid, &what, &e))
    }

    /// Every tag of the repository, all pages.
    pub async fn tags(&self, repository: &str) -> Result<Vec<String>, RegistryError> {
        let reference = self.reference(repository, "latest", repository)?;
        let mut next = Some(self.tags_url(&reference, repository)?);
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let Some(url) = next else { return Ok(tags) };
            let response = self.get(&reference, repository, url).await?;
            next = self.next_page(&response, repository)?;
            let page: Page = serde_json::from_slice(&self.body(response, repository).await?).map_err(|e| {
                self.error(Trouble::Invalid, repository, &format!("its list of tags can not be read: {e}"))
            })?;
            tags.extend(page.tags.unwrap_or_default());
        }
        Err(self.error(Trouble::Invalid, repository, &format!("its list of tags has more than {MAX_PAGES} pages")))
    }

    fn reference(&self, repository: &str, tag: &str, what: &str) -> Result<Reference, RegistryError> {
        if !is_repository(repository) {
            return Err(self.error(Trouble::Invalid, what, &format!("`{repository}` is not a repository")));
        }
        // Docker Hub keeps its official images under `library`, which nobody writes.
        let official = self.registry == "docker.io" && !repository.contains('/');
        let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
        Ok(Reference::with_tag(self.registry.clone(), repository, tag.to_owned()))
    }

    fn tags_url(&self, reference: &Reference, repository: &str) -> Result<Url, RegistryError> {
        let (host, path) = (reference.resolve_registry(), reference.repository());
        Url::parse_with_params(&format!("{}://{host}/v2/{path}/tags/list", self.scheme), [("n", PAGE)])
            .map_err(|e| self.error(Trouble::Invalid, repository, &e.to_string()))
    }

    async fn get(&self, reference: &Reference, repository: &str, url: Url) -> Result<Response, RegistryError> {
        let token = tokio::time::timeout(TIMEOUT, self.client.auth(reference, &self.auth, RegistryOperation::Pull))
            .await
            .map_err(|_| self.timed_out(repository))?
            .map_err(|e| self.error(Trouble::of(&e), repository, &with_causes(&e)))?;
        let request = match (&token, &self.auth) {
            (Some(token), _) => self.http.get(url).bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => self.http.get(url).basic_auth(user, Some(password)),
            (None, _) => self.http.get(url),
        };
        let response =
            request.send().await.map_err(|e| self.error(Trouble::Unreachable, repository, &with_causes(&e)))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => {
                let trouble = Trouble::of_status(status.as_u16());
                Err(self.error(trouble, repository, &format!("it answered {status}")))
            }
        }
    }

    async fn body(&self, mut response: Response, repository: &str) -> Result<Vec<u8>, RegistryError> {
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|e| self.error(Trouble::Unreachable, repository, &with_causes(&e)))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_PAGE {
                return Err(self.error(Trouble::Invalid, repository, "a page of its tags is larger than 8 MiB"));
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

    fn timed_out(&self, what: &str) -> RegistryError {
        self.error(Trouble::Unreachable, what, &format!("no answer within {} s", TIMEOUT.as_secs()))
    }

    fn error(&self, trouble: Trouble, what: &str, cause: &str) -> RegistryError {
        let (registry, feed) = (&self.registry, &self.feed);
        let message = match trouble {
            Trouble::Missing => {
                format!(
                    "registry {registry} (feed `{feed}`) has no {what}; check the tag, the package's `image`, and that it was pushed"
                )
            }
            Trouble::Denied if matches!(self.auth, RegistryAuth::Anonymous) => format!(
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
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_spoken_to_this_machine() {
        for (registry, loopback) in [
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("localhost:5000", true),
            ("[::1]:5000", true),
            ("ghcr.io", false),
            ("10.0.0.1:5000", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(is_loopback(registry), loopback, "{registry}");
        }
    }

    #[test]
    fn nothing_but_repositories_and_tags_goes_into_an_address() {
        for good in ["web", "shop/web", "a.b/c_d/e-f", "0"] {
            assert!(is_repository(good), "{good}");
        }
        for bad in ["", "/web", "web/", "a//b", "../x", "a/../b", "Web", "a?b", "a b", "a/.b", "a#"] {
            assert!(!is_repository(bad), "{bad}");
        }
        for good in ["1.0", "latest", "_x", "v1-rc.1"] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", ".1", "-1", "1/2", "..", "1?x", "é", &"1".repeat(129)] {
            assert!(!is_tag(bad), "{bad}");
        }
    }

    #[test]
    fn the_next_page_is_what_link_says() {
        for (link, next) in [
            (r#"</v2/a/tags/list?last=x&n=2>; rel="next""#, Some("/v2/a/tags/list?last=x&n=2")),
            (r"<x>; foo=bar; rel=next", Some("x")),
            (r#"<x>; rel="prev""#, None),
            ("x", None),
        ] {
            assert_eq!(next_link(link), next, "{link}");
        }
    }

    /// A registry that gives its tags in pages, as large ones do; `pages[i]` is its answer to `?page=i`.
    async fn paging(pages: Vec<(u16, &'static str, &'static str)>) -> Connection {
        use axum::{extract::Query, http::StatusCode, routing::get};
        slipway_service::crypto::install();
        let answer = move |Query(query): Query<std::collections::HashMap<String, String>>| async move {
            let (status, link, body) = pages[query.get("page").map_or(0, |page| page.parse().unwrap())];
            (StatusCode::from_u16(status).unwrap(), [("link", link)], body)
        };
        let router = axum::Router::new().route("/v2/", get(|| async {})).route("/v2/shop/web/tags/list", get(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let feed = serde_json::json!({"name": "local", "registry": registry.to_string()});
        Connection::open(&serde_json::from_value(feed).unwrap(), None).unwrap()
    }

    #[tokio::test]
    async fn all_pages_of_tags_are_read() {
        let registry = paging(vec![
            (200, r#"</v2/shop/web/tags/list?page=1>; rel="next""#, r#"{"tags": ["1.0", "1.1"]}"#),
            (200, r#"<?page=2>; rel="next""#, r#"{"tags": ["1.2"]}"#),
            (200, "", r#"{"tags": null}"#),
        ]);
        assert_eq!(registry.await.tags("shop/web").await.unwrap(), ["1.0", "1.1", "1.2"]);
    }

    #[tokio::test]
    async fn a_list_of_tags_that_can_not_be_had_is_an_error_and_not_a_shorter_list() {
        for (pages, trouble, text) in [
            (vec![(404, "", "")], Trouble::Missing, "has no shop/web"),
            (vec![(403, "", "")], Trouble::Denied, "does not show shop/web to anonymous users"),
            (vec![(503, "", "")], Trouble::Unreachable, "it answered 503"),
            (vec![(200, "", "<html>")], Trouble::Invalid, "its list of tags can not be read"),
            (
                vec![(200, r#"<http://other.example.com/x>; rel="next""#, r#"{"tags": []}"#)],
                Trouble::Invalid,
                "other.example.com",
            ),
            (vec![(200, r#"<?page=1>; rel="next""#, r#"{"tags": ["1"]}"#), (500, "", "")], Trouble::Unreachable, "500"),
        ] {
            let error = paging(pages).await.tags("shop/web").await.unwrap_err();
            assert_eq!(error.trouble, trouble, "{error}");
            assert!(error.message.contains(text), "{error}");
        }
    }
}
