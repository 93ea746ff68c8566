//! From a release and the world to a [`Request`]: everything that a deployment needs, by value.

mod downgrade;
mod prompts;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use slipway_domain::{
    event::Actor,
    id::DeploymentId,
    manifest::{Action, Approval, GuidedFailure, Scope, Step, Variable},
    name::{ChannelName, EnvironmentName, SecretName, StepName, TargetName, TeamName},
    release::{Ignores, Mode, RULES_VERSION, ReleaseSnapshot, Request, Retries},
    secret::SecretRef,
};

use crate::{app::App, operations::progression, problem::Problem, world::World};

/// What was asked for, and by whom.
pub struct Asked {
    /// The deployment's id.
    pub id: DeploymentId,
    /// Where to.
    pub environment: EnvironmentName,
    /// Who asks.
    pub by: Actor,
    /// The digest of what was asked.
    pub body_digest: String,
    /// What else was said.
    pub options: Options,
}

/// What a person may say about one deployment.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Steps to leave out.
    pub skip: Vec<StepName>,
    /// Start no earlier.
    pub at: Option<DateTime<Utc>>,
    /// Ask about failed tasks, whatever project and environment say.
    pub guided_failure: bool,
    /// Freezes that do not count.
    pub ignores: Option<Ignores>,
    /// What an earlier deployment did.
    pub retries: Option<Retries>,
    /// The targets that it is for; all without.
    pub targets: Vec<TargetName>,
    /// Values of variables that have a `prompt`.
    pub values: BTreeMap<String, String>,
}

/// Builds the request.
pub async fn build(app: &App, world: &World, release: ReleaseSnapshot, asked: Asked) -> Result<Request, Problem> {
    let known: BTreeMap<SecretName, SecretRef> = app
        .store
        .secrets()
        .await?
        .into_iter()
        .map(|view| (view.name.clone(), SecretRef { name: view.name, version: view.version }))
        .collect();
    let current = progression::current(app, &release.project, &asked.environment).await?;
    let policy = world.environments.get(&asked.environment).map(|environment| environment.unavailable);
    let mut request = assemble(world, &known, current, release, asked)?;
    targets::available(app, policy.unwrap_or_default(), &mut request).await?;
    Ok(request)
}

fn assemble(
    world: &World,
    known: &BTreeMap<SecretName, SecretRef>,
    current: Option<String>,
    mut release: ReleaseSnapshot,
    asked: Asked,
) -> Result<Request, Problem> {
    prompts::answer(&mut release, &asked.environment, &asked.options.values)?;
    let mut wanted: BTreeSet<SecretName> = release
        .definitions()
        .map(|(variable, _)| variable)
        .filter(|variable| may_hold(variable, &asked.environment, &release.channel))
        .filter_map(|variable| variable.secret.clone())
        .collect();
    // A password that was changed since the release was made is taken as it is now.
    for package in release.packages.values_mut() {
        if let Some(credentials) = &mut package.credentials {
            wanted.insert(credentials.password.name.clone());
            if let Some(newest) = known.get(&credentials.password.name) {
                credentials.password = newest.clone();
            }
        }
    }
    let missing: Vec<&str> =
        wanted.iter().filter(|name| !known.contains_key(*name)).map(|name| name.as_str()).collect();
    if let Some(first) = missing.first() {
        return Err(Problem::unprocessable(
            "unknown-secret",
            format!(
                "the deployment needs secrets that have no value: {}; `slipway secret set {first}`",
                missing.join(", ")
            ),
        ));
    }
    let environment = world.environments.get(&asked.environment);
    let mode = Mode::of(current.as_deref(), &release.version);
    if mode == Mode::Rollback {
        downgrade::allow(environment, &mut release, current.as_deref())?;
    }
    let project = world.projects.get(&release.project);
    let guided_failure = environment
        .and_then(|e| e.guided_failure.clone())
        .or_else(|| project.and_then(|p| p.guided_failure.clone()))
        .or_else(|| asked.options.guided_failure.then(GuidedFailure::default));
    Ok(Request {
        id: asked.id,
        targets: targets::of(world, &asked.environment, &asked.options.targets)?,
        left_out: Vec::new(),
        only: asked.options.targets,
        secrets: wanted.iter().filter_map(|name| known.get(name).cloned()).collect(),
        teams: teams(world, &release, guided_failure.as_ref())?,
        queue: environment.map(|e| e.queue).unwrap_or_default(),
        guided_failure,
        timeout: project.and_then(|p| p.timeout),
        skip: asked.options.skip,
        not_before: asked.options.at,
        ignores: asked.options.ignores,
        mode,
        previous: current,
        retries: asked.options.retries,
        values: asked.options.values,
        environment: asked.environment,
        release,
        requested_by: asked.by,
        body_digest: asked.body_digest,
        rules_version: RULES_VERSION,
    })
}

