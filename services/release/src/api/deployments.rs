//! `/api/v1/deployments`.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use slipway_domain::{
    api::{Accepted, Cancel, CastVote, CreateDeployment, DeploymentSummary, DeploymentView, PlanView, Right, Waiting},
    name::{EnvironmentName, ProjectName, StepName},
};
use slipway_store::DeploymentFilter;

use super::{
    extract::{Json, Path, Query},
    limit,
};
use crate::{
    app::Shared,
    auth::Person,
    operations::{
        deployments::{self as operations, Idempotency},
        gates,
    },
    problem::Problem,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    project: Option<ProjectName>,
    environment: Option<EnvironmentName>,
    version: Option<String>,
    limit: Option<u64>,
    at_least: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    at_least: Option<u64>,
}

pub async fn create(
    State(app): State<Shared>,
    person: Person,
    headers: HeaderMap,
    Json(body): Json<CreateDeployment>,
) -> Result<(StatusCode, Answer<Accepted>), Problem> {
    person.may(Right::Deploy)?;
    let idempotency = match headers.get("idempotency-key") {
        None => Idempotency::Fresh,
        Some(key) => Idempotency::Key(key.to_str().unwrap_or_default().to_owned()),
    };
    let accepted = operations::request(&app, body, person.actor(), idempotency).await?;
    Ok((StatusCode::ACCEPTED, Answer(accepted)))
}

pub async fn list(
    State(app): State<Shared>,
    person: Person,
    Query(query): Query<List>,
) -> Result<Answer<Vec<DeploymentSummary>>, Problem> {
    person.may(Right::Read)?;
    app.folded.reached(query.at_least.unwrap_or(0)).await?;
    let filter = DeploymentFilter {
        project: query.project,
        environment: query.environment,
        version: query.version,
        limit: limit(query.limit),
    };
    Ok(Answer(app.store.deployments(&filter).await?))
}

pub async fn get(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
    Query(query): Query<Look>,
) -> Result<Answer<DeploymentView>, Problem> {
    person.may(Right::Read)?;
    app.folded.reached(query.at_least.unwrap_or(0)).await?;
    let id = operations::find(&app, &text).await?;
    let view = app.store.deployment(id).await?;
    view.map(Answer).ok_or_else(|| operations::unknown(&text))
}

pub async fn plan(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
    Query(query): Query<Look>,
) -> Result<Answer<PlanView>, Problem> {
    person.may(Right::Read)?;
    app.folded.reached(query.at_least.unwrap_or(0)).await?;
    let id = operations::find(&app, &text).await?;
    app.folded.read(|state| {
        let deployment = state.get(id).ok_or_else(|| operations::unknown(&text))?;
        let progress = deployment.progress.as_ref().ok_or_else(|| {
            Problem::refusal(
                "not-planned",
                format!("deployment {id} has no plan; `slipway deployment show {id}` says why"),
            )
        })?;
        Ok(Answer(PlanView { digest: progress.digest.clone(), plan: progress.plan.clone() }))
    })
}

pub async fn cancel(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
    Json(body): Json<Cancel>,
) -> Result<(StatusCode, Answer<Accepted>), Problem> {
    person.may(Right::Deploy)?;
    let id = operations::find(&app, &text).await?;
    let accepted = operations::cancel(&app, id, body.reason, person.actor()).await?;
    Ok((StatusCode::ACCEPTED, Answer(accepted)))
}

pub async fn pause(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
    Json(body): Json<Cancel>,
) -> Result<(StatusCode, Answer<Accepted>), Problem> {
    person.may(Right::Deploy)?;
    let id = operations::find(&app, &text).await?;
    let accepted = operations::pause(&app, id, body.reason, person.actor()).await?;
    Ok((StatusCode::ACCEPTED, Answer(accepted)))
}

pub async fn resume(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
) -> Result<(StatusCode, Answer<Accepted>), Problem> {
    person.may(Right::Deploy)?;
    let id = operations::find(&app, &text).await?;
    Ok((StatusCode::ACCEPTED, Answer(operations::resume(&app, id, person.actor()).await?)))
}

pub async fn retry(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
) -> Result<(StatusCode, Answer<Accepted>), Problem> {
    person.may(Right::Deploy)?;
    let id = operations::find(&app, &text).await?;
    Ok((StatusCode::ACCEPTED, Answer(operations::retry(&app, id, person.actor()).await?)))
}

pub async fn why(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
) -> Result<Answer<Vec<Waiting>>, Problem> {
    person.may(Right::Read)?;
    let id = operations::find(&app, &text).await?;
    Ok(Answer(operations::why(&app, id)))
}

pub async fn vote(
    State(app): State<Shared>,
    person: Person,
    Path((text, step)): Path<(String, StepName)>,
    Json(body): Json<CastVote>,
) -> Result<(StatusCode, Answer<Accepted>), Problem> {
    person.may(Right::Deploy)?;
    let id = operations::find(&app, &text).await?;
    let accepted = gates::vote(&app, id, &step, &body, &person).await?;
    Ok((StatusCode::ACCEPTED, Answer(accepted)))
}
