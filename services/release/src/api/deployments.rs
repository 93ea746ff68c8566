//! `/api/v1/deployments`.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use slipway_domain::{
    api::{
        Accepted, AcceptedDeployment, Cancel, CastVote, CreateDeployment, DeploymentSummary, DeploymentView, Go,
        PlanView, Preview, Right, Waiting,
    },
    event::{Actor, Outcome},
    id::DeploymentId,
    name::{EnvironmentName, ProjectName, StepName},
};
use slipway_store::DeploymentFilter;

use super::{
    extract::{Json, Path, Query},
    limit,
};
use crate::{
    app::{App, Shared},
    auth::Person,
    operations::{
        demo,
        deployments::{self as operations, Idempotency},
        freezes, gates, plans,
    },
    problem::Problem,
};

/// 202: it is in the log.
type Taken = Result<(StatusCode, Answer<Accepted>), Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    project: Option<ProjectName>,
    environment: Option<EnvironmentName>,
    version: Option<String>,
    outcome: Option<Outcome>,
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
) -> Result<(StatusCode, Answer<AcceptedDeployment>), Problem> {
    person.may(Right::Deploy)?;
    let idempotency = match headers.get("idempotency-key") {
        None => Idempotency::Fresh,
        Some(key) => Idempotency::Key(key.to_str().unwrap_or_default().to_owned()),
    };
    let freeze = freezes::holding(&app, &body, &person.actor()).await?;
    let accepted = operations::request(&app, body, person.actor(), idempotency).await?;
    Ok((StatusCode::ACCEPTED, Answer(AcceptedDeployment { accepted, freeze })))
}

pub async fn preview(
    State(app): State<Shared>,
    person: Person,
    Json(body): Json<CreateDeployment>,
) -> Result<Answer<Preview>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(plans::preview(&app, body, person.actor()).await?))
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
        outcome: query.outcome,
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
    Ok(Answer(operations::plan(&app, id).await?))
}

/// The deployment of which a person who may deploy speaks, and the person as an actor.
async fn spoken_of(app: &App, person: &Person, text: &str) -> Result<(DeploymentId, Actor), Problem> {
    person.may(Right::Deploy)?;
    Ok((operations::find(app, text).await?, person.actor()))
}

fn taken(accepted: Accepted) -> Taken {
    Ok((StatusCode::ACCEPTED, Answer(accepted)))
}

pub async fn cancel(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
    Json(body): Json<Cancel>,
) -> Taken {
    let (id, actor) = spoken_of(&app, &person, &text).await?;
    taken(operations::cancel(&app, id, body.reason, actor).await?)
}

pub async fn pause(
    State(app): State<Shared>,
    person: Person,
    Path(text): Path<String>,
    Json(body): Json<Cancel>,
) -> Taken {
    let (id, actor) = spoken_of(&app, &person, &text).await?;
    taken(operations::pause(&app, id, body.reason, actor).await?)
}

pub async fn resume(State(app): State<Shared>, person: Person, Path(text): Path<String>) -> Taken {
    let (id, actor) = spoken_of(&app, &person, &text).await?;
    taken(operations::resume(&app, id, actor).await?)
}

pub async fn go(
    State(app): State<Shared>,
    person: Person,
    Path((text, step)): Path<(String, StepName)>,
    Json(body): Json<Go>,
) -> Taken {
    let (id, actor) = spoken_of(&app, &person, &text).await?;
    taken(demo::go(&app, id, step, body, actor).await?)
}

pub async fn retry(State(app): State<Shared>, person: Person, Path(text): Path<String>) -> Taken {
    let (id, actor) = spoken_of(&app, &person, &text).await?;
    taken(operations::retry(&app, id, actor).await?)
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
) -> Taken {
    let (id, _) = spoken_of(&app, &person, &text).await?;
    taken(gates::vote(&app, id, &step, &body, &person).await?)
}
