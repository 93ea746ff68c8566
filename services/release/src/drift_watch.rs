//! Looks every few minutes whether what runs is what was deployed, and says when that changes: in the log, in
//! metrics, on the board. Nothing is corrected.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use slipway_domain::{
    api::{Drift, DriftReport},
    name::{EnvironmentName, ProjectName},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::Shared,
    operations::inspections::{self, Filter},
};

/// What was seen last.
#[derive(Debug, Default)]
pub struct Watched(Mutex<Arc<DriftReport>>);

impl Watched {
    /// The drift of a project in an environment, for people.
    pub fn of(&self, project: &ProjectName, environment: &EnvironmentName) -> Vec<String> {
        let report = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let here = report.drift.iter().filter(|d| d.project == *project && d.environment == *environment);
        here.map(|drift| format!("on {}: {}", drift.target, drift.detail)).collect()
    }

    /// Takes in a report, and tells what is new in it.
    fn set(&self, report: DriftReport) {
        let before =
            std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), Arc::new(report.clone()));
        let has = |list: &[Drift], one: &Drift| list.contains(one);
        for drift in report.drift.iter().filter(|drift| !has(&before.drift, drift)) {
            let Drift { target, project, environment, step, kind, detail, .. } = drift;
            tracing::warn!(%target, %project, %environment, %step, kind = kind.as_str(), detail, "drift");
        }
        for drift in before.drift.iter().filter(|drift| !has(&report.drift, drift)) {
            let Drift { target, project, environment, step, kind, .. } = drift;
            tracing::info!(%target, %project, %environment, %step, kind = kind.as_str(), "no drift any more");
        }
        measure(&before, &report);
    }
}

/// One gauge per project and environment, also of those that have none any more.
fn measure(before: &DriftReport, now: &DriftReport) {
    let place = |drift: &Drift| (drift.project.to_string(), drift.environment.to_string());
    let places: BTreeSet<_> = before.drift.iter().chain(&now.drift).map(place).collect();
    let mut counts: BTreeMap<_, u32> = places.into_iter().map(|place| (place, 0)).collect();
    for drift in &now.drift {
        *counts.entry(place(drift)).or_default() += 1;
    }
    for ((project, environment), count) in counts {
        metrics::gauge!("slipway_drift", "project" => project, "environment" => environment).set(f64::from(count));
    }
    metrics::gauge!("slipway_targets_not_looked_at").set(now.unseen.len() as f64);
}

/// Looks again and again until the shutdown; never if no pause is set.
pub async fn run(app: Shared, shutdown: CancellationToken) {
    let Some(pause) = app.settings.drift_pause() else { return };
    let rounds = async {
        loop {
            tokio::time::sleep(pause).await;
            match inspections::drift(&app, &Filter::default(), None).await {
                Ok(report) => app.drift.set(report),
                Err(problem) => tracing::warn!(%problem, "drift is not looked for; tried again"),
            }
        }
    };
    shutdown.run_until_cancelled(rounds).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_last_is_told_by_project_and_environment() {
        let drift: Drift = serde_json::from_value(serde_json::json!({
            "target": "web-01", "project": "shop", "environment": "staging", "step": "web", "version": "1.0.0",
            "deployment": "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", "container": "shop-web", "kind": "gone",
            "detail": "shop-web is not there any more"}))
        .unwrap();
        let watched = Watched::default();
        let of = |environment: &str| watched.of(&"shop".parse().unwrap(), &environment.parse().unwrap());
        watched.set(DriftReport { drift: vec![drift], looked_at: 1, ..DriftReport::default() });
        assert_eq!(
            (of("staging"), of("production")),
            (vec!["on web-01: shop-web is not there any more".to_owned()], vec![])
        );
        watched.set(DriftReport::default());
        assert!(of("staging").is_empty());
    }
}
