//! What people are shown of the folded state: the API's views and sentences for events.

use slipway_domain::{
    api::{DeploymentSummary, DeploymentView, EventView, GateView, Status, StepView, TaskStatus, TaskView, VoteView},
    event::{Address, Entry, GateEvent, Outcome, PlanEvent, Recorded, TaskEvent},
    manifest::Step,
};

use crate::{
    deployment::{Deployment, Progress, StepRun, Task, TaskState, rollout::approval},
    gate::{Gate, GateState, Question, Rule},
};

/// A deployment in a list.
pub fn summary(deployment: &Deployment) -> DeploymentSummary {
    let request = &deployment.request;
    let end = deployment.end.as_ref();
    DeploymentSummary {
        id: request.id,
        seq: deployment.seq,
        project: request.project().clone(),
        environment: request.environment.clone(),
        version: request.release.version.clone(),
        status: status(deployment),
        outcome: end.map(|e| e.outcome),
        reason: end.and_then(|e| e.reason.clone()).or_else(|| deployment.corrupt.clone()),
        requested_by: request.requested_by.clone(),
        requested_at: deployment.requested_at,
        started_at: deployment.started_at,
        finished_at: end.map(|e| e.at),
    }
}

/// Where a deployment is, in one word.
pub fn status(deployment: &Deployment) -> Status {
    if deployment.end.is_some() {
        return Status::Finished;
    }
    let Some(progress) = &deployment.progress else { return Status::Requested };
    if deployment.started_at.is_none() {
        Status::Queued
    } else if deployment.cancel.is_some() {
        Status::Cancelling
    } else if deployment.pause.is_some() {
        Status::Paused
    } else if deployment.yielded.is_some() && crate::yielding::wants_lane(deployment) {
        Status::Queued
    } else if only_people_can_go_on(progress) {
        Status::WaitingForPerson
    } else {
        Status::Running
    }
}

/// Whether people are asked something and no task is under way.
fn only_people_can_go_on(progress: &Progress) -> bool {
    let open = |run: &StepRun| {
        run.skipped.is_none() && run.any_gate().is_some_and(|g| matches!(g.state, GateState::Open { .. }))
    };
    let asking = |task: &Task| matches!(task.state, TaskState::Asking(_));
    let idle = |run: &StepRun| run.under_way().all(asking);
    progress.steps.iter().any(|run| open(run) || run.under_way().any(asking)) && progress.steps.iter().all(idle)
}

/// A deployment with its steps.
pub fn deployment(deployment: &Deployment, at_seq: u64) -> DeploymentView {
    let request = &deployment.request;
    let steps = deployment.progress.as_ref().map(|p| steps(deployment, p)).unwrap_or_default();
    DeploymentView {
        summary: summary(deployment),
        at_seq,
        packages: request.release.packages.iter().map(|(name, p)| (name.clone(), p.image.clone())).collect(),
        variables: request.values.clone(),
        left_out: request.left_out.clone(),
        plan_digest: deployment.progress.as_ref().map(|p| p.digest.clone()),
        problems: deployment.end.as_ref().map(|e| e.problems.clone()).unwrap_or_default(),
        steps,
    }
}

fn steps(deployment: &Deployment, progress: &Progress) -> Vec<StepView> {
    let guided = deployment.request.guided_failure.as_ref().map(Rule::guidance);
    progress
        .plan
        .steps
        .iter()
        .zip(&progress.steps)
        .map(|(planned, run)| StepView {
            name: planned.name().clone(),
            kind: planned.step.action.kind().to_owned(),
            part_of: planned.part_of.clone(),
            needs: planned.step.needs.clone(),
            rank: planned.rank,
            tasks: run
                .tasks
                .iter()
                .chain(&run.announcement)
                .map(|t| TaskView { guidance: guided.as_ref().and_then(|rule| guidance(rule, t)), ..task(t) })
                .collect(),
            gate: gate(&planned.step, run),
            skipped: run.skipped.clone(),
        })
        .collect()
}

fn gate(step: &Step, run: &StepRun) -> Option<GateView> {
    let (approval, gate) = approval(step, run.targets).zip(run.any_gate())?;
    Some(GateView { instructions: approval.instructions.clone(), ..asked(&Rule::approval(approval), gate) })
}

