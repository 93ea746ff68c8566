//! The one transaction that turns folded messages into rows: views of the deployments that they
//! touched, archive rows, audit entries and the offset, all or none.

use std::collections::BTreeMap;

use slipway_domain::{
    api::{DeploymentSummary, DeploymentView, StepView, TaskView},
    event::Recorded,
    image::ImageRef,
    name::{PackageName, StepName},
    release::LeftOutTarget,
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
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) variables: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<LeftOutTarget>,
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
                variables: after.variables.clone(),
                left_out: after.left_out.clone(),
                plan_digest: after.plan_digest.clone(),
                problems: after.problems.clone(),
            },
            steps: Vec::new(),
            tasks: Vec::new(),
        };
        for (position, step) in after.steps.iter().enumerate() {
            let old = before.and_then(|view| same(&view.steps, position, |old| old.name == step.name));
            if !old.is_some_and(|old| is_same_but_for_tasks(old, step)) {
                change.steps.push((position, without_tasks(step)));
            }
            for (position, task) in step.tasks.iter().enumerate() {
                let old = old.and_then(|old| same(&old.tasks, position, |old| old.target == task.target));
                if old != Some(task) {
                    change.tasks.push((step.name.clone(), position, task.clone()));
                }
            }
        }
        change
    }
}

/// The one that is meant: at its place, where it nearly always is, or elsewhere.
fn same<T>(list: &[T], position: usize, is: impl Fn(&T) -> bool) -> Option<&T> {
    list.get(position).filter(|item| is(item)).or_else(|| list.iter().find(|item| is(item)))
}

fn is_same_but_for_tasks(a: &StepView, b: &StepView) -> bool {
    let StepView { name, kind, part_of, needs, rank, tasks: _, gate, skipped } = a;
    (name, kind, part_of, needs, rank, gate, skipped)
        == (&b.name, &b.kind, &b.part_of, &b.needs, &b.rank, &b.gate, &b.skipped)
}

fn without_tasks(step: &StepView) -> StepView {
    let StepView { name, kind, part_of, needs, rank, tasks: _, gate, skipped } = step;
    StepView {
        name: name.clone(),
        kind: kind.clone(),
        part_of: part_of.clone(),
        needs: needs.clone(),
        rank: *rank,
        tasks: Vec::new(),
        gate: gate.clone(),
        skipped: skipped.clone(),
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
        deployments::write(tx, &batch.changes).await?;
        for entry in &batch.audits {
            audit::write(tx, entry).await?;
        }
        before_commit();
        writing.commit().await?;
        Ok(Projected::Stored)
    }
}
