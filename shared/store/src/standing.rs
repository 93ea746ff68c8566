//! What stands on a target as far as deployments tell: per project, environment and step the newest
//! task there that succeeded, whatever became of the rest of its deployment.

use std::collections::HashMap;

use sea_orm::{EntityTrait, JoinType, QueryFilter, QuerySelect, RelationDef, entity::prelude::*};
use slipway_domain::{
    api::TaskView,
    id::DeploymentId,
    name::{EnvironmentName, ProjectName, StepName, TargetName},
};

use crate::{
    Store, StoreError,
    deployments::{deployment, task},
    error::from_json,
};

/// The newest success of a step on a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The step.
    pub step: StepName,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The release's version.
    pub version: String,
    /// The task.
    pub view: TaskView,
}

fn of_deployment() -> RelationDef {
    task::Entity::belongs_to(deployment::Entity).from(task::Column::Deployment).to(deployment::Column::Id).into()
}

impl Store {
    /// All that stands on a target, by project, environment and step.
    pub async fn standing(&self, target: &TargetName) -> Result<Vec<Standing>, StoreError> {
        let done = || {
            task::Entity::find()
                .join(JoinType::InnerJoin, of_deployment())
                .filter(task::Column::Target.eq(target.as_str()))
                .filter(task::Column::Status.eq("succeeded"))
        };
        let heads: Vec<(String, i64)> = done()
            .select_only()
            .column(task::Column::Step)
            .column_as(deployment::Column::Seq.max(), "head")
            .group_by(deployment::Column::Project)
            .group_by(deployment::Column::Environment)
            .group_by(task::Column::Step)
            .into_tuple()
            .all(self.db())
            .await?;
        let mut steps_at: HashMap<i64, Vec<String>> = HashMap::new();
        for (step, head) in heads {
            steps_at.entry(head).or_default().push(step);
        }
        let rows = done()
            .filter(deployment::Column::Seq.is_in(steps_at.keys().copied()))
            .select_also(deployment::Entity)
            .all(self.db())
            .await?;
        let mut standing = Vec::new();
        for (task, deployment) in rows {
            let Some(deployment) = deployment else { continue };
            if steps_at.get(&deployment.seq).is_some_and(|steps| steps.contains(&task.step)) {
                standing.extend(read(&task, &deployment)?);
            }
        }
        standing.sort_by(|a, b| (&a.project, &a.environment, &a.step).cmp(&(&b.project, &b.environment, &b.step)));
        Ok(standing)
    }
}

/// None for names that no rule of today takes.
fn read(task: &task::Model, deployment: &deployment::Model) -> Result<Option<Standing>, StoreError> {
    let names = (|| {
        Some((
            ProjectName::new(deployment.project.clone()).ok()?,
            EnvironmentName::new(deployment.environment.clone()).ok()?,
            StepName::new(task.step.clone()).ok()?,
            deployment.id.parse().ok()?,
        ))
    })();
    let Some((project, environment, step, id)) = names else { return Ok(None) };
    let view = from_json(|| format!("task {}@{} of {}", task.step, task.target, task.deployment), &task.view)?;
    Ok(Some(Standing { project, environment, step, deployment: id, version: deployment.version.clone(), view }))
}