/// What people are or were asked about a failed task.
fn guidance(rule: &Rule<'_>, task: &Task) -> Option<GateView> {
    task.guidance.opened().map(|_| asked(rule, &task.guidance))
}

fn asked(rule: &Rule<'_>, gate: &Gate) -> GateView {
    let (expires, decided, reason) = match &gate.state {
        GateState::Closed => (None, None, None),
        GateState::Open { expires, .. } => (Some(*expires), None, None),
        GateState::Decided { verdict, reason, .. } => (None, Some(*verdict), Some(reason.clone())),
    };
    let votes_needed = match rule.question {
        Question::Approval { votes } => votes,
        Question::Guidance => 1,
    };
    GateView {
        teams: rule.teams.to_vec(),
        votes_needed,
        instructions: None,
        opened: gate.opened(),
        expires,
        votes: gate
            .votes
            .iter()
            .map(|(person, v)| VoteView { person: person.clone(), verdict: v.verdict, note: v.note.clone(), at: v.at })
            .collect(),
        decided,
        reason,
    }
}

/// One task.
pub fn task(task: &Task) -> TaskView {
    let (status, message, tail, outputs) = match &task.state {
        TaskState::Pending => (TaskStatus::Pending, None, None, None),
        TaskState::ToRestore => (TaskStatus::Restoring, task.restoring.clone(), None, None),
        TaskState::Granted { .. } | TaskState::Running { .. } if task.restoring.is_some() => {
            (TaskStatus::Restoring, task.restoring.clone(), None, None)
        }
        TaskState::RetryAt(at, failure) => (
            TaskStatus::RetryScheduled,
            Some(format!("{}; next attempt at {}", failure.message, at.format("%H:%M:%S UTC"))),
            Some(&failure.tail),
            None,
        ),
        TaskState::Asking(f) => (TaskStatus::NeedsGuidance, Some(f.message.clone()), Some(&f.tail), None),
        TaskState::Ignored(f) => (TaskStatus::Ignored, Some(f.message.clone()), Some(&f.tail), None),
        TaskState::FailedAttempt(f) => (TaskStatus::RetryScheduled, Some(f.message.clone()), Some(&f.tail), None),
        TaskState::Granted { .. } => (TaskStatus::Granted, None, None, None),
        TaskState::Running { .. } => (TaskStatus::Running, None, None, None),
        TaskState::Succeeded(outputs) => (TaskStatus::Succeeded, None, None, Some(outputs)),
        TaskState::Failed(f) => (TaskStatus::Failed, Some(f.message.clone()), Some(&f.tail), None),
        TaskState::Skipped(reason) => (TaskStatus::Skipped, Some(reason.clone()), None, None),
        TaskState::Cancelled => (TaskStatus::Cancelled, None, None, None),
        TaskState::Unknown(reason) => (TaskStatus::Unknown, Some(reason.clone()), None, None),
    };
    TaskView {
        target: task.target.clone(),
        status,
        attempt: task.attempt,
        holder: task.holder.clone(),
        started_at: task.claimed_at,
        finished_at: task.ended_at,
        message,
        tail: tail.cloned().unwrap_or_default(),
        outputs: outputs.cloned().unwrap_or_default(),
        guidance: None,
    }
}

/// One log entry as the API shows it. Plans and requests are too long to repeat; they are left out of `events`.
pub fn event(recorded: &Recorded) -> EventView {
    let (family, task, gate, texts, events) = match (&recorded.address, &recorded.entry) {
        (Address::Task(_, key), Entry::Task(e)) => {
            let texts: Vec<_> = e.events.iter().map(|event| format!("{key} {}", task_text(event))).collect();
            ("task", Some(key.clone()), None, texts, serde_json::to_value(&e.events))
        }
        (Address::Gate(_, step, _), Entry::Gate(e)) => {
            let texts: Vec<_> = e.events.iter().map(|event| format!("{step} {}", gate_text(event))).collect();
            ("gate", None, Some(step.clone()), texts, serde_json::to_value(&e.events))
        }
        (_, Entry::Plan(e)) => {
            let texts: Vec<_> = e.events.iter().map(plan_text).collect();
            ("plan", None, None, texts, serde_json::to_value(e.events.iter().map(brief).collect::<Vec<_>>()))
        }
        _ => (
            "plan",
            None,
            None,
            vec!["an entry that does not belong to its subject".to_owned()],
            Ok(serde_json::Value::Null),
        ),
    };
    EventView {
        seq: recorded.seq,
        at: recorded.at,
        actor: recorded.entry.actor().clone(),
        text: texts.join("; "),
        events: events.unwrap_or_default(),
        family: family.to_owned(),
        task,
        gate,
    }
}

