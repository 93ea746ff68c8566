//! What is seen on targets: `/api/v1/target-status/{target}/check`, `/api/v1/drift`.

use axum::{Json as Answer, extract::State};
use serde::Deserialize;
use slipway_domain::{
    api::{DriftReport, Right, TargetCheck},
    name::{EnvironmentName, ProjectName, TargetName},
};

use super::extract::{Path, Query};
use crate::{
    app::Shared,
    auth::Person,
    operations::inspections::{self, Filter},
    problem::Problem,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    project: Option<ProjectName>,
    environment: Option<EnvironmentName>,
    target: Option<TargetName>,
}

pub async fn check(
    State(app): State<Shared>,
    person: Person,
    Path(target): Path<TargetName>,
) -> Result<Answer<TargetCheck>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(inspections::check(&app, &target).await?))
}

pub async fn drift(
    State(app): State<Shared>,
    person: Person,
    Query(which): Query<Which>,
) -> Result<Answer<DriftReport>, Problem> {
    person.may(Right::Read)?;
    let filter = Filter { project: which.project, environment: which.environment, target: which.target };
    Ok(Answer(inspections::drift(&app, &filter, Some(inspections::AT_MOST)).await?))
}
