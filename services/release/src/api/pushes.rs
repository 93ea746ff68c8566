//! `/api/v1/pushes`: what became of webhook deliveries.

use axum::{Json as Answer, extract::State};
use serde::Deserialize;
use slipway_domain::api::{PushView, Right};

use super::{
    extract::{Path, Query},
    limit,
};
use crate::{app::Shared, auth::Person, problem::Problem, pushes};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    limit: Option<u64>,
}

pub async fn list(
    State(app): State<Shared>,
    person: Person,
    Query(query): Query<List>,
) -> Result<Answer<Vec<PushView>>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(app.store.pushes(limit(query.limit)).await?))
}

pub async fn replay(
    State(app): State<Shared>,
    person: Person,
    Path(seq): Path<u64>,
) -> Result<Answer<PushView>, Problem> {
    person.may(Right::Deploy)?;
    Ok(Answer(pushes::replay(&app, seq, &person.actor()).await?))
}
