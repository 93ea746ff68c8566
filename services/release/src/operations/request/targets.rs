//! The targets that a deployment goes to: those of its environment, or those that were named, and of these the ones
//! that can be deployed to, if the environment asks for that.

use slipway_domain::{
    api::DriftReport,
    manifest::Unavailable,
    name::{EnvironmentName, TargetName},
    release::{LeftOutTarget, Request, TargetSnapshot},
    text::did_you_mean,
};

use crate::{app::App, operations::inspections, problem::Problem, world::World};

/// The targets of the environment, or those of them that were named.
pub fn of(world: &World, environment: &EnvironmentName, only: &[TargetName]) -> Result<Vec<TargetSnapshot>, Problem> {
    if let Some(name) = only.iter().find(|name| !world.targets_of(environment).any(|target| target.name == **name)) {
        let known = world.targets_of(environment).map(|target| target.name.as_str());
        return Err(Problem::unprocessable(
            "unknown-target",
            format!("environment {environment} has no target `{name}`{}", did_you_mean(name.as_str(), known)),
        ));
    }
    let wanted = world.targets_of(environment).filter(|target| only.is_empty() || only.contains(&target.name));
    Ok(wanted
        .map(|target| TargetSnapshot {
            name: target.name.clone(),
            roles: target.roles.clone(),
            docker: target.docker.clone(),
            tls: target.tls.clone(),
            parallelism: target.parallelism,
        })
        .collect())
}

/// Leaves out the targets that can not be deployed to now, or refuses, as the environment says.
pub async fn available(app: &App, policy: Unavailable, request: &mut Request) -> Result<(), Problem> {
    if policy == Unavailable::Wait || request.targets.is_empty() {
        return Ok(());
    }
    let DriftReport { unseen, .. } = inspections::of_request(app, request, None).await?;
    if unseen.is_empty() {
        return Ok(());
    }
    let told: Vec<_> = unseen.iter().map(|unseen| format!("{}: {}", unseen.target, unseen.reason)).collect();
    let refused = |why: &str| Err(Problem::refusal("targets-unavailable", format!("{why}: {}", told.join("; "))));
    if policy == Unavailable::Refuse {
        return refused(&format!(
            "environment {} takes no deployment while targets can not be deployed to",
            request.environment
        ));
    }
    request.targets.retain(|target| !unseen.iter().any(|unseen| unseen.target == target.name));
    if request.targets.is_empty() {
        return refused(&format!("no target of environment {} can be deployed to", request.environment));
    }
    request.left_out =
        unseen.into_iter().map(|unseen| LeftOutTarget { target: unseen.target, reason: unseen.reason }).collect();
    Ok(())
}
