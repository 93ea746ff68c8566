//! Error answers: RFC 9457 problem documents with a stable code, each with a page in docs/errors.
//!
//! Three kinds: a *refusal* (a rule says no), a *problem list* (the input is wrong, all of it at
//! once) and an *error* (the service failed; logged here, once, and told with a trace id only).

#[cfg(test)]
mod codes;

use std::fmt;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use slipway_bus::BusError;
use slipway_domain::{api, manifest::parse::Problem as TextProblem, name::InvalidName};
use slipway_store::StoreError;

/// An error answer.
#[derive(Debug, Clone)]
pub struct Problem(Box<api::Problem>);

impl Problem {
    /// A problem of any status.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(api::Problem {
            kind: format!("https://slipway.dev/errors/{code}"),
            code: code.to_owned(),
            status: status.as_u16(),
            title: code.replace('-', " "),
            detail: detail.into(),
            problems: Vec::new(),
            trace: None,
        }))
    }

    /// 409: a rule says no.
    pub fn refusal(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422: the request can be read but not be done.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 404.
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 400: the request can not be read.
    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 403: this person may not.
    pub fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 401: nobody that we know.
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "no valid token: send `Authorization: Bearer slw_…`; `slipway token create` makes one",
        )
    }

    /// 503: not now.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// 422: all that is wrong with manifests.
    pub fn problems(problems: Vec<TextProblem>) -> Self {
        let detail = match problems.as_slice() {
            [one] => one.to_string(),
            many => format!("{} problems; nothing was changed", many.len()),
        };
        let mut problem = Self::unprocessable("invalid-manifest", detail);
        problem.0.problems = problems;
        problem
    }

    /// 500: the service failed. Logs the error; the answer names only the trace.
    pub fn internal(error: impl fmt::Display) -> Self {
        let trace = slipway_service::telemetry::traceparent();
        tracing::error!(error = %error, "request failed");
        let mut problem = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the service failed; its log has the reason, look for the trace",
        );
        problem.0.trace = trace.and_then(|parent| parent.split('-').nth(1).map(str::to_owned));
        problem
    }

    /// The stable word.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What failed, why, what to do.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.0.status
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.detail())
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&*self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"slipway\""));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

impl From<BusError> for Problem {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Full { .. } => Self::unavailable("log-nearly-full", error.to_string()),
            _ => Self::internal(error),
        }
    }
}

impl From<InvalidName> for Problem {
    fn from(error: InvalidName) -> Self {
        Self::invalid("invalid-name", error.to_string())
    }
}
