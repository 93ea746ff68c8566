//! What people look at: `/api/v1/board`, `/api/v1/target-status`, `/api/v1/audit`.

use std::time::Instant;

use axum::{Json as Answer, extract::State};
use serde::Deserialize;
use slipway_domain::api::{AuditEntry, Board, Right, TargetView};

use super::{extract::Query, limit};
use crate::{app::Shared, auth::Person, operations::board as operations, problem::Problem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    limit: Option<u64>,
}

pub async fn board(State(app): State<Shared>, person: Person) -> Result<Answer<Board>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(operations::board(&app).await?))
}

pub async fn targets(State(app): State<Shared>, person: Person) -> Result<Answer<Vec<TargetView>>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(operations::targets(&app, Instant::now()).await?))
}

pub async fn audit(
    State(app): State<Shared>,
    person: Person,
    Query(query): Query<List>,
) -> Result<Answer<Vec<AuditEntry>>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(app.store.audit_entries(limit(query.limit)).await?))
}