fn brief(event: &PlanEvent) -> serde_json::Value {
    match event {
        PlanEvent::Requested { request } => serde_json::json!({
            "event": "requested", "project": request.project(), "version": request.release.version, "environment": request.environment,
        }),
        PlanEvent::Planned { digest, plan } => {
            serde_json::json!({ "event": "planned", "digest": digest, "steps": plan.steps.iter().map(|s| s.name()).collect::<Vec<_>>() })
        }
        other => serde_json::to_value(other).unwrap_or_default(),
    }
}

fn plan_text(event: &PlanEvent) -> String {
    match event {
        PlanEvent::Requested { request } => {
            let ignores = request.ignores.as_ref().map(|ignores| format!(", ignoring {ignores}")).unwrap_or_default();
            format!(
                "{} {} to {} requested by {}{ignores}",
                request.project(),
                request.release.version,
                request.environment,
                request.requested_by
            )
        }
        PlanEvent::PolicySet { .. } => "limits or freezes changed".to_owned(),
        PlanEvent::Planned { plan, .. } => format!("planned: {} steps", plan.steps.len()),
        PlanEvent::Rejected { problems } => format!("rejected: {}", problems.join("; ")),
        PlanEvent::Yielded => "gave its environment back while people are asked".to_owned(),
        PlanEvent::Started { .. } => "started".to_owned(),
        PlanEvent::Granted { tasks } => {
            format!("granted {}", tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        PlanEvent::RetryScheduled { task, not_before } => {
            format!("{task} tried again at {}", not_before.format("%H:%M:%S UTC"))
        }
        PlanEvent::StepSkipped { step, target: None, reason } => format!("{step} skipped: {reason}"),
        PlanEvent::StepSkipped { step, target: Some(target), reason } => format!("{step}@{target} skipped: {reason}"),
        PlanEvent::RestoreScheduled { step, targets, reason } => {
            let targets: Vec<_> = targets.iter().map(|target| target.as_str()).collect();
            format!("{step} taken back on {}: {reason}", targets.join(", "))
        }
        PlanEvent::Paused { reason } => format!("paused: {reason}"),
        PlanEvent::Resumed => "resumed".to_owned(),
        PlanEvent::Told { task, fail } => format!("{task} is told to {}", if *fail { "fail" } else { "go on" }),
        PlanEvent::CancelRequested { reason } => format!("cancel requested: {reason}"),
        PlanEvent::Abandoned { reason } => format!("given up: {reason}"),
        PlanEvent::Finished { outcome: Outcome::Succeeded, .. } => "finished: succeeded".to_owned(),
        PlanEvent::Finished { outcome, reason } => {
            format!("finished: {outcome}: {}", reason.as_deref().unwrap_or("no reason"))
        }
    }
}

fn task_text(event: &TaskEvent) -> String {
    match event {
        TaskEvent::Claimed { holder, attempt, .. } => format!("claimed by {holder} (attempt {attempt})"),
        TaskEvent::Checkpoint { intent } => format!("about to {intent}"),
        TaskEvent::Succeeded { .. } => "succeeded".to_owned(),
        TaskEvent::Failed { cause } => format!("failed: {}", cause.message),
        TaskEvent::Unknown { reason } => format!("unknown: {reason}"),
        TaskEvent::Cancelled => "cancelled".to_owned(),
        TaskEvent::LeaseExpired { reason } => format!("lost its executor: {reason}"),
        TaskEvent::CancelIssued => "told to stop".to_owned(),
        TaskEvent::Told { fail } => format!("told to {}", if *fail { "fail" } else { "go on" }),
    }
}

fn gate_text(event: &GateEvent) -> String {
    match event {
        GateEvent::Opened { .. } => "waits for a person".to_owned(),
        GateEvent::Voted { person, verdict, note, .. } => match note {
            Some(note) => format!("{person} says {verdict}: {note}"),
            None => format!("{person} says {verdict}"),
        },
        GateEvent::Decided { reason, .. } => reason.clone(),
    }
}
