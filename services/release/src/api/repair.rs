//! `/api/v1/damaged`, `/api/v1/deployments/{id}/abandon`, `/api/v1/rebuild`.

use axum::{Json as Answer, extract::State, http::StatusCode};
use slipway_domain::api::{Abandon, Accepted, Damaged, Rebuild, Right};

use super::extract::{Json, Path};
use crate::{
    app::Shared,
    auth::Person,
    operations::{deployments, repair},
    problem::Problem,
    rebuild,
};

pub async fn damaged(State(app): State<Shared>, person: Person) -> Result<Answer<Vec<Damaged>>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(repair::damaged(&app)))
}

pub async fn abandon(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
    Json(body): Json<Abandon>,
) -> Result<(StatusCode, Answer<Accepted>), Problem> {
    person.may(Right::Admin)?;
    let id = deployments::find(&app, &text).await?;
    Ok((StatusCode::ACCEPTED, Answer(repair::abandon(&app, id, body, person.actor()).await?)))
}

pub async fn rebuild(State(app): State<Shared>, person: Person) -> Result<(StatusCode, Answer<Rebuild>), Problem> {
    person.may(Right::Admin)?;
    Ok((StatusCode::ACCEPTED, Answer(rebuild::start(app))))
}

pub async fn rebuilding(State(app): State<Shared>, person: Person) -> Result<Answer<Rebuild>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(app.rebuild.now()))
}
