//! Where the releases of a project were asked to be deployed, and where that succeeded.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, entity::prelude::*};
use slipway_domain::{
    event::Outcome,
    name::{EnvironmentName, ProjectName},
};

use crate::{
    Store, StoreError,
    deployments::deployment::{Column, Entity},
};

/// A release in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The release's version.
    pub version: String,
    /// The environment that it was to be deployed to, at least once.
    pub environment: EnvironmentName,
    /// When one of these deployments first succeeded.
    pub succeeded: Option<DateTime<Utc>>,
}

impl Store {
    /// Every release of the project in every environment that it was to be deployed to.
    pub async fn reached(&self, project: &ProjectName) -> Result<Vec<Reached>, StoreError> {
        let asked = self.lanes(project, None).await?;
        let succeeded: HashMap<_, _> = self
            .lanes(project, Some(Outcome::Succeeded))
            .await?
            .into_iter()
            .map(|(version, environment, first)| ((version, environment), first))
            .collect();
        Ok(asked
            .into_iter()
            .filter_map(|(version, environment, _)| {
                let lane = (version, environment);
                // Without a time it ended before times were kept.
                let first = succeeded.get(&lane).map(|millis| millis.unwrap_or(0));
                let succeeded = first.and_then(DateTime::from_timestamp_millis);
                Some(Reached { version: lane.0, environment: EnvironmentName::new(lane.1).ok()?, succeeded })
            })
            .collect())
    }

    /// How many deployments are over.
    pub async fn finished_deployments(&self) -> Result<u64, StoreError> {
        Ok(Entity::find().filter(Column::Outcome.is_not_null()).count(self.db()).await?)
    }

    async fn lanes(
        &self,
        project: &ProjectName,
        outcome: Option<Outcome>,
    ) -> Result<Vec<(String, String, Option<i64>)>, StoreError> {
        let mut lanes = Entity::find()
            .select_only()
            .column(Column::Version)
            .column(Column::Environment)
            .column_as(Column::EndedAt.min(), "first")
            .filter(Column::Project.eq(project.as_str()));
        if let Some(outcome) = outcome {
            lanes = lanes.filter(Column::Outcome.eq(outcome.as_str()));
        }
        Ok(lanes.group_by(Column::Version).group_by(Column::Environment).into_tuple().all(self.db()).await?)
    }
}