/// Whether a variable can be of use in a deployment of this release to this environment.
fn may_hold(variable: &Variable, environment: &EnvironmentName, channel: &ChannelName) -> bool {
    let Scope { environment: environments, channel: channels, .. } = &variable.scope;
    environments.as_ref().is_none_or(|names| names.contains(environment))
        && channels.as_ref().is_none_or(|names| names.contains(channel))
}

/// The approvals that a step has: its own, or the look at its canary.
pub fn asked_by(step: &Step) -> Option<&Approval> {
    match &step.action {
        Action::Approval(approval) => Some(approval),
        _ => step.rolling.as_ref()?.then.as_ref().map(|then| &then.approval),
    }
}

/// The teams that approvals and guided failures name, with their members as they are now.
fn teams(
    world: &World,
    release: &ReleaseSnapshot,
    guided: Option<&GuidedFailure>,
) -> Result<BTreeMap<TeamName, Vec<slipway_domain::manifest::Member>>, Problem> {
    let mut teams = BTreeMap::new();
    let approvals = release.steps.iter().flat_map(|step| {
        let asked = asked_by(step).into_iter();
        asked.map(|approval| (format!("step `{}`", step.name), &approval.teams))
    });
    let guided = guided.map(|g| ("guided-failure".to_owned(), &g.teams));
    for (who, names) in approvals.chain(guided) {
        for name in names {
            let team = world.teams.get(name).ok_or_else(|| {
                Problem::unprocessable(
                    "unknown-manifest",
                    format!("{who} asks team `{name}`, which is not there; apply its manifest first"),
                )
            })?;
            teams.insert(name.clone(), team.members.clone());
        }
    }
    Ok(teams)
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use serde_json::json;
    use slipway_domain::{manifest::parse::parse_json, name::PersonName};

    use super::*;

    fn world() -> World {
        let manifests = [
            json!({"kind": "Environment", "name": "staging"}),
            json!({"kind": "Target", "name": "b", "environments": ["staging"], "docker": "unix:///b"}),
            json!({"kind": "Target", "name": "a", "environments": ["staging"], "docker": "unix:///a"}),
            json!({"kind": "Target", "name": "c", "environments": ["production"], "docker": "unix:///c"}),
            json!({"kind": "Team", "name": "ops", "members": ["ana"]}),
            json!({"kind": "Team", "name": "other", "members": ["ben"]}),
        ];
        World::of(manifests.iter().map(|m| parse_json(m).unwrap()))
    }

    fn release() -> ReleaseSnapshot {
        serde_json::from_value(json!({
            "project": "shop", "version": "1.0.0", "channel": "default", "created_at": Utc::now(),
            "packages": {"web": {
                "image": {"registry": "r", "repository": "w", "tag": "1.0.0", "digest": format!("sha256:{}", "0".repeat(64))},
                "credentials": {"username": "u", "password": {"name": "pull", "version": 1}}
            }},
            "steps": [{"name": "ask", "approval": {"teams": ["ops"]}}],
            "variables": [
                {"name": "A", "secret": "everywhere"},
                {"name": "B", "secret": "production-only", "scope": {"environment": "production"}}
            ],
            "variable_sets": [{"name": "mail", "variables": [
                {"name": "C", "secret": "of-a-set"},
                {"name": "D", "secret": "production-only", "scope": {"environment": "production"}}
            ]}]
        }))
        .unwrap()
    }

    fn asked() -> Asked {
        Asked {
            id: DeploymentId::derive(&["x"]),
            environment: EnvironmentName::new("staging").unwrap(),
            by: Actor::Person { name: PersonName::new("ana").unwrap(), via: "api".into() },
            body_digest: String::new(),
            options: Options::default(),
        }
    }

    fn secrets(names: &[(&str, u32)]) -> BTreeMap<SecretName, SecretRef> {
        names
            .iter()
            .map(|(name, version)| {
                let name = SecretName::new(*name).unwrap();
                (name.clone(), SecretRef { name, version: *version })
            })
            .collect()
    }

    #[test]
    fn a_request_takes_what_the_environment_needs_and_nothing_else() {
        let known = secrets(&[("everywhere", 3), ("of-a-set", 4), ("pull", 2), ("unused", 1)]);
        let request = assemble(&world(), &known, None, release(), asked()).unwrap();
        let targets: Vec<_> = request.targets.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(targets, ["a", "b"]);
        let secrets: Vec<_> = request.secrets.iter().map(|s| (s.name.as_str(), s.version)).collect();
        assert_eq!(secrets, [("everywhere", 3), ("of-a-set", 4), ("pull", 2)]);
        let credentials = request.release.packages.values().next().unwrap().credentials.clone().unwrap();
        assert_eq!(credentials.password.version, 2, "the password as it is now");
        assert_eq!(request.teams.len(), 1);
    }

    #[test]
    fn a_secret_without_a_value_is_refused_by_name() {
        let problem = assemble(&world(), &secrets(&[("pull", 1)]), None, release(), asked()).unwrap_err();
        assert_eq!(problem.code(), "unknown-secret");
        assert!(problem.detail().contains("everywhere"), "{problem}");
        assert!(!problem.detail().contains("production-only"), "{problem}");
    }
}
