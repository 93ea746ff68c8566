//! The web page: sign in, look at the board, sign out. It reads what `GET /api/v1/board` reads and
//! changes nothing. It needs no script; the browser asks again by itself.

mod board;
mod session;

use askama::Template;
use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};

use crate::{app::Shared, auth::Person, operations, problem::Problem};

/// The browser loads nothing but this service's own style and icon, sends forms nowhere else and shows the page in no frame.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// Largest form, in bytes.
const MAX_FORM: usize = 4 << 10;

/// The pages.
pub fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(show_board))
        .route("/login", get(session::show).post(session::sign_in))
        .route("/logout", post(session::sign_out))
        .route("/style.css", get(|| asset("text/css; charset=utf-8", include_str!("../templates/style.css"))))
        .route("/icon.svg", get(|| asset("image/svg+xml", include_str!("../templates/icon.svg"))))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(map_response(guarded))
}

async fn show_board(State(app): State<Shared>, person: Result<Person, Problem>) -> Response {
    let person = match person {
        Ok(person) => person,
        Err(problem) if problem.status() < 500 => return Redirect::to("/login").into_response(),
        Err(problem) => return problem.into_response(),
    };
    match operations::board::board(&app).await {
        Ok(found) => page(StatusCode::OK, &board::page(found, &person.name, app.folded.seq(), chrono::Utc::now())),
        Err(problem) => problem.into_response(),
    }
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")], text).into_response()
}

fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => Problem::internal(error).into_response(),
    }
}

async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
