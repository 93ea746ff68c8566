//! `/api/v1/projects/{project}/releases`.

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::Deserialize;
use slipway_domain::{
    api::{CreateRelease, ReleaseView, Right},
    name::ProjectName,
};

use super::{
    extract::{Json, Path, Query},
    limit,
};
use crate::{app::Shared, auth::Person, operations::releases as operations, problem::Problem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    limit: Option<u64>,
}

pub async fn create(
    State(app): State<Shared>,
    person: Person,
    Path(project): Path<ProjectName>,
    Json(body): Json<CreateRelease>,
) -> Result<(StatusCode, Answer<ReleaseView>), Problem> {
    person.may(Right::Deploy)?;
    let view = operations::create(&app, &project, body, person.actor()).await?;
    Ok((StatusCode::CREATED, Answer(view)))
}

pub async fn list(
    State(app): State<Shared>,
    person: Person,
    Path(project): Path<ProjectName>,
    Query(query): Query<List>,
) -> Result<Answer<Vec<ReleaseView>>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(operations::list(&app, &project, limit(query.limit)).await?))
}

pub async fn get(
    State(app): State<Shared>,
    person: Person,
    Path((project, version)): Path<(ProjectName, String)>,
) -> Result<Answer<ReleaseView>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(operations::view(&operations::get(&app, &project, &version).await?)))
}
