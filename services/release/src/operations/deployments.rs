//! Deployments: requested, cancelled, found.

mod done;

use std::time::Instant;

use chrono::Utc;
use slipway_bus::Appended;
use slipway_domain::{
    api::{Accepted, CreateDeployment, PlanView, Waiting, WaitingReason},
    event::{Actor, Address, Entry, Outcome, PlanEvent},
    id::DeploymentId,
    release::{Request, Retries},
    text::sha256_hex,
};
use slipway_engine::Deployment;
use slipway_service::failpoint;
use uuid::Uuid;

use crate::{
    app::App,
    operations::{
        envelope, freezes, plans, progression, releases,
        request::{self, Options},
    },
    problem::Problem,
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
/// Archived messages among which a plan is looked for.
const LOOK_FOR_PLAN: u64 = 50;
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
        && let Some((seq, first)) = asked_before(app, id).await?
    {
        return same(id, seq, &first, &body_digest);
    }
    let seen = body.plan.clone();
    let request = prepare(app, body, &actor, id, body_digest).await?;
    if let Some(seen) = seen {
        plans::must_be(app, &seen, &request).await?;
    }
    append(app, request, actor).await
}

/// The request for a deployment that may be asked for, not in the log yet.
pub(super) async fn prepare(
    app: &App,
    body: CreateDeployment,
    actor: &Actor,
    id: DeploymentId,
    body_digest: String,
) -> Result<Request, Problem> {
    let release = releases::get(app, &body.project, &body.version).await?.snapshot;
    let world = app.world().await?;
    progression::may_go(app, &world, &body.project, (&release.version, &release.channel), &body.environment).await?;
    let ignores = freezes::ignored(&world, &body, actor, Utc::now())?;
    let options = Options {
        skip: body.skip,
        at: body.at,
        guided_failure: body.guided_failure,
        ignores,
        retries: None,
        targets: body.targets,
        values: body.variables,
    };
    let asked = request::Asked { id, environment: body.environment, by: actor.clone(), body_digest, options };
    request::build(app, &world, release, asked).await
}

/// The place and the body's digest of the request that made a deployment, be it over or purged from the log.
async fn asked_before(app: &App, id: DeploymentId) -> Result<Option<(u64, String)>, Problem> {
    Ok(requested(app, id).await?.map(|(seq, request)| (seq, request.body_digest)))
}

