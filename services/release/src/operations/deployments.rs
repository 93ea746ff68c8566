//! Deployments: requested, cancelled, found.

use slipway_bus::Appended;
use slipway_domain::{
    api::{Accepted, CreateDeployment},
    event::{Actor, Address, Entry, Outcome, PlanEvent},
    id::DeploymentId,
    release::Request,
    text::{did_you_mean, sha256_hex},
};
use slipway_engine::lifecycle;
use slipway_store::DeploymentFilter;
use uuid::Uuid;

use crate::{
    app::App,
    operations::{envelope, releases, request},
    problem::Problem,
    world::World,
};

/// How a repeated request meets its first.
#[derive(Debug, Clone)]
pub enum Idempotency {
    /// The client's key: the same person, project and key mean the same deployment.
    Key(String),
    /// The deployment's id follows from what triggered it.
    Derived(DeploymentId),
    /// Every request is another deployment.
    Fresh,
}

/// Shortest beginning of an id that is looked up.
const SHORTEST_PREFIX: usize = 4;
/// Longest idempotency key.
const LONGEST_KEY: usize = 255;

/// Requests a deployment. It is in the log when this returns.
pub async fn request(
    app: &App,
    body: CreateDeployment,
    actor: Actor,
    idempotency: Idempotency,
) -> Result<Accepted, Problem> {
    let id = id_of(&body, &actor, &idempotency)?;
    let body_digest = digest(&body);
    if !matches!(idempotency, Idempotency::Fresh)
        && let Some((seq, first)) =
            app.folded.read(|state| state.get(id).map(|d| (d.seq, d.request.body_digest.clone())))
    {
        return same(id, seq, &first, &body_digest);
    }
    let release = releases::get(app, &body.project, &body.version).await?.snapshot;
    let world = app.world().await?;
    allowed(app, &world, &body).await?;
    let asked = request::Asked { id, environment: body.environment, by: actor.clone(), body_digest };
    let request = request::build(app, &world, release, asked).await?;
    append(app, request, actor).await
}

fn id_of(body: &CreateDeployment, actor: &Actor, idempotency: &Idempotency) -> Result<DeploymentId, Problem> {
    match idempotency {
        Idempotency::Derived(id) => Ok(*id),
        Idempotency::Fresh => Ok(DeploymentId(Uuid::now_v7())),
        Idempotency::Key(key) if key.is_empty() || key.len() > LONGEST_KEY || key.chars().any(char::is_control) => {
            Err(Problem::invalid("invalid-idempotency-key", "an Idempotency-Key has 1 to 255 printable characters"))
        }
        Idempotency::Key(key) => {
            let who = serde_json::to_string(actor).expect("invariant: an actor has only string keys");
            Ok(DeploymentId::derive(&[&who, body.project.as_str(), key]))
        }
    }
}

/// What tells one request from another under the same id.
fn digest(body: &CreateDeployment) -> String {
    let json = serde_json::to_vec(body).expect("invariant: a request has only string keys");
    format!("sha256:{}", sha256_hex(&json))
}

fn same(id: DeploymentId, seq: u64, first: &str, second: &str) -> Result<Accepted, Problem> {
    if first == second {
        return Ok(Accepted { id, seq });
    }
    Err(Problem::refusal(
        "idempotency-conflict",
        format!("this Idempotency-Key already asked for deployment {id}, with another body; use another key"),
    ))
}

/// Whether the environment exists and the project's lifecycle lets the release go there now.
async fn allowed(app: &App, world: &World, body: &CreateDeployment) -> Result<(), Problem> {
    if !world.environments.contains_key(&body.environment) {
        let known = world.environments.keys().map(|name| name.as_str());
        return Err(Problem::not_found(
            "unknown-environment",
            format!("there is no environment `{}`{}", body.environment, did_you_mean(body.environment.as_str(), known)),
        ));
    }
    let lifecycle = world.projects.get(&body.project).and_then(|project| world.lifecycles.get(&project.lifecycle));
    let lifecycle = lifecycle.ok_or_else(|| {
        Problem::unprocessable("unknown-manifest", format!("the lifecycle of project {} is not there", body.project))
    })?;
    let filter = DeploymentFilter {
        project: Some(body.project.clone()),
        version: Some(body.version.clone()),
        limit: u64::from(u32::MAX),
        ..DeploymentFilter::default()
    };
    let succeeded = app
        .store
        .deployments(&filter)
        .await?
        .into_iter()
        .filter(|deployment| deployment.outcome == Some(Outcome::Succeeded))
        .map(|deployment| deployment.environment)
        .collect();
    lifecycle::may_deploy(lifecycle, &body.environment, &succeeded)
        .map_err(|reason| Problem::refusal("lifecycle", reason))
}

