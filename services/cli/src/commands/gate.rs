//! `slipway approve`, `reject` and `guide`: what people say at gates.

use clap::Args;
use slipway_domain::{
    api::{CastVote, DeploymentView},
    event::Verdict,
    name::{StepName, TargetName},
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
    /// Approve though something is not as it was deployed: the code that the refusal told
    #[arg(long, value_name = "CODE")]
    drift: Option<String>,
}

/// What to do with a failed task.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Guidance {
    /// Try it again
    Retry,
    /// Go on as if it had succeeded
    Ignore,
    /// Go on without its target
    Exclude,
    /// Leave it failed
    Abort,
}

#[derive(Debug, Args)]
pub struct Guide {
    /// Deployment: its id, or the beginning of it
    deployment: String,
    /// Step with the failed task
    step: StepName,
    /// Target of the failed task
    target: TargetName,
    /// What to do
    guidance: Guidance,
    /// Why, for the others
    #[arg(long)]
    note: Option<String>,
}

impl Guide {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let verdict = match self.guidance {
            Guidance::Retry => Verdict::Retry,
            Guidance::Ignore => Verdict::Ignore,
            Guidance::Exclude => Verdict::Exclude,
            Guidance::Abort => Verdict::Reject,
        };
        let vote = Said { verdict, note: self.note, drift: None, target: Some(self.target) };
        say(shared, &self.deployment, &self.step, vote).await
    }
}

impl Vote {
    pub async fn run(self, shared: &Shared, verdict: Verdict) -> Result<()> {
        let vote = Said { verdict, note: self.note, drift: self.drift, target: None };
        say(shared, &self.deployment, &self.step, vote).await
    }
}

/// What a person says.
struct Said {
    verdict: Verdict,
    note: Option<String>,
    drift: Option<String>,
    target: Option<TargetName>,
}

async fn say(shared: &Shared, deployment: &str, step: &StepName, said: Said) -> Result<()> {
    let Said { verdict, note, drift, target } = said;
    let client = shared.client()?;
    let path = format!("/api/v1/deployments/{}", segment(deployment));
    // The vote is bound to the plan that is there now, so that it can not meet another one.
    let view: DeploymentView = client.get(&path).await?;
    let place = target.as_ref().map_or_else(|| step.to_string(), |target| format!("{step} on {target}"));
    let body = CastVote { verdict, note, plan: view.plan_digest.clone(), drift, target };
    let answer: serde_json::Value = client.post(&format!("{path}/gates/{step}"), &body).await?;
    shared.output.show(&answer, |_| {
        let word = match verdict {
            Verdict::Approve => "approved",
            Verdict::Reject => "rejected",
            Verdict::Retry => "will retry",
            Verdict::Ignore => "ignored the failure of",
            Verdict::Exclude => "excluded the target of",
        };
        let summary = &view.summary;
        let what = format!("{} {} to {}", summary.project, summary.version, summary.environment);
        format!("{word} {place} of {what} ({})\n", watch::short(summary.id))
    })
}
