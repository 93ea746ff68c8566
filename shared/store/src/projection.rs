//! The one transaction that turns folded messages into rows: views of the deployments that they
//! touched, archive rows, audit entries and the offset, all or none.

use std::collections::BTreeMap;

use sea_orm::EntityTrait;
use slipway_domain::{
    api::{DeploymentSummary, DeploymentView, StepView, TaskView},
    event::Recorded,
    image::ImageRef,
    name::{PackageName, StepName},
};

use crate::{Audit, Store, StoreError, archive, audit, deployments, offsets};

/// Messages that were folded together.
#[derive(Debug)]
pub struct Batch {
    /// The offset that the fold believes the rows to stand at.
    pub from: u64,
    /// The sequence that the rows stand at afterwards.
    pub to: u64,
    /// The messages between, for the archive.
    pub events: Vec<Recorded>,
    /// What they changed.
    pub changes: Vec<DeploymentChange>,
    /// The deeds of persons and triggers among them.
    pub audits: Vec<Audit>,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projected {
    /// The rows stand at `to`.
    Stored,
    /// The offset was elsewhere; nothing changed.
    Elsewhere(u64),
}

/// The rows of one deployment that a batch changes.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentChange {
    pub(crate) summary: DeploymentSummary,
    pub(crate) parts: Parts,
    pub(crate) steps: Vec<(usize, StepView)>,
    pub(crate) tasks: Vec<(StepName, usize, TaskView)>,
}

/// The parts of a view that belong to no step.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Parts {
    pub(crate) packages: BTreeMap<PackageName, ImageRef>,
    pub(crate) plan_digest: Option<String>,
    pub(crate) problems: Vec<String>,
}

impl DeploymentChange {
    /// The rows in which two views differ; all of them if there is no earlier view. Steps and tasks
    /// are frozen with the plan, so rows are never taken away.
    pub fn between(before: Option<&DeploymentView>, after: &DeploymentView) -> Self {
        let mut change = Self {
            summary: after.summary.clone(),
            parts: Parts {
                packages: after.packages.clone(),
                plan_digest: after.plan_digest.clone(),
                problems: after.problems.clone(),
            },
            steps: Vec::new(),
            tasks: Vec::new(),
        };
        for (position, step) in after.steps.iter().enumerate() {
            let old = before.and_then(|view| view.steps.iter().find(|s| s.name == step.name));
            let bare = StepView { tasks: Vec::new(), ..step.clone() };
            if old.map(|old| StepView { tasks: Vec::new(), ..old.clone() }).as_ref() != Some(&bare) {
                change.steps.push((position, bare));
            }
            for (position, task) in step.tasks.iter().enumerate() {
                let old = old.and_then(|old| old.tasks.iter().find(|t| t.target == task.target));
                if old != Some(task) {
                    change.tasks.push((step.name.clone(), position, task.clone()));
                }
            }
        }
        change
    }
}

impl Store {
    /// Writes a batch, unless the rows stand elsewhere than `batch.from`.
    pub async fn project(&self, batch: &Batch) -> Result<Projected, StoreError> {
        self.project_with(batch, || ()).await
    }

    /// As [`Store::project`]; `before_commit` is called when all is written and nothing of it is true yet.
    pub async fn project_with(&self, batch: &Batch, before_commit: impl FnOnce()) -> Result<Projected, StoreError> {
        let writing = self.write().await?;
        let tx = &writing.tx;
        if !offsets::advance(tx, offsets::DEPLOYMENTS, batch.from, batch.to).await? {
            return Ok(Projected::Elsewhere(offsets::read(tx, offsets::DEPLOYMENTS).await?));
        }
        archive::add(tx, &batch.events).await?;
        for change in &batch.changes {
            deployments::write(tx, change).await?;
        }
        for entry in &batch.audits {
            audit::write(tx, entry).await?;
        }
        before_commit();
        writing.commit().await?;
        Ok(Projected::Stored)
    }

    /// Drops all rows that came from the deployment log, so that the next fold builds them again.
    /// Audit entries stay.
    pub async fn forget_projection(&self) -> Result<(), StoreError> {
        let writing = self.write().await?;
        let tx = &writing.tx;
        deployments::deployment::Entity::delete_many().exec(tx).await?;
        deployments::step::Entity::delete_many().exec(tx).await?;
        deployments::task::Entity::delete_many().exec(tx).await?;
        archive::row::Entity::delete_many().exec(tx).await?;
        offsets::reset(tx, offsets::DEPLOYMENTS).await?;
        writing.commit().await
    }
}