async fn append(app: &App, request: Request, actor: Actor) -> Result<Accepted, Problem> {
    let (id, body_digest) = (request.id, request.body_digest.clone());
    let address = Address::Plan(id);
    let entry = Entry::Plan(envelope(actor, PlanEvent::Requested { request: Box::new(request) }));
    match app.bus.append(&address, 0, &entry).await? {
        Appended::Stored(seq) | Appended::Mine(seq) => {
            tracing::info!(deployment.id = %id, seq, "deployment requested");
            Ok(Accepted { id, seq })
        }
        Appended::Lost { .. } => match app.bus.after(&address, 0).await? {
            Some(recorded) => match first_request(&recorded.entry) {
                Some(first) => same(id, recorded.seq, &first.body_digest, &body_digest),
                None => Err(over(id)),
            },
            None => Err(over(id)),
        },
    }
}

/// The first request is no longer in the log, so it can not be compared with.
fn over(id: DeploymentId) -> Problem {
    Problem::refusal(
        "idempotency-conflict",
        format!("deployment {id} was asked for before and is long over; use another key"),
    )
}

fn first_request(entry: &Entry) -> Option<&Request> {
    let Entry::Plan(envelope) = entry else { return None };
    envelope.events.iter().find_map(|event| match event {
        PlanEvent::Requested { request } => Some(&**request),
        _ => None,
    })
}

/// Asks for a deployment to stop. Asking again changes nothing.
pub async fn cancel(app: &App, id: DeploymentId, reason: Option<String>, actor: Actor) -> Result<Accepted, Problem> {
    let address = Address::Plan(id);
    let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
    let entry = Entry::Plan(envelope(actor, PlanEvent::CancelRequested { reason }));
    loop {
        let head = app.bus.head_of(&address).await?;
        app.folded.reached(head).await?;
        let state = app.folded.read(|state| state.get(id).map(|d| (d.end.clone(), d.cancel.is_some(), d.plan_head)));
        let Some((end, cancelled, plan_head)) = state else { return Err(unknown(&id.to_string())) };
        if let Some(end) = end {
            return Err(Problem::refusal("finished", format!("deployment {id} is over: {}", end.outcome)));
        }
        if cancelled {
            return Ok(Accepted { id, seq: plan_head });
        }
        if let Some(seq) = app.bus.append(&address, head, &entry).await?.seq() {
            tracing::info!(deployment.id = %id, seq, "cancel requested");
            return Ok(Accepted { id, seq });
        }
    }
}

/// The deployment of an id, or of the beginning of one.
pub async fn find(app: &App, text: &str) -> Result<DeploymentId, Problem> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let good = |c: char| c.is_ascii_hexdigit() || c == '-';
    if text.len() < SHORTEST_PREFIX || !text.chars().all(good) {
        return Err(Problem::invalid(
            "invalid-id",
            format!("`{text}` is not a deployment's id, nor {SHORTEST_PREFIX} or more characters of its beginning"),
        ));
    }
    match app.store.deployments_like(&text.to_lowercase(), 2).await?.as_slice() {
        [] => Err(unknown(text)),
        [id] => Ok(*id),
        _ => Err(Problem::refusal(
            "ambiguous-id",
            format!("several deployments begin with `{text}`; give more of the id"),
        )),
    }
}

/// 404 for a deployment.
pub fn unknown(text: &str) -> Problem {
    Problem::not_found(
        "unknown-deployment",
        format!("there is no deployment `{text}`; `slipway deployment list` shows them"),
    )
}

#[cfg(test)]
mod tests {
    use slipway_domain::name::{EnvironmentName, PersonName, ProjectName};

    use super::*;

    fn body(version: &str) -> CreateDeployment {
        CreateDeployment {
            project: ProjectName::new("shop").unwrap(),
            version: version.to_owned(),
            environment: EnvironmentName::new("staging").unwrap(),
        }
    }

    fn person(name: &str) -> Actor {
        Actor::Person { name: PersonName::new(name).unwrap(), via: "api".into() }
    }

    #[test]
    fn the_same_person_and_key_mean_the_same_deployment() {
        let key = |key: &str| Idempotency::Key(key.to_owned());
        let id = |who: &str, k: &str| id_of(&body("1"), &person(who), &key(k)).unwrap();
        assert_eq!(id("ana", "k"), id("ana", "k"));
        assert_ne!(id("ana", "k"), id("ben", "k"));
        assert_ne!(id("ana", "k"), id("ana", "l"));
        assert!(id_of(&body("1"), &person("ana"), &key("")).is_err());
        assert_ne!(
            id_of(&body("1"), &person("ana"), &Idempotency::Fresh).unwrap(),
            id_of(&body("1"), &person("ana"), &Idempotency::Fresh).unwrap()
        );
    }

    #[test]
    fn the_same_key_with_another_body_is_a_conflict() {
        let id = DeploymentId::derive(&["x"]);
        assert_eq!(same(id, 7, &digest(&body("1")), &digest(&body("1"))).unwrap().seq, 7);
        assert_eq!(same(id, 7, &digest(&body("1")), &digest(&body("2"))).unwrap_err().code(), "idempotency-conflict");
    }
}
