//! What a finished deployment did, so that a retry does not do it again.

use std::collections::BTreeSet;

use slipway_domain::{
    api::{DeploymentView, StepView, TaskStatus, TaskView},
    event::Verdict,
    id::TaskKey,
    name::TargetName,
    order::Outputs,
    release::Done,
};

/// The tasks that succeeded, and the gates that were approved. Of a step that consists of others, the tasks on targets
/// where all of its series ended well: what was done before a failure has to be done again.
pub(super) fn done(view: &DeploymentView) -> Vec<Done> {
    let mut done = Vec::new();
    for step in &view.steps {
        if step.gate.as_ref().is_some_and(|gate| gate.decided == Some(Verdict::Approve)) {
            let task = TaskKey::new(step.name.clone(), TargetName::notifier());
            done.push(Done { task, outputs: Outputs::new() });
        }
        if step.kind != "approval" {
            let announcement = TargetName::notifier();
            let unfinished = unfinished(view, step);
            let own = |task: &&TaskView| step.gate.is_none() || task.target != announcement;
            let counts = |task: &&TaskView| task.status == TaskStatus::Succeeded && !unfinished.contains(&task.target);
            done.extend(step.tasks.iter().filter(own).filter(counts).map(|task| Done {
                task: TaskKey::new(step.name.clone(), task.target.clone()),
                outputs: task.outputs.clone(),
            }));
        }
    }
    done
}

/// The targets on which the series that a step is a part of did not end well.
fn unfinished<'a>(view: &'a DeploymentView, step: &StepView) -> BTreeSet<&'a TargetName> {
    let Some(whole) = &step.part_of else { return BTreeSet::new() };
    // Only who excluded a target leaves out a task that was tried.
    let excluded: BTreeSet<&TargetName> = view
        .steps
        .iter()
        .flat_map(|step| &step.tasks)
        .filter(|task| task.status == TaskStatus::Skipped && task.attempt > 0)
        .map(|task| &task.target)
        .collect();
    let ended_well = |task: &&TaskView| match task.status {
        TaskStatus::Succeeded => true,
        TaskStatus::Skipped => !excluded.contains(&task.target),
        _ => false,
    };
    let parts = view.steps.iter().filter(|step| step.part_of.as_ref() == Some(whole));
    parts.flat_map(|part| &part.tasks).filter(|task| !ended_well(task)).map(|task| &task.target).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(parts: &[(&str, [(&str, u32); 3])]) -> Vec<String> {
        let task = |n: usize, (status, attempt): (&str, u32)| json!({"target": format!("web-{n}"), "status": status, "attempt": attempt});
        let part = |(name, tasks): &(&str, [(&str, u32); 3])| {
            let tasks: Vec<Value> = tasks.iter().enumerate().map(|(n, one)| task(n, *one)).collect();
            json!({"name": name, "kind": "wait", "part_of": "web", "needs": [], "rank": 0, "tasks": tasks})
        };
        let whole = json!({"name": "web", "kind": "steps", "needs": [], "rank": 0, "tasks": []});
        let steps: Vec<Value> = std::iter::once(whole).chain(parts.iter().map(part)).collect();
        let view = serde_json::from_value(json!({
            "id": "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", "seq": 5, "project": "shop", "environment": "production",
            "version": "1.1.0", "status": "finished", "outcome": "failed", "at_seq": 9, "packages": {},
            "requested_by": {"kind": "person", "name": "ana", "via": "api"}, "requested_at": "2026-11-21T11:50:00Z",
            "steps": steps
        }));
        done(&view.unwrap()).into_iter().map(|done| done.task.to_string()).collect()
    }

    #[test]
    fn of_a_series_all_is_done_again_where_it_did_not_end_well() {
        let (good, left_out) = (("succeeded", 1), ("skipped", 0));
        assert_eq!(
            told(&[("a", [good, good, good]), ("b", [good, ("failed", 1), left_out]), ("c", [left_out, good, good])]),
            ["a@web-0", "a@web-2", "b@web-0", "c@web-2"]
        );
        assert_eq!(told(&[("a", [good; 3]), ("b", [good, ("skipped", 1), ("cancelled", 0)])]), ["a@web-0", "b@web-0"]);
    }
}
