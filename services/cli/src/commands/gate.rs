//! `slipway approve` and `slipway reject`: votes at gates.

use clap::Args;
use slipway_domain::{
    api::{CastVote, DeploymentView},
    event::Verdict,
    name::StepName,
};

use super::Shared;
use crate::{client::segment, failure::Result, watch};

#[derive(Debug, Args)]
pub struct Vote {
    /// Deployment: its id, or the beginning of it
    deployment: String,
    /// Step whose gate waits
    step: StepName,
    /// Why, for the others
    #[arg(long)]
    note: Option<String>,
}

impl Vote {
    pub async fn run(self, shared: &Shared, verdict: Verdict) -> Result<()> {
        let client = shared.client()?;
        let path = format!("/api/v1/deployments/{}", segment(&self.deployment));
        // The vote is bound to the plan that is there now, so that it can not meet another one.
        let view: DeploymentView = client.get(&path).await?;
        let body = CastVote { verdict, note: self.note, plan: view.plan_digest.clone() };
        let answer: serde_json::Value = client.post(&format!("{path}/gates/{}", self.step), &body).await?;
        shared.output.show(&answer, |_| {
            let word = match verdict {
                Verdict::Approve => "approved",
                Verdict::Reject => "rejected",
            };
            format!(
                "{word} {} of {} {} to {} ({})\n",
                self.step,
                view.summary.project,
                view.summary.version,
                view.summary.environment,
                watch::short(view.summary.id)
            )
        })
    }
}
