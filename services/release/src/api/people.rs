//! Tokens and who holds them: `/api/v1/tokens`, `/api/v1/webhooks/{name}/token`, `/api/v1/whoami`.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use slipway_domain::{
    api::{CreateToken, CreatedToken, CreatedWebhookToken, Right, TokenView, WhoAmI},
    name::WebhookName,
};

use super::extract::{Json, Path};
use crate::{
    app::Shared,
    auth::Person,
    operations::{tokens as operations, webhooks},
    problem::Problem,
};

/// Goes with what is told once.
const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

type Once<T> = (StatusCode, [(HeaderName, HeaderValue); 1], Answer<T>);

pub async fn tokens(State(app): State<Shared>, person: Person) -> Result<Answer<Vec<TokenView>>, Problem> {
    person.may(Right::Admin)?;
    Ok(Answer(app.store.tokens().await?))
}

pub async fn create_token(
    State(app): State<Shared>,
    person: Person,
    Json(body): Json<CreateToken>,
) -> Result<Once<CreatedToken>, Problem> {
    person.may(Right::Admin)?;
    Ok((StatusCode::CREATED, NO_STORE, Answer(operations::create(&app, body, person.actor()).await?)))
}

pub async fn revoke_token(
    State(app): State<Shared>,
    person: Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    person.may(Right::Admin)?;
    operations::revoke(&app, &id, &person.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn webhook_token(
    State(app): State<Shared>,
    person: Person,
    Path(name): Path<WebhookName>,
) -> Result<Once<CreatedWebhookToken>, Problem> {
    person.may(Right::Admin)?;
    Ok((StatusCode::CREATED, NO_STORE, Answer(webhooks::rotate(&app, &name, &person.actor()).await?)))
}

pub async fn whoami(person: Person) -> Answer<WhoAmI> {
    Answer(WhoAmI { person: person.name, right: person.right, teams: person.teams })
}
