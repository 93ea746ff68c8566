//! `/api/v1/secrets`: names and versions out, values only in.

use axum::{Json as Answer, extract::State, http::StatusCode};
use slipway_domain::{
    api::{Right, SecretView, SetSecret},
    name::SecretName,
};

use super::extract::{Json, Path};
use crate::{app::Shared, auth::Person, operations::secrets as operations, problem::Problem};

pub async fn list(State(app): State<Shared>, person: Person) -> Result<Answer<Vec<SecretView>>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(app.store.secrets().await?))
}

pub async fn get(
    State(app): State<Shared>,
    person: Person,
    Path(name): Path<SecretName>,
) -> Result<Answer<SecretView>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(operations::get(&app, &name).await?))
}

pub async fn set(
    State(app): State<Shared>,
    person: Person,
    Path(name): Path<SecretName>,
    Json(body): Json<SetSecret>,
) -> Result<Answer<SecretView>, Problem> {
    person.may(Right::Admin)?;
    Ok(Answer(operations::set(&app, name, body, &person.actor()).await?))
}

pub async fn delete(
    State(app): State<Shared>,
    person: Person,
    Path(name): Path<SecretName>,
) -> Result<StatusCode, Problem> {
    person.may(Right::Admin)?;
    operations::delete(&app, &name, &person.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
