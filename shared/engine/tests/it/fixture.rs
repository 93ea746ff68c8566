//! Requests from short manifests.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    event::Actor,
    id::DeploymentId,
    image::{Digest, ImageRef},
    manifest::{Manifest, Project, parse::parse},
    name::PackageName,
    release::{Package, RULES_VERSION, ReleaseSnapshot, Request, TargetSnapshot},
    secret::SecretRef,
};

/// Noon of some day; time in tests is this plus seconds.
pub fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

/// Seconds after noon.
pub fn at(seconds: i64) -> DateTime<Utc> {
    noon() + TimeDelta::seconds(seconds)
}

pub fn digest() -> Digest {
    Digest::new(format!("sha256:{}", "a".repeat(64))).unwrap()
}

/// A project from the YAML of its steps and variables.
pub fn project(body: &str) -> Project {
    let text = format!(
        "kind: Project\nname: shop\nlifecycle: standard\npackages: {{web: {{feed: local, image: shop/web}}}}\n{body}"
    );
    match parse(None, &text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}")).remove(0) {
        Manifest::Project(project) => *project,
        other => panic!("{other:?}"),
    }
}

/// Targets `web-01`, `web-02`, … of role web, each with its own engine.
pub fn targets(count: usize, parallelism: u32) -> Vec<TargetSnapshot> {
    (1..=count)
        .map(|i| TargetSnapshot {
            name: format!("web-{i:02}").parse().unwrap(),
            roles: vec!["web".parse().unwrap()],
            docker: format!("unix:///run/web-{i:02}.sock"),
            tls: None,
            parallelism,
        })
        .collect()
}

/// A request to `production` for a project's body, with these targets.
pub fn request(name: &str, body: &str, targets: Vec<TargetSnapshot>) -> Request {
    let project = project(body);
    let image = ImageRef { registry: "r".into(), repository: "shop/web".into(), tag: "1.0.0".into(), digest: digest() };
    let package = Package { image, credentials: None, platforms: Vec::new() };
    Request {
        id: DeploymentId::derive(&[name]),
        environment: "production".parse().unwrap(),
        release: ReleaseSnapshot {
            project: project.name.clone(),
            version: "1.0.0".into(),
            channel: "default".parse().unwrap(),
            packages: BTreeMap::from([(PackageName::new("web").unwrap(), package)]),
            steps: project.steps,
            variables: project.variables,
            created_at: noon(),
            variable_sets: Vec::new(),
            notes: None,
        },
        targets,
        secrets: vec![SecretRef { name: "db".parse().unwrap(), version: 3 }],
        teams: BTreeMap::from([(
            "ops".parse().unwrap(),
            vec![
                slipway_domain::manifest::Member::Person("ana".parse().unwrap()),
                slipway_domain::manifest::Member::Person("ben".parse().unwrap()),
            ],
        )]),
        requested_by: person("ana"),
        body_digest: "x".into(),
        rules_version: RULES_VERSION,
        skip: Vec::new(),
        not_before: None,
        ignores: None,
        timeout: project.timeout,
        queue: Default::default(),
        guided_failure: project.guided_failure,
        mode: Default::default(),
        previous: None,
        retries: None,
        values: BTreeMap::new(),
        left_out: Vec::new(),
        only: Vec::new(),
    }
}

pub fn person(name: &str) -> Actor {
    Actor::Person { name: name.parse().unwrap(), via: "api".into() }
}
