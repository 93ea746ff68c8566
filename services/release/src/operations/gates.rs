//! Votes at gates. Who may vote is the engine's rule; here the vote is written to the log.

use slipway_domain::{
    api::{Accepted, CastVote, Right, drift_digest},
    event::{Address, Entry, GateEvent, GateScope, Verdict},
    id::DeploymentId,
    name::StepName,
};
use slipway_engine::{Deployment, State, deployment::rollout::approval, gate};
use slipway_service::failpoint;

use crate::{
    app::App,
    auth::Person,
    operations::{deployments, envelope, inspections},
    problem::Problem,
};

/// Casts a person's vote. The person's latest vote is the one that counts.
pub async fn vote(
    app: &App,
    id: DeploymentId,
    step: &StepName,
    body: &CastVote,
    person: &Person,
) -> Result<Accepted, Problem> {
    person.may(Right::Deploy)?;
    let scope = body.target.clone().map_or(GateScope::All, GateScope::Target);
    let address = Address::Gate(id, step.clone(), scope.clone());
    loop {
        let head = app.bus.head_of(&address).await?;
        app.folded.reached(head).await?;
        if app.folded.read(|state| state.get(id).is_none()) {
            return Err(deployments::over_or_unknown(app, id).await);
        }
        let (opened, plan_digest) =
            app.folded.read(|state| open_gate(state, id, step, &scope, body.verdict, person))?;
        if body.plan.as_ref().is_some_and(|seen| *seen != plan_digest) {
            return Err(Problem::refusal(
                "plan-changed",
                format!(
                    "the plan of deployment {id} is not the one you looked at; look again: slipway deployment show {id}"
                ),
            ));
        }
        let drift = match (&scope, body.verdict) {
            (GateScope::All, Verdict::Approve) => known_drift(app, id, step, body.drift.as_deref()).await?,
            _ => None,
        };
        let event = GateEvent::Voted {
            opened,
            plan_digest,
            person: person.name.clone(),
            verdict: body.verdict,
            note: body.note.clone(),
            drift,
        };
        let entry = Entry::Gate(envelope(person.actor(), event));
        failpoint!("release.voted.before");
        let appended = app.bus.append(&address, head, &entry).await?;
        failpoint!("release.voted.after");
        if let Some(seq) = appended.seq() {
            tracing::info!(deployment.id = %id, %step, person = %person.name, verdict = %body.verdict, "voted");
            return Ok(Accepted { id, seq });
        }
    }
}

/// The digest of what is not as it was deployed where the deployment goes, if the person knows all of it.
async fn known_drift(
    app: &App,
    id: DeploymentId,
    step: &StepName,
    known: Option<&str>,
) -> Result<Option<String>, Problem> {
    let drift = inspections::of_deployment(app, id).await?;
    let digest = drift_digest(&drift);
    match &digest {
        Some(digest) if known != Some(digest.as_str()) => {
            let all: Vec<_> = drift.iter().map(|drift| format!("on {}: {}", drift.target, drift.detail)).collect();
            Err(Problem::refusal(
                "drift",
                format!(
                    "what runs is not what the plan was made for: {}. If it shall go on all the same: slipway approve {id} {step} --drift {digest}",
                    all.join("; ")
                ),
            ))
        }
        _ => Ok(digest),
    }
}

