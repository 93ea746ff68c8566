//! Signing in at a registry: what it asks for with a 401, and the token that it wants to see instead of
//! the password.

use http_auth::ChallengeParser;
use reqwest::{
    Url,
    header::{HeaderMap, WWW_AUTHENTICATE},
};
use serde::Deserialize;

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User name and password with every request.
    Basic,
    /// A token from there.
    Bearer(TokenServer),
}

/// Who gives out tokens.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenServer {
    realm: String,
    service: Option<String>,
}

/// The proof that a request carries.
#[derive(Clone)]
pub enum Proof {
    /// The feed's user.
    Basic,
    /// A token.
    Bearer(String),
}

/// A token server's answer; some use the one name, some the other.
#[derive(Deserialize)]
pub struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl TokenAnswer {
    /// The token.
    pub fn token(self) -> Option<String> {
        self.token.or(self.access_token).filter(|token| !token.is_empty())
    }
}

/// The challenge of an answer; none if there is none that can be met. A token is preferred to a password.
pub fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut basic = false;
    for challenge in values.flat_map(|value| ChallengeParser::new(value).map_while(Result::ok)) {
        let text = |name: &str| {
            let (_, value) = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            Some(value.to_unescaped())
        };
        if challenge.scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = text("realm")
        {
            return Some(Challenge::Bearer(TokenServer { realm, service: text("service") }));
        }
        basic |= challenge.scheme.eq_ignore_ascii_case("basic");
    }
    basic.then_some(Challenge::Basic)
}

impl TokenServer {
    /// Where to ask for a token that lets pull from a repository. The error is for people.
    pub fn url(&self, repository: &str, over_https: bool, with_password: bool) -> Result<Url, String> {
        let mut url = Url::parse(&self.realm)
            .map_err(|e| format!("it asks for a token from `{}`, which is no address: {e}", self.realm))?;
        match url.scheme() {
            "https" => {}
            "http" if !(over_https && with_password) => {}
            _ => return Err(format!("it asks to send the password to `{}`, which is not safe", self.realm)),
        }
        let scope = format!("repository:{repository}:pull");
        let mut query = url.query_pairs_mut();
        if let Some(service) = &self.service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", &scope);
        drop(query);
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer(TokenServer { realm: realm.to_owned(), service: service.map(str::to_owned) })
    }

    #[test]
    fn a_challenge_is_read_as_registries_write_it() {
        for (headers, expected) in [
            (
                &[
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                ][..],
                Some(bearer("https://auth.docker.io/token", Some("registry.docker.io"))),
            ),
            (&[r#"bearer realm="https://x/token""#], Some(bearer("https://x/token", None))),
            (&[r#"Basic realm="registry""#], Some(Challenge::Basic)),
            (&[r#"Basic realm="r""#, r#"Bearer realm="https://x/""#], Some(bearer("https://x/", None))),
            (&[r#"Basic realm="r", Bearer realm="https://x/""#], Some(bearer("https://x/", None))),
            (&["Negotiate"], None),
            (&["Bearer"], None),
            (&["\"\"=,,"], None),
            (&[], None),
        ] {
            let mut map = HeaderMap::new();
            for header in headers {
                map.append(WWW_AUTHENTICATE, header.parse().unwrap());
            }
            assert_eq!(challenge(&map), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_password_goes_nowhere_in_the_clear_that_the_registry_itself_is_not() {
        let server = |realm: &str| TokenServer { realm: realm.to_owned(), service: Some("s".to_owned()) };
        let url = server("https://x/token?account=a").url("shop/web", true, true).unwrap();
        assert_eq!(url.as_str(), "https://x/token?account=a&service=s&scope=repository%3Ashop%2Fweb%3Apull");
        assert!(server("http://x/").url("a", false, true).is_ok());
        assert!(server("http://x/").url("a", true, false).is_ok());
        for realm in ["http://x/", "ftp://x/", "x"] {
            assert!(server(realm).url("a", true, true).is_err(), "{realm}");
        }
    }
}
