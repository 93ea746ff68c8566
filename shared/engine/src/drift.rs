//! In what a target differs from what was deployed there.

use std::collections::BTreeMap;

use slipway_domain::{
    api::{Drift, DriftKind},
    id::DeploymentId,
    inspection::{Found, FoundLife, Place},
    name::{EnvironmentName, ProjectName, StepName, TargetName},
};

/// As often the engine may have started a container again since it was made.
pub const RESTARTS: u64 = 5;

/// A container that a deployment left running, by what its task gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
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
    /// The container's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What of it can be changed later, as it was; without what is not known.
    pub settings: BTreeMap<String, String>,
}

/// Compares what was deployed to a target with what was found there. `busy` says where something is being changed at
/// the moment, so that nothing can be said.
pub fn compare(
    target: &TargetName,
    expected: &[Expected],
    found: &[Found],
    busy: impl Fn(&Place) -> bool,
) -> Vec<Drift> {
    let busy = |project: &ProjectName, environment: &EnvironmentName, step: &StepName| {
        busy(&(project.clone(), environment.clone(), step.clone(), target.clone()))
    };
    let runs: Vec<&Found> = found.iter().filter(|found| found.kind == "run").collect();
    let mut drift = Vec::new();
    let mut stand_in = Vec::new();
    for one in expected.iter().filter(|one| !busy(&one.project, &one.environment, &one.step)) {
        let there = runs.iter().find(|found| found.id == one.id);
        let told = match there {
            Some(found) => changes(one, found),
            None => match runs.iter().find(|other| other.life.is_live() && stands_for(other, one, expected)) {
                Some(other) => {
                    stand_in.push(other.id.clone());
                    let (name, image) = (&other.name, &other.image);
                    let detail = format!("{} was replaced by another container, {name} of image {image}", one.name);
                    vec![(DriftKind::Replaced, detail)]
                }
                None => vec![(DriftKind::Gone, format!("{} is not there any more", one.name))],
            },
        };
        drift.extend(told.into_iter().map(|(kind, detail)| Drift {
            target: target.clone(),
            project: one.project.clone(),
            environment: one.environment.clone(),
            step: one.step.clone(),
            deployment: one.deployment,
            version: one.version.clone(),
            container: one.name.clone(),
            kind,
            detail,
        }));
    }
    let strays = runs.into_iter().filter(|found| {
        found.life.is_live()
            && !busy(&found.project, &found.environment, &found.step)
            && !stand_in.contains(&found.id)
            && !expected.iter().any(|one| one.id == found.id)
    });
    drift.extend(strays.map(|found| stray(target, found)));
    drift
}

/// Whether a container has the labels of an expected one's place and deployment, and is itself expected by nobody.
fn stands_for(found: &Found, one: &Expected, expected: &[Expected]) -> bool {
    (&found.project, &found.environment, &found.step) == (&one.project, &one.environment, &one.step)
        && found.deployment == one.deployment
        && !expected.iter().any(|other| other.id == found.id)
}

fn changes(one: &Expected, found: &Found) -> Vec<(DriftKind, String)> {
    let name = &one.name;
    let mut told = Vec::new();
    match &found.life {
        FoundLife::Running => {}
        FoundLife::Restarting => told.push((DriftKind::Restarting, format!("{name} ends again and again"))),
        FoundLife::Paused => told.push((DriftKind::Stopped, format!("{name} is paused"))),
        FoundLife::Created => told.push((DriftKind::Stopped, format!("{name} was never started"))),
        FoundLife::Ended(code) => {
            told.push((DriftKind::Stopped, format!("{name} does not run; it ended with exit code {code}")));
        }
    }
    if found.restarts > RESTARTS && found.life == FoundLife::Running {
        let times = found.restarts;
        told.push((DriftKind::Restarting, format!("{name} had to be started again {times} times since it was made")));
    }
    if found.health.as_deref() == Some("unhealthy") && found.life == FoundLife::Running {
        told.push((DriftKind::Unhealthy, format!("the HEALTHCHECK of {name} fails")));
    }
    let differs = |(what, was): (&String, &String)| {
        let is = found.settings.get(what).filter(|is| *is != was)?;
        Some(format!("{what} was {}, is {}", shown(was), shown(is)))
    };
    let differences: Vec<_> = one.settings.iter().filter_map(differs).collect();
    if !differences.is_empty() {
        told.push((DriftKind::Changed, format!("{name} was changed by hand: {}", differences.join("; "))));
    }
    told
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}

