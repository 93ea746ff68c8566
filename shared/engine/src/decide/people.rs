//! What people are asked, and what they said: approvals, and guidance at failed tasks.

use chrono::{DateTime, Utc};
use slipway_domain::{
    event::{Address, GateEvent, GateScope},
    name::TargetName,
};

use super::{Decision, Events, News, concerned, delta};
use crate::{
    condition,
    deployment::{Deployment, Progress, TaskState, rollout::approval},
    gate::{GateState, Rule},
    ready::{self, Readiness},
};

/// Opens and decides gates.
pub(super) fn gates(deployment: &Deployment, progress: &Progress, now: DateTime<Utc>, decisions: &mut Vec<Decision>) {
    for (i, run) in progress.steps.iter().enumerate() {
        let approval = approval(&progress.plan.steps[i].step, run.targets);
        let Some((gate, approval)) = run.any_gate().zip(approval) else { continue };
        if run.skipped.is_some() || run.is_settled() || run.rollout.given_up {
            continue;
        }
        let rule = Rule::approval(approval);
        let its_turn = run.gate.is_some() || run.rollout.may_look(&run.counts);
        let free = its_turn && deployment.is_running();
        let may_open =
            free && deployment.pause.is_none() && ready::readiness(deployment, progress, i) == Readiness::Run;
        // A gate that its condition leaves out is skipped instead; a canary's look has no condition of its own.
        let left_out =
            || run.gate.is_some() && condition::leaves_out(deployment, progress, i, &TargetName::notifier()).is_some();
        let event = match &gate.state {
            GateState::Closed if may_open && !left_out() => {
                GateEvent::Opened { plan_digest: progress.digest.clone(), expires: now + delta(rule.timeout) }
            }
            GateState::Open { .. } => match gate.decision(&rule, now) {
                Some((verdict, reason)) => GateEvent::Decided { verdict, reason },
                None => continue,
            },
            _ => continue,
        };
        let step = progress.plan.steps[i].name().clone();
        decisions.push(Decision {
            address: Address::Gate(deployment.id(), step, GateScope::All),
            expected: gate.head,
            events: Events::Gate(vec![event]),
        });
    }
}

/// Asks people about failed tasks, and hears what they say.
pub(super) fn guidance(
    deployment: &Deployment,
    progress: &Progress,
    news: &News,
    now: DateTime<Utc>,
    decisions: &mut Vec<Decision>,
) {
    let Some(guided) = &deployment.request.guided_failure else { return };
    let rule = Rule::guidance(guided);
    for (i, tasks) in concerned(progress, news) {
        let step = progress.plan.steps[i].name();
        for task in tasks.into_iter().filter(|t| matches!(t.state, TaskState::Asking(_))) {
            let event = match &task.guidance.state {
                GateState::Open { .. } => match task.guidance.decision(&rule, now) {
                    Some((verdict, reason)) => GateEvent::Decided { verdict, reason },
                    None => continue,
                },
                _ => GateEvent::Opened { plan_digest: progress.digest.clone(), expires: now + delta(rule.timeout) },
            };
            let scope = GateScope::Target(task.target.clone());
            decisions.push(Decision {
                address: Address::Gate(deployment.id(), step.clone(), scope),
                expected: task.guidance.head,
                events: Events::Gate(vec![event]),
            });
        }
    }
}
