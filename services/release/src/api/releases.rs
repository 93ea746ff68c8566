//! `/api/v1/projects/{project}/releases`.

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::Deserialize;
use slipway_domain::{
    api::{Candidates, CreateRelease, Keep, ReleaseView, Right, SayWhy},
    name::{EnvironmentName, ProjectName},
};

use super::{
    extract::{Json, Path, Query},
    limit,
};
use crate::{
    app::Shared,
    auth::Person,
    operations::{progression, releases as operations, retention},
    problem::Problem,
};

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// Also ask the registries what the tags mean by now.
    #[serde(default)]
    tags: bool,
}

pub async fn get(
    State(app): State<Shared>,
    person: Person,
    Path((project, version)): Path<(ProjectName, String)>,
    Query(look): Query<Look>,
) -> Result<Answer<ReleaseView>, Problem> {
    person.may(Right::Read)?;
    if look.tags {
        return Ok(Answer(operations::show_with_tags(&app, &project, &version).await?));
    }
    Ok(Answer(operations::show(&app, &project, &version).await?))
}

pub async fn block(
    State(app): State<Shared>,
    person: Person,
    Path((project, version)): Path<(ProjectName, String)>,
    Json(body): Json<SayWhy>,
) -> Result<Answer<ReleaseView>, Problem> {
    person.may(Right::Deploy)?;
    Ok(Answer(operations::block(&app, &project, &version, body.reason, person.actor()).await?))
}

pub async fn unblock(
    State(app): State<Shared>,
    person: Person,
    Path((project, version)): Path<(ProjectName, String)>,
    Json(body): Json<SayWhy>,
) -> Result<Answer<ReleaseView>, Problem> {
    person.may(Right::Deploy)?;
    Ok(Answer(operations::unblock(&app, &project, &version, body.reason, person.actor()).await?))
}

pub async fn candidates(
    State(app): State<Shared>,
    person: Person,
    Path((project, environment)): Path<(ProjectName, EnvironmentName)>,
) -> Result<Answer<Candidates>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(progression::candidates(&app, &project, &environment).await?))
}

pub async fn retention(
    State(app): State<Shared>,
    person: Person,
    Path(project): Path<ProjectName>,
) -> Result<Answer<Vec<Keep>>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(retention::of_project(&app, &project).await?))
}
