//! Signing in and out. The cookie holds the token; the browser sends it to this service alone, and
//! no script can read it.

use askama::Template;
use axum::{
    extract::{Form, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use crate::{
    app::Shared,
    auth::{COOKIE, person_of_token},
};

/// How long the browser keeps the cookie, in seconds: a week. The token itself may end sooner.
const MAX_AGE: u32 = 7 * 24 * 3600;

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    wrong: bool,
}

#[derive(Deserialize)]
pub struct SignIn {
    token: String,
}

/// The form.
pub async fn show() -> Response {
    super::page(StatusCode::OK, &Login { wrong: false })
}

/// A right token becomes a cookie.
pub async fn sign_in(State(app): State<Shared>, headers: HeaderMap, Form(form): Form<SignIn>) -> Response {
    if from_elsewhere(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let token = form.token.trim();
    let known = match cookie(token, MAX_AGE, &headers) {
        Some(cookie) => person_of_token(&app, token).await.map(|person| person.map(|_| cookie)),
        None => Ok(None),
    };
    match known {
        Ok(Some(cookie)) => ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        Ok(None) => super::page(StatusCode::UNAUTHORIZED, &Login { wrong: true }),
        Err(problem) => problem.into_response(),
    }
}

/// Takes the cookie away.
pub async fn sign_out(headers: HeaderMap) -> Response {
    if from_elsewhere(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let gone = cookie("", 0, &headers);
    (gone.map(|cookie| [(header::SET_COOKIE, cookie)]), Redirect::to("/login")).into_response()
}

/// Whether the browser says that another site made it send the form.
fn from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// None if the token has characters that no token has.
fn cookie(token: &str, max_age: u32, headers: &HeaderMap) -> Option<HeaderValue> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !token.chars().all(good) {
        return None;
    }
    let https = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let secure = if https { "; Secure" } else { "" };
    HeaderValue::from_str(&format!("{COOKIE}={token}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_for_this_service_alone() {
        let plain = HeaderMap::new();
        assert_eq!(
            cookie("slw_a-1", 60, &plain).unwrap(),
            "slipway=slw_a-1; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"
        );
        let https = HeaderMap::from_iter([("x-forwarded-proto".parse().unwrap(), HeaderValue::from_static("https"))]);
        assert!(cookie("x", 60, &https).unwrap().to_str().unwrap().ends_with("; Secure"));
        assert_eq!(cookie("x; Domain=example.com", 60, &plain), None);
    }

    #[test]
    fn a_form_of_another_site_is_refused() {
        for (site, elsewhere) in [("cross-site", true), ("same-site", true), ("same-origin", false), ("none", false)] {
            let headers = HeaderMap::from_iter([("sec-fetch-site".parse().unwrap(), HeaderValue::from_static(site))]);
            assert_eq!(from_elsewhere(&headers), elsewhere, "{site}");
        }
        assert!(!from_elsewhere(&HeaderMap::new()));
    }
}
