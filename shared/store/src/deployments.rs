//! Deployments as rows: one per deployment, per step, and per task.

use std::collections::BTreeMap;

use sea_orm::{
    ActiveValue::Set, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*,
    sea_query::OnConflict,
};
use slipway_domain::{
    api::{DeploymentSummary, DeploymentView, StepView, TaskView},
    event::Outcome,
    id::DeploymentId,
    name::{EnvironmentName, ProjectName, StepName},
};

use crate::{
    Store, StoreError,
    error::{column, from_json, to_json},
    offsets,
    projection::{DeploymentChange, Parts},
};

/// Rows per insert; keeps the number of bound values below the limit of both databases.
const CHUNK: usize = 500;

/// Which deployments to list.
#[derive(Debug, Clone, Default)]
pub struct DeploymentFilter {
    /// Of this project.
    pub project: Option<ProjectName>,
    /// To this environment.
    pub environment: Option<EnvironmentName>,
    /// Of this release.
    pub version: Option<String>,
    /// That ended so.
    pub outcome: Option<Outcome>,
    /// At most that many.
    pub limit: u64,
}

/// The newest deployments of a project to an environment.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardRow {
    /// The newest.
    pub latest: DeploymentSummary,
    /// The newest that succeeded.
    pub current: Option<DeploymentSummary>,
}

/// A task with where it belongs.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Its deployment.
    pub deployment: DeploymentId,
    /// Its step.
    pub step: StepName,
    /// Itself.
    pub view: TaskView,
}

