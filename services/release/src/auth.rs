//! Who asks: the person behind a token.
//!
//! A token comes as Bearer, as the password of Basic, or, for looking only, in the cookie of the
//! web page: a cookie goes along with requests that another site starts, so it may change nothing.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use slipway_domain::{
    api::Right,
    event::Actor,
    manifest::{Kind, Manifest},
    name::{PersonName, TeamName},
};

use crate::{
    app::{App, Shared},
    problem::Problem,
};

/// The cookie of the web page.
pub const COOKIE: &str = "slipway";

/// A person who proved to be one.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// Who.
    pub name: PersonName,
    /// What the token may do.
    pub right: Right,
    /// The teams that have the person as a member.
    pub teams: Vec<TeamName>,
}

impl Person {
    /// The person as the writer of events.
    pub fn actor(&self) -> Actor {
        Actor::Person { name: self.name.clone(), via: "api".to_owned() }
    }

    /// Refuses if the token may do less than that.
    pub fn may(&self, right: Right) -> Result<(), Problem> {
        if self.right >= right {
            return Ok(());
        }
        let word = |right| match right {
            Right::Read => "read",
            Right::Deploy => "deploy",
            Right::Admin => "admin",
        };
        Err(Problem::forbidden(
            "forbidden",
            format!(
                "this needs the right `{}`; the token of {} has `{}`. Use another token, or ask an admin for one",
                word(right),
                self.name,
                word(self.right)
            ),
        ))
    }
}

/// The person whose token this is; none if it is unknown, revoked or expired.
pub async fn person_of_token(app: &App, token: &str) -> Result<Option<Person>, Problem> {
    let Some(owner) = app.store.owner_of_token(token, Utc::now()).await? else { return Ok(None) };
    let teams = app.store.manifests_of(Kind::Team).await?;
    let teams = teams
        .into_iter()
        .filter_map(|manifest| match manifest {
            Manifest::Team(team) => Some(team),
            _ => None,
        })
        .filter(|team| team.members.iter().any(|member| *member.person() == owner.person))
        .map(|team| team.name)
        .collect();
    Ok(Some(Person { name: owner.person, right: owner.right, teams }))
}

impl FromRequestParts<Shared> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        let token = token(&parts.headers, &parts.method).ok_or_else(Problem::unauthorized)?;
        person_of_token(app, &token).await?.ok_or_else(Problem::unauthorized)
    }
}

fn token(headers: &HeaderMap, method: &Method) -> Option<String> {
    if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        return authorized(authorization.to_str().ok()?);
    }
    let looks = matches!(*method, Method::GET | Method::HEAD);
    looks.then(|| cookie(headers)).flatten()
}

fn authorized(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        return pair.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: header::HeaderName, value: &str, method: Method, expect: Option<&str>) {
        let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
        assert_eq!(token(&headers, &method).as_deref(), expect, "{method} {value}");
    }

    #[test]
    fn a_token_comes_as_bearer_basic_password_or_cookie() {
        check(header::AUTHORIZATION, "Bearer slw_x", Method::POST, Some("slw_x"));
        check(header::AUTHORIZATION, "bearer slw_x", Method::GET, Some("slw_x"));
        check(header::AUTHORIZATION, "Basic YW5hOnNsd194", Method::PUT, Some("slw_x"));
        check(header::COOKIE, "a=b; slipway=slw_x", Method::GET, Some("slw_x"));
    }

    #[test]
    fn a_cookie_changes_nothing_and_nonsense_is_nobody() {
        check(header::COOKIE, "slipway=slw_x", Method::POST, None);
        check(header::COOKIE, "slipway=slw_x", Method::DELETE, None);
        check(header::AUTHORIZATION, "Basic %%%", Method::GET, None);
        check(header::AUTHORIZATION, "slw_x", Method::GET, None);
    }
}