/// The request of a deployment, live or from the archive, and its place in the log.
pub(super) async fn requested(app: &App, id: DeploymentId) -> Result<Option<(u64, Request)>, Problem> {
    if let Some(live) = app.folded.read(|state| state.get(id).map(|d| (d.seq, d.request.clone()))) {
        return Ok(Some(live));
    }
    let Some(first) = app.store.first_event_of(id).await? else { return Ok(None) };
    Ok(first_request(&first.entry).map(|request| (first.seq, request.clone())))
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

async fn append(app: &App, request: Request, actor: Actor) -> Result<Accepted, Problem> {
    app.room.for_more()?;
    let (id, body_digest) = (request.id, request.body_digest.clone());
    let address = Address::Plan(id);
    let entry = Entry::Plan(envelope(actor, PlanEvent::Requested { request: Box::new(request) }));
    failpoint!("release.requested.before");
    let appended = app.bus.append(&address, 0, &entry).await?;
    failpoint!("release.requested.after");
    match appended {
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
    let event = PlanEvent::CancelRequested { reason: reason.unwrap_or_else(no_reason) };
    say(app, id, actor, event, |deployment| deployment.cancel.is_some()).await
}

/// Asks a deployment to start nothing new. Asking again changes nothing.
pub async fn pause(app: &App, id: DeploymentId, reason: Option<String>, actor: Actor) -> Result<Accepted, Problem> {
    let event = PlanEvent::Paused { reason: reason.unwrap_or_else(no_reason) };
    say(app, id, actor, event, |deployment| deployment.pause.is_some()).await
}

/// Lets a paused deployment go on. Asking again changes nothing.
pub async fn resume(app: &App, id: DeploymentId, actor: Actor) -> Result<Accepted, Problem> {
    say(app, id, actor, PlanEvent::Resumed, |deployment| deployment.pause.is_none()).await
}

fn no_reason() -> String {
    "no reason given".to_owned()
}

/// Writes what a person says about an unfinished deployment, unless it holds already.
pub(super) async fn say(
    app: &App,
    id: DeploymentId,
    actor: Actor,
    event: PlanEvent,
    holds: impl Fn(&Deployment) -> bool,
) -> Result<Accepted, Problem> {
    let address = Address::Plan(id);
    let entry = Entry::Plan(envelope(actor, event));
    loop {
        let head = app.bus.head_of(&address).await?;
        app.folded.reached(head).await?;
        let state = app.folded.read(|state| state.get(id).map(|d| (d.end.clone(), holds(d), d.plan_head)));
        let Some((end, holds, plan_head)) = state else { return Err(over_or_unknown(app, id).await) };
        if let Some(end) = end {
            return Err(Problem::refusal("finished", format!("deployment {id} is over: {}", end.outcome)));
        }
        if holds {
            return Ok(Accepted { id, seq: plan_head });
        }
        failpoint!("release.asked.before");
        let appended = app.bus.append(&address, head, &entry).await?;
        failpoint!("release.asked.after");
        if let Some(seq) = appended.seq() {
            tracing::info!(deployment.id = %id, seq, "a person's word on a deployment is written");
            return Ok(Accepted { id, seq });
        }
    }
}

/// An ended deployment may be forgotten in memory; its row tells.
pub(super) async fn over_or_unknown(app: &App, id: DeploymentId) -> Problem {
    match app.store.deployment(id).await {
        Ok(Some(view)) => {
            let outcome = view.summary.outcome.map_or("over", Outcome::as_str);
            Problem::refusal("finished", format!("deployment {id} is over: {outcome}"))
        }
        Ok(None) => unknown(&id.to_string()),
        Err(error) => error.into(),
    }
}

/// Deploys again what a finished deployment did not do; what it did is not done again.
pub async fn retry(app: &App, id: DeploymentId, actor: Actor) -> Result<Accepted, Problem> {
    let first = app.store.deployment(id).await?.ok_or_else(|| unknown(&id.to_string()))?;
    let summary = &first.summary;
    match summary.outcome {
        None => {
            return Err(Problem::refusal("not-finished", format!("deployment {id} is not over; cancel it or wait")));
        }
        Some(Outcome::Succeeded) => {
            return Err(Problem::refusal(
                "nothing-to-retry",
                format!("deployment {id} succeeded; to run all of it again use `slipway deploy`"),
            ));
        }
        Some(_) => {}
    }
    let body = CreateDeployment::new(summary.project.clone(), summary.version.clone(), summary.environment.clone());
    let release = releases::get(app, &body.project, &body.version).await?.snapshot;
    let world = app.world().await?;
    progression::may_go(app, &world, &body.project, (&release.version, &release.channel), &body.environment).await?;
    let body_digest = digest(&body);
    let first_request = requested(app, id).await?.map(|(_, request)| (request.values, request.only));
    let (values, targets) = first_request.unwrap_or_default();
    let retries = Some(Retries { deployment: id, done: done::done(&first) });
    let options = Options { retries, values, targets, ..Options::default() };
    let new = DeploymentId(Uuid::now_v7());
    let asked = request::Asked { id: new, environment: body.environment, by: actor.clone(), body_digest, options };
    let request = request::build(app, &world, release, asked).await?;
    append(app, request, actor).await
}

/// What in a deployment waits, and for what. An executor that nobody runs is told from one that is busy.
pub fn why(app: &App, id: DeploymentId) -> Vec<Waiting> {
    let mut waiting = app.folded.read(|state| {
        let now = Utc::now().max(state.now().unwrap_or_default());
        state.get(id).map(|deployment| slipway_engine::why::why(state, deployment, now)).unwrap_or_default()
    });
    for one in &mut waiting {
        if let (Some(target), WaitingReason::Executor { since }) = (&one.target, &one.reason)
            && app.presences.serving(target, Instant::now()).is_empty()
        {
            one.reason = WaitingReason::TargetAbsent { since: *since };
        }
    }
    waiting
}

/// Refuses what is no deployment.
pub async fn exists(app: &App, id: DeploymentId) -> Result<(), Problem> {
    if app.folded.read(|state| state.get(id).is_some()) || app.store.deployment(id).await?.is_some() {
        return Ok(());
    }
    Err(unknown(&id.to_string()))
}

/// The plan of a deployment; of one that is over from the archive.
pub async fn plan(app: &App, id: DeploymentId) -> Result<PlanView, Problem> {
    exists(app, id).await?;
    let view = |deployment: &Deployment| {
        deployment.progress.as_ref().map(|p| PlanView { digest: p.digest.clone(), plan: p.plan.clone() })
    };
    if let Some(live) = app.folded.read(|state| state.get(id).and_then(view)) {
        return Ok(live);
    }
    // Planning is the first thing that becomes of a request; people may have said something before.
    for recorded in app.store.events_of(id, 0, LOOK_FOR_PLAN).await? {
        let Entry::Plan(envelope) = recorded.entry else { continue };
        for event in envelope.events {
            if let PlanEvent::Planned { plan, digest } = event {
                return Ok(PlanView { digest, plan: *plan });
            }
        }
    }
    Err(Problem::refusal(
        "not-planned",
        format!("deployment {id} has no plan; `slipway deployment show {id}` says why"),
    ))
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
        CreateDeployment::new(ProjectName::new("shop").unwrap(), version, EnvironmentName::new("staging").unwrap())
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