pub(crate) mod deployment {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "deployments")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub seq: i64,
        pub project: String,
        pub environment: String,
        pub version: String,
        pub status: String,
        pub outcome: Option<String>,
        /// Milliseconds since 1970.
        pub ended_at: Option<i64>,
        pub summary: String,
        pub parts: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod step {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "steps")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub deployment: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub step: String,
        pub position: i32,
        pub waiting: bool,
        pub view: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod task {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "tasks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub deployment: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub step: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub target: String,
        pub position: i32,
        pub status: String,
        pub view: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn summary(row: &deployment::Model) -> Result<DeploymentSummary, StoreError> {
    from_json(|| format!("deployment {}", row.id), &row.summary)
}

fn position(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

/// Whether a gate is open for people.
fn waits(step: &StepView, change: &DeploymentChange) -> bool {
    change.summary.outcome.is_none() && step.gate.as_ref().is_some_and(|g| g.opened.is_some() && g.decided.is_none())
}

/// Writes what changes say, each of another deployment.
pub(crate) async fn write(db: &impl ConnectionTrait, changes: &[DeploymentChange]) -> Result<(), StoreError> {
    for chunk in changes.chunks(CHUNK) {
        write_summaries(db, chunk).await?;
    }
    let ended = changes.iter().filter(|change| change.summary.outcome.is_some());
    let ended: Vec<String> = ended.map(|change| change.summary.id.to_string()).collect();
    for chunk in ended.chunks(CHUNK) {
        step::Entity::update_many()
            .col_expr(step::Column::Waiting, Expr::value(false))
            .filter(step::Column::Deployment.is_in(chunk))
            .filter(step::Column::Waiting.eq(true))
            .exec(db)
            .await?;
    }
    let steps: Vec<_> = changes.iter().flat_map(|change| change.steps.iter().map(move |step| (change, step))).collect();
    for chunk in steps.chunks(CHUNK) {
        write_steps(db, chunk).await?;
    }
    let tasks: Vec<_> = changes.iter().flat_map(|change| change.tasks.iter().map(move |task| (change, task))).collect();
    for chunk in tasks.chunks(CHUNK) {
        write_tasks(db, chunk).await?;
    }
    Ok(())
}

async fn write_steps(
    db: &impl ConnectionTrait,
    steps: &[(&DeploymentChange, &(usize, StepView))],
) -> Result<(), StoreError> {
    let rows = steps.iter().map(|(change, (index, view))| step::ActiveModel {
        deployment: Set(change.summary.id.to_string()),
        step: Set(view.name.to_string()),
        position: Set(position(*index)),
        waiting: Set(waits(view, change)),
        view: Set(to_json(view)),
    });
    step::Entity::insert_many(rows)
        .on_conflict(
            OnConflict::columns([step::Column::Deployment, step::Column::Step])
                .update_columns([step::Column::Position, step::Column::Waiting, step::Column::View])
                .to_owned(),
        )
        .exec_without_returning(db)
        .await?;
    Ok(())
}

async fn write_tasks(
    db: &impl ConnectionTrait,
    tasks: &[(&DeploymentChange, &(StepName, usize, TaskView))],
) -> Result<(), StoreError> {
    let rows = tasks.iter().map(|(change, (step, index, view))| task::ActiveModel {
        deployment: Set(change.summary.id.to_string()),
        step: Set(step.to_string()),
        target: Set(view.target.to_string()),
        position: Set(position(*index)),
        status: Set(view.status.as_str().to_owned()),
        view: Set(to_json(view)),
    });
    task::Entity::insert_many(rows)
        .on_conflict(
            OnConflict::columns([task::Column::Deployment, task::Column::Step, task::Column::Target])
                .update_columns([task::Column::Position, task::Column::Status, task::Column::View])
                .to_owned(),
        )
        .exec_without_returning(db)
        .await?;
    Ok(())
}

async fn write_summaries(db: &impl ConnectionTrait, changes: &[DeploymentChange]) -> Result<(), StoreError> {
    use deployment::Column;
    let rows = changes.iter().map(|change| {
        let s = &change.summary;
        deployment::ActiveModel {
            id: Set(s.id.to_string()),
            seq: Set(column(s.seq)),
            project: Set(s.project.to_string()),
            environment: Set(s.environment.to_string()),
            version: Set(s.version.clone()),
            status: Set(s.status.as_str().to_owned()),
            outcome: Set(s.outcome.map(|o| o.as_str().to_owned())),
            ended_at: Set(s.finished_at.map(|at| at.timestamp_millis())),
            summary: Set(to_json(s)),
            parts: Set(to_json(&change.parts)),
        }
    });
    deployment::Entity::insert_many(rows)
        .on_conflict(
            OnConflict::column(Column::Id)
                .update_columns([Column::Status, Column::Outcome, Column::EndedAt, Column::Summary, Column::Parts])
                .to_owned(),
        )
        .exec_without_returning(db)
        .await?;
    Ok(())
}

impl Store {
    /// Deployments, newest first.
    pub async fn deployments(&self, filter: &DeploymentFilter) -> Result<Vec<DeploymentSummary>, StoreError> {
        use deployment::Column;
        let mut query = deployment::Entity::find();
        if let Some(project) = &filter.project {
            query = query.filter(Column::Project.eq(project.as_str()));
        }
        if let Some(environment) = &filter.environment {
            query = query.filter(Column::Environment.eq(environment.as_str()));
        }
        if let Some(version) = &filter.version {
            query = query.filter(Column::Version.eq(version));
        }
        if let Some(outcome) = &filter.outcome {
            query = query.filter(Column::Outcome.eq(outcome.as_str()));
        }
        let rows = query.order_by_desc(Column::Seq).limit(filter.limit).all(self.db()).await?;
        rows.iter().map(summary).collect()
    }

    /// One deployment with its steps and tasks.
    pub async fn deployment(&self, id: DeploymentId) -> Result<Option<DeploymentView>, StoreError> {
        let key = id.to_string();
        let at_seq = offsets::read(self.db(), offsets::DEPLOYMENTS).await?;
        let Some(row) = deployment::Entity::find_by_id(&key).one(self.db()).await? else { return Ok(None) };
        let parts: Parts = from_json(|| format!("deployment {key}"), &row.parts)?;
        let mut tasks: BTreeMap<StepName, Vec<TaskView>> = BTreeMap::new();
        for task in self.tasks_of(&[id]).await? {
            tasks.entry(task.step).or_default().push(task.view);
        }
        let steps = step::Entity::find()
            .filter(step::Column::Deployment.eq(&key))
            .order_by_asc(step::Column::Position)
            .all(self.db())
            .await?;
        let steps = steps
            .iter()
            .map(|row| {
                let mut view: StepView = from_json(|| format!("step {} of {key}", row.step), &row.view)?;
                view.tasks = tasks.remove(&view.name).unwrap_or_default();
                Ok(view)
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Some(DeploymentView {
            summary: summary(&row)?,
            at_seq,
            packages: parts.packages,
            variables: parts.variables,
            left_out: parts.left_out,
            plan_digest: parts.plan_digest,
            problems: parts.problems,
            steps,
        }))
    }

    /// The ids that begin with a text, at most `limit`.
    pub async fn deployments_like(&self, prefix: &str, limit: u64) -> Result<Vec<DeploymentId>, StoreError> {
        if !prefix.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
            return Ok(Vec::new());
        }
        let rows = deployment::Entity::find()
            .filter(deployment::Column::Id.starts_with(prefix))
            .order_by_asc(deployment::Column::Id)
            .limit(limit)
            .all(self.db())
            .await?;
        Ok(rows.iter().filter_map(|row| row.id.parse().ok()).collect())
    }

    /// The tasks of deployments, in plan order.
    pub async fn tasks_of(&self, deployments: &[DeploymentId]) -> Result<Vec<TaskRow>, StoreError> {
        let rows = task::Entity::find()
            .filter(task::Column::Deployment.is_in(deployments.iter().map(ToString::to_string)))
            .order_by_asc(task::Column::Deployment)
            .order_by_asc(task::Column::Step)
            .order_by_asc(task::Column::Position)
            .all(self.db())
            .await?;
        rows.into_iter()
            .filter_map(|row| {
                let (deployment, step) = (row.deployment.parse().ok()?, StepName::new(row.step.clone()).ok()?);
                let view = from_json(|| format!("task {}@{} of {}", row.step, row.target, row.deployment), &row.view);
                Some(view.map(|view| TaskRow { deployment, step, view }))
            })
            .collect()
    }

    /// The steps whose gates wait for people, over all deployments.
    pub async fn waiting_gates(&self) -> Result<Vec<(DeploymentId, StepName)>, StoreError> {
        let rows = step::Entity::find()
            .filter(step::Column::Waiting.eq(true))
            .order_by_asc(step::Column::Deployment)
            .order_by_asc(step::Column::Position)
            .all(self.db())
            .await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| Some((row.deployment.parse().ok()?, StepName::new(row.step).ok()?)))
            .collect())
    }

    /// Per project and environment: the newest deployment and the newest that succeeded.
    pub async fn board(&self) -> Result<Vec<BoardRow>, StoreError> {
        let latest = self.newest_by_lane(None).await?;
        let mut current: BTreeMap<(ProjectName, EnvironmentName), DeploymentSummary> = self
            .newest_by_lane(Some(Outcome::Succeeded))
            .await?
            .into_iter()
            .map(|s| ((s.project.clone(), s.environment.clone()), s))
            .collect();
        Ok(latest
            .into_iter()
            .map(|latest| {
                let current = current.remove(&(latest.project.clone(), latest.environment.clone()));
                BoardRow { latest, current }
            })
            .collect())
    }

    async fn newest_by_lane(&self, outcome: Option<Outcome>) -> Result<Vec<DeploymentSummary>, StoreError> {
        use deployment::Column;
        let mut heads = deployment::Entity::find().select_only().column_as(Column::Seq.max(), "head");
        if let Some(outcome) = outcome {
            heads = heads.filter(Column::Outcome.eq(outcome.as_str()));
        }
        let heads: Vec<i64> =
            heads.group_by(Column::Project).group_by(Column::Environment).into_tuple().all(self.db()).await?;
        let rows = deployment::Entity::find()
            .filter(Column::Seq.is_in(heads))
            .order_by_asc(Column::Project)
            .order_by_asc(Column::Environment)
            .all(self.db())
            .await?;
        rows.iter().map(summary).collect()
    }
}
