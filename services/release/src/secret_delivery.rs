//! Answers the holders of claims that ask for secrets.
//!
//! A value leaves only sealed to the key that the claim itself carries in the log, so asking in
//! another's name gains nothing. Values are in no log line, no error and no trace.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nkeys::XKey;
use slipway_domain::secret::{SecretAnswer, SecretRef, SecretRequest};
use slipway_engine::{
    State,
    deployment::{Claim, TaskState},
};
use slipway_service::failpoint;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zeroize::Zeroizing;

use crate::app::{App, Shared};

/// How long a request waits for the fold before it is told to ask again; below the asker's patience.
const WAIT: Duration = Duration::from_millis(1_500);

/// Answers until shutdown.
pub async fn run(app: Shared, shutdown: CancellationToken) -> Result<(), slipway_bus::BusError> {
    let mut requests = app.bus.secret_requests().await?;
    let answers = TaskTracker::new();
    loop {
        let next = tokio::select! {
            () = shutdown.cancelled() => break,
            next = requests.next() => next,
        };
        let Some((request, replier)) = next else { break };
        let app = app.clone();
        answers.spawn(async move {
            let answer = answer(&app, &request).await;
            if let SecretAnswer::Refused { reason } = &answer {
                tracing::warn!(deployment.id = %request.deployment, task = %request.task, holder = %request.holder, reason, "secrets refused");
            }
            failpoint!("release.secrets.before");
            replier.answer(&answer).await;
            failpoint!("release.secrets.after");
        });
    }
    answers.close();
    answers.wait().await;
    Ok(())
}

async fn answer(app: &App, request: &SecretRequest) -> SecretAnswer {
    if !app.folded.reached_within(request.epoch, WAIT).await {
        return SecretAnswer::Later;
    }
    let claim = match app.folded.read(|state| claim(state, request)) {
        Ok(claim) => claim,
        Err(reason) => return SecretAnswer::Refused { reason },
    };
    match sealed(app, &claim, &request.secrets).await {
        Ok(answer) => answer,
        Err(reason) => SecretAnswer::Refused { reason },
    }
}

/// The claim that the request speaks of, if it holds and covers what is asked for.
fn claim(state: &State, request: &SecretRequest) -> Result<Claim, String> {
    let deployment = state.get(request.deployment).ok_or("the deployment is not known")?;
    let task = deployment.progress.as_ref().and_then(|p| p.task(&request.task)).ok_or("the task is not known")?;
    let claim = match &task.state {
        TaskState::Running { claim, .. } if claim.epoch == request.epoch => claim,
        TaskState::Running { .. } => return Err("another claim holds the task".to_owned()),
        _ => return Err("nobody holds the task".to_owned()),
    };
    if claim.holder != request.holder {
        return Err(format!("the claim is not of {}", request.holder));
    }
    match request.secrets.iter().find(|secret| !deployment.request.secrets.contains(secret)) {
        Some(secret) => {
            Err(format!("the deployment does not use version {} of secret {}", secret.version, secret.name))
        }
        None => Ok(claim.clone()),
    }
}

async fn sealed(app: &App, claim: &Claim, secrets: &[SecretRef]) -> Result<SecretAnswer, String> {
    let mut values: Vec<Zeroizing<String>> = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let value = match app.open(secret).await {
            Ok(value) => value,
            // The failure is in the log already; the holder may ask again.
            Err(_) => return Ok(SecretAnswer::Later),
        };
        values.push(value.ok_or_else(|| format!("secret {} was deleted", secret.name))?);
    }
    let texts: Vec<&str> = values.iter().map(|value| value.as_str()).collect();
    let json = Zeroizing::new(serde_json::to_vec(&texts).expect("invariant: a list of texts is JSON"));
    let recipient = XKey::from_public_key(&claim.key).map_err(|_| "the claim's key is not an xkey".to_owned())?;
    let sender = XKey::new();
    let sealed = sender.seal(&json, &recipient).map_err(|_| "the claim's key takes no box".to_owned())?;
    Ok(SecretAnswer::Sealed { sender: sender.public_key(), sealed: STANDARD.encode(sealed) })
}

#[cfg(test)]
mod tests {
    use slipway_domain::{event::PlanEvent, name::SecretName};

    use super::*;
    use crate::story::Story;

    fn request(story: &Story, holder: &str, epoch: u64, secret: &str, version: u32) -> SecretRequest {
        SecretRequest {
            deployment: story.request.id,
            task: Story::task(),
            epoch,
            holder: Story::holder(holder),
            secrets: vec![SecretRef { name: SecretName::new(secret).unwrap(), version }],
        }
    }

    fn check(story: &Story, request: &SecretRequest, expect: Result<&str, &str>) {
        match (claim(&story.state, request), expect) {
            (Ok(claim), Ok(key)) => assert_eq!(claim.key, key),
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
            (got, expect) => panic!("{got:?} where {expect:?} was expected"),
        }
    }

    #[test]
    fn only_the_claim_that_holds_gets_only_what_the_deployment_uses() {
        let mut story = Story::begin();
        check(&story, &request(&story, "exec-1", 5, "db", 1), Err("nobody holds"));
        let first = story.claim("exec-1", 1, "key-1");
        check(&story, &request(&story, "exec-1", first, "db", 1), Ok("key-1"));
        check(&story, &request(&story, "exec-2", first, "db", 1), Err("not of exec-2"));
        check(&story, &request(&story, "exec-1", first - 1, "db", 1), Err("another claim"));
        check(&story, &request(&story, "exec-1", first, "db", 2), Err("does not use version 2"));
        check(&story, &request(&story, "exec-1", first, "other", 1), Err("does not use"));
        story.expire();
        check(&story, &request(&story, "exec-1", first, "db", 1), Err("nobody holds"));
        let second = story.claim("exec-2", 2, "key-2");
        check(&story, &request(&story, "exec-1", first, "db", 1), Err("another claim"));
        check(&story, &request(&story, "exec-2", second, "db", 1), Ok("key-2"));
        let ana = slipway_domain::event::Actor::Trigger { name: "x".into() };
        story.plan(ana, PlanEvent::CancelRequested { reason: "x".into() });
        check(&story, &request(&story, "exec-2", second, "db", 1), Ok("key-2"));
    }
}
