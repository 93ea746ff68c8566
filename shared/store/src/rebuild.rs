//! Rows of deployments, written anew from the archive while everybody reads.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use slipway_domain::id::DeploymentId;

use crate::{
    DeploymentChange, Store, StoreError,
    deployments::{self, deployment, step, task},
    offsets,
};

impl Store {
    /// Writes all rows of these deployments anew; the offset stays. With `at`, only if the offset is there: false,
    /// and nothing is written, if not.
    pub async fn rewrite(&self, changes: &[DeploymentChange], at: Option<u64>) -> Result<bool, StoreError> {
        let writing = self.write().await?;
        if let Some(at) = at
            && !offsets::advance(&writing.tx, offsets::DEPLOYMENTS, at, at).await?
        {
            return Ok(false);
        }
        for change in changes {
            let id = change.summary.id.to_string();
            step::Entity::delete_many().filter(step::Column::Deployment.eq(&id)).exec(&writing.tx).await?;
            task::Entity::delete_many().filter(task::Column::Deployment.eq(&id)).exec(&writing.tx).await?;
        }
        deployments::write(&writing.tx, changes).await?;
        writing.commit().await?;
        Ok(true)
    }

    /// The rows of deployments that were requested by a sequence and that nobody knows, taken away; how many.
    pub async fn drop_unknown(&self, known: &BTreeSet<DeploymentId>, to: u64) -> Result<usize, StoreError> {
        let writing = self.write().await?;
        let tx = &writing.tx;
        let there: Vec<String> = deployment::Entity::find()
            .select_only()
            .column(deployment::Column::Id)
            .filter(deployment::Column::Seq.lte(crate::error::column(to)))
            .into_tuple()
            .all(tx)
            .await?;
        let unknown = |id: &&String| id.parse().map_or(true, |id: DeploymentId| !known.contains(&id));
        let unknown: Vec<_> = there.iter().filter(unknown).collect();
        for id in &unknown {
            deployment::Entity::delete_by_id((*id).clone()).exec(tx).await?;
            step::Entity::delete_many().filter(step::Column::Deployment.eq(id.as_str())).exec(tx).await?;
            task::Entity::delete_many().filter(task::Column::Deployment.eq(id.as_str())).exec(tx).await?;
        }
        writing.commit().await?;
        Ok(unknown.len())
    }
}