fn stray(target: &TargetName, found: &Found) -> Drift {
    Drift {
        target: target.clone(),
        project: found.project.clone(),
        environment: found.environment.clone(),
        step: found.step.clone(),
        deployment: found.deployment,
        version: found.release.clone(),
        container: found.name.clone(),
        kind: DriftKind::Stray,
        detail: format!(
            "{} of release {} runs, though it is not what was deployed last, or its step is no more",
            found.name, found.release
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expected(id: &str) -> Expected {
        Expected {
            project: "shop".parse().unwrap(),
            environment: "staging".parse().unwrap(),
            step: "web".parse().unwrap(),
            deployment: DeploymentId::derive(&["a"]),
            version: "1.0.0".into(),
            id: id.into(),
            name: "shop-web".into(),
            settings: [("memory", "0"), ("networks", "bridge")].map(|(k, v)| (k.into(), v.into())).into(),
        }
    }

    fn found(id: &str, change: serde_json::Value) -> Found {
        let mut found = json!({
            "id": id, "name": "shop-web", "kind": "run", "project": "shop", "environment": "staging", "release": "1.0.0",
            "deployment": DeploymentId::derive(&["a"]), "step": "web", "life": "running", "image": "r/shop/web@sha256:0",
            "settings": {"memory": "0", "networks": "bridge", "name": "shop-web"},
        });
        for (key, value) in change.as_object().unwrap() {
            found[key] = value.clone();
        }
        serde_json::from_value(found).unwrap()
    }

    fn check(found: &[Found], kinds: &[(DriftKind, &str)]) {
        let target = "web-01".parse().unwrap();
        let told = compare(&target, &[expected("1a")], found, |_| false);
        let told: Vec<_> = told.iter().map(|drift| (drift.kind, drift.detail.as_str())).collect();
        assert_eq!(told, kinds);
        let here = |place: &Place| place.0.as_str() == "shop" && place.2.as_str() == "web" && place.3 == target;
        assert_eq!(compare(&target, &[expected("1a")], found, here), []);
    }

    #[test]
    fn what_is_as_it_was_is_no_drift() {
        check(&[found("1a", json!({}))], &[]);
        check(&[found("1a", json!({"health": "healthy", "restarts": RESTARTS}))], &[]);
        // What has ended, or was kept to be brought back, disturbs nobody.
        check(
            &[found("1a", json!({})), found("2b", json!({"kind": "job"})), found("3c", json!({"life": {"ended": 0}}))],
            &[],
        );
    }

    #[test]
    fn every_way_to_differ_is_told() {
        check(&[], &[(DriftKind::Gone, "shop-web is not there any more")]);
        let ended = found("1a", json!({"life": {"ended": 137}}));
        check(&[ended], &[(DriftKind::Stopped, "shop-web does not run; it ended with exit code 137")]);
        check(&[found("1a", json!({"life": "paused"}))], &[(DriftKind::Stopped, "shop-web is paused")]);
        check(&[found("1a", json!({"life": "created"}))], &[(DriftKind::Stopped, "shop-web was never started")]);
        check(
            &[found("1a", json!({"life": "restarting"}))],
            &[(DriftKind::Restarting, "shop-web ends again and again")],
        );
        let restarted = found("1a", json!({"restarts": RESTARTS + 1}));
        check(&[restarted], &[(DriftKind::Restarting, "shop-web had to be started again 6 times since it was made")]);
        let unhealthy = found("1a", json!({"health": "unhealthy"}));
        check(&[unhealthy], &[(DriftKind::Unhealthy, "the HEALTHCHECK of shop-web fails")]);
        let changed = found("1a", json!({"settings": {"memory": "64", "networks": ""}}));
        let words = "shop-web was changed by hand: memory was 0, is 64; networks was bridge, is none";
        check(&[changed], &[(DriftKind::Changed, words)]);
    }

    #[test]
    fn a_container_in_its_place_is_told_once() {
        let other = found("2b", json!({"name": "shop-web", "image": "shop/web:latest"}));
        let words = "shop-web was replaced by another container, shop-web of image shop/web:latest";
        check(&[other], &[(DriftKind::Replaced, words)]);
        // Of another deployment it is a stray, and the expected one is gone.
        let stray = found("2b", json!({"deployment": DeploymentId::derive(&["b"]), "release": "0.9"}));
        check(
            &[stray],
            &[
                (DriftKind::Gone, "shop-web is not there any more"),
                (
                    DriftKind::Stray,
                    "shop-web of release 0.9 runs, though it is not what was deployed last, or its step is no more",
                ),
            ],
        );
    }
}
