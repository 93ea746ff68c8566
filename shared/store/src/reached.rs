//! Where the releases of a project were asked to be deployed, and where that succeeded.

use std::collections::HashSet;

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
    /// Whether one of these deployments succeeded.
    pub succeeded: bool,
}

impl Store {
    /// Every release of the project in every environment that it was to be deployed to.
    pub async fn reached(&self, project: &ProjectName) -> Result<Vec<Reached>, StoreError> {
        let asked = self.lanes(project, None).await?;
        let succeeded: HashSet<_> = self.lanes(project, Some(Outcome::Succeeded)).await?.into_iter().collect();
        Ok(asked
            .into_iter()
            .filter_map(|lane| {
                let succeeded = succeeded.contains(&lane);
                let (version, environment) = lane;
                Some(Reached { version, environment: EnvironmentName::new(environment).ok()?, succeeded })
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
    ) -> Result<Vec<(String, String)>, StoreError> {
        let mut lanes = Entity::find()
            .select_only()
            .column(Column::Version)
            .column(Column::Environment)
            .filter(Column::Project.eq(project.as_str()));
        if let Some(outcome) = outcome {
            lanes = lanes.filter(Column::Outcome.eq(outcome.as_str()));
        }
        Ok(lanes.group_by(Column::Version).group_by(Column::Environment).into_tuple().all(self.db()).await?)
    }
}