/// The opening and plan that a vote now would be for, if this person may give this answer.
fn open_gate(
    state: &State,
    id: DeploymentId,
    step: &StepName,
    scope: &GateScope,
    verdict: Verdict,
    person: &Person,
) -> Result<(u64, String), Problem> {
    let deployment = state.get(id).ok_or_else(|| deployments::unknown(&id.to_string()))?;
    let (rule, gate) = gate_at(deployment, step, scope).ok_or_else(|| {
        Problem::not_found(
            "unknown-gate",
            format!("deployment {id} has no such gate at `{step}`; `slipway deployment show {id}` shows its steps"),
        )
    })?;
    if rule.excludes(&deployment.request, &person.name) {
        return Err(Problem::forbidden(
            "own-deployment",
            format!("{} asked for this deployment, and `{step}` wants somebody else to decide", person.name),
        ));
    }
    if !rule.may_vote(&deployment.request, &person.name) {
        let teams: Vec<_> = rule.teams.iter().map(|team| team.as_str()).collect();
        return Err(Problem::forbidden(
            "not-in-team",
            format!(
                "{} may not decide here: `{step}` asks members of {}, as they were when the deployment was requested",
                person.name,
                teams.join(", ")
            ),
        ));
    }
    if !rule.takes(verdict) {
        let answers = match rule.question {
            gate::Question::Approval { .. } => "approve or reject",
            gate::Question::Guidance => "retry, ignore, exclude or reject",
        };
        let detail = format!("`{verdict}` is no answer at `{step}`; say {answers}");
        return Err(Problem::unprocessable("wrong-verdict", detail));
    }
    match &gate.state {
        gate::GateState::Open { opened, plan_digest, .. }
            if deployment.end.is_none() && !given_up(deployment, step) =>
        {
            Ok((*opened, plan_digest.clone()))
        }
        gate::GateState::Decided { verdict, reason, .. } => {
            Err(Problem::refusal("gate-decided", format!("`{step}` is decided already ({verdict}): {reason}")))
        }
        _ => Err(Problem::refusal("gate-closed", format!("`{step}` is not waiting for anybody now"))),
    }
}

/// Whether the step asks nobody any more, because its deployment is to stop.
fn given_up(deployment: &Deployment, step: &StepName) -> bool {
    let progress = deployment.progress.as_ref();
    let run = progress.and_then(|progress| Some(&progress.steps[progress.position(step)?]));
    run.is_some_and(|run| run.rollout.given_up)
}

/// The gate of an approval step, or of one failed task, with its rule.
fn gate_at<'a>(
    deployment: &'a Deployment,
    step: &StepName,
    scope: &GateScope,
) -> Option<(gate::Rule<'a>, &'a gate::Gate)> {
    let progress = deployment.progress.as_ref()?;
    let position = progress.position(step)?;
    let run = &progress.steps[position];
    match scope {
        GateScope::All => {
            let approval = approval(&progress.plan.steps[position].step, run.targets)?;
            Some((gate::Rule::approval(approval), run.any_gate()?))
        }
        GateScope::Target(target) => {
            let guided = deployment.request.guided_failure.as_ref()?;
            Some((gate::Rule::guidance(guided), &run.task(target)?.guidance))
        }
    }
}

#[cfg(test)]
mod tests {
    use slipway_domain::{
        event::{GateEvent, Verdict},
        name::PersonName,
    };

    use super::*;
    use crate::story::Story;

    fn check(story: &Story, step: &StepName, person: &str, expect: Result<u64, &str>) {
        let person = Person { name: PersonName::new(person).unwrap(), right: Right::Admin, teams: vec![] };
        let got = open_gate(&story.state, story.request.id, step, &GateScope::All, Verdict::Approve, &person);
        match (got, expect) {
            (Ok((opened, _)), Ok(expected)) => assert_eq!(opened, expected),
            (Err(problem), Err(code)) => assert_eq!(problem.code(), code),
            (got, expect) => panic!("{got:?} where {expect:?} was expected"),
        }
    }

    #[test]
    fn only_members_of_the_teams_vote_and_only_while_the_gate_is_open() {
        let mut story = Story::begin();
        check(&story, &Story::ask(), "ana", Ok(4));
        check(&story, &Story::ask(), "ben", Err("not-in-team"));
        check(&story, &Story::task().step, "ana", Err("unknown-gate"));
        check(&story, &StepName::new("nothing").unwrap(), "ana", Err("unknown-gate"));
        story.decide(GateEvent::Decided { verdict: Verdict::Approve, reason: "r".into() });
        check(&story, &Story::ask(), "ana", Err("gate-decided"));
        check(&story, &Story::ask(), "ben", Err("not-in-team"));
    }
}
