//! `slipway drift`: what is no more as it was deployed.

use clap::Args;
use slipway_domain::{
    api::DriftReport,
    name::{EnvironmentName, ProjectName, TargetName},
};

use super::Shared;
use crate::{
    failure::{Failure, Result},
    output,
};

#[derive(Debug, Args)]
pub struct Drift {
    /// Only containers of this project
    #[arg(long)]
    project: Option<ProjectName>,
    /// Only in this environment
    #[arg(long)]
    environment: Option<EnvironmentName>,
    /// Only on this target
    #[arg(long)]
    target: Option<TargetName>,
}

impl Drift {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let client = shared.client()?;
        let text = |name: &str, value: Option<String>| value.map(|value| (name.to_owned(), value));
        let query: Vec<_> = [
            text("project", self.project.map(|name| name.to_string())),
            text("environment", self.environment.map(|name| name.to_string())),
            text("target", self.target.map(|name| name.to_string())),
        ]
        .into_iter()
        .flatten()
        .collect();
        let report: DriftReport =
            client.json(client.request(reqwest::Method::GET, "/api/v1/drift").query(&query)).await?;
        for unseen in &report.unseen {
            output::complain(&format!("{} could not be looked at: {}\n", unseen.target, unseen.reason));
        }
        shared.output.show(&report, |_| shown(&report))?;
        match report.drift.len() {
            0 => Ok(()),
            1 => Err(Failure::failed("one thing is not as it was deployed; `slipway deploy` deploys it again")),
            many => Err(Failure::failed(format!(
                "{many} things are not as they were deployed; `slipway deploy` deploys them again"
            ))),
        }
    }
}

fn shown(report: &DriftReport) -> String {
    if report.drift.is_empty() {
        return format!("{} targets looked at, all is as it was deployed\n", report.looked_at);
    }
    let rows = report.drift.iter().map(|drift| {
        vec![
            drift.target.to_string(),
            drift.project.to_string(),
            drift.environment.to_string(),
            drift.step.to_string(),
            drift.version.clone(),
            drift.kind.as_str().to_owned(),
            drift.detail.clone(),
        ]
    });
    output::table(&["target", "project", "environment", "step", "release", "drift", "what"], rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_differs_where() {
        let mut report: DriftReport = serde_json::from_value(serde_json::json!({"looked_at": 3, "drift": [{
            "target": "web-01", "project": "shop", "environment": "staging", "step": "web", "version": "1.0.0",
            "deployment": "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", "container": "shop-web", "kind": "gone",
            "detail": "shop-web is not there any more"}]}))
        .unwrap();
        assert_eq!(
            shown(&report),
            "TARGET  PROJECT  ENVIRONMENT  STEP  RELEASE  DRIFT  WHAT\n\
             web-01  shop     staging      web   1.0.0    gone   shop-web is not there any more\n"
        );
        report.drift.clear();
        assert_eq!(shown(&report), "3 targets looked at, all is as it was deployed\n");
    }
}
