//! Why a plan that somebody looked at is not the plan any more.

use std::collections::BTreeMap;

use slipway_domain::{
    api::{Drift, Preview, PreviewedStep, PreviewedTask, Resolved},
    name::TargetName,
};

/// In what two previews of one deployment differ, for people; empty if what was looked at is still what would happen.
/// What only says when it would begin, such as a freeze or a deployment before it, does not count.
pub fn changes(seen: &Preview, now: &Preview) -> Vec<String> {
    let mut all = Vec::new();
    let asked = |p: &Preview| format!("{} {} to {}", p.project, p.version, p.environment);
    if asked(seen) != asked(now) {
        return vec![format!("it is the plan of {}, not of {}", asked(seen), asked(now))];
    }
    if seen.current != now.current {
        let words = |current: &Option<String>| current.clone().unwrap_or_else(|| "nothing".to_owned());
        all.push(format!("{} had {}, has {}", now.environment, words(&seen.current), words(&now.current)));
    }
    let names = |p: &Preview| p.steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
    for step in &seen.steps {
        match now.steps.iter().find(|other| other.name == step.name) {
            Some(other) => of_step(step, other, &mut all),
            None => all.push(format!("step {} takes no part any more", step.name)),
        }
    }
    let before = names(seen);
    all.extend(
        names(now).iter().filter(|name| !before.contains(name)).map(|name| format!("step {name} takes part now")),
    );
    of_drift(&seen.drift, &now.drift, &mut all);
    if all.is_empty() && seen.digest != now.digest {
        all.push(format!("its digest was {}, is {}", seen.digest, now.digest));
    }
    all
}

fn of_step(seen: &PreviewedStep, now: &PreviewedStep, all: &mut Vec<String>) {
    if seen.asks != now.asks {
        all.push(format!("{} asks other people", now.name));
    }
    if seen.skipped != now.skipped {
        all.push(left_out(&format!("{}", now.name), seen.skipped.as_ref(), now.skipped.as_ref()));
    }
    let tasks: BTreeMap<&TargetName, &PreviewedTask> = now.tasks.iter().map(|task| (&task.target, task)).collect();
    let before: BTreeMap<&TargetName, &PreviewedTask> = seen.tasks.iter().map(|task| (&task.target, task)).collect();
    for (target, task) in &before {
        let place = format!("{} on {target}", now.name);
        match tasks.get(target) {
            Some(other) => of_task(&place, task, other, all),
            None => all.push(format!("{target} is no target of {} any more", now.name)),
        }
    }
    let new = tasks.keys().filter(|target| !before.contains_key(**target));
    all.extend(new.map(|target| format!("{target} is a target of {} now", now.name)));
}

fn of_task(place: &str, seen: &PreviewedTask, now: &PreviewedTask, all: &mut Vec<String>) {
    if seen.compared_with != now.compared_with {
        all.push(match now.compared_with {
            Some(id) => format!("{place} was done by deployment {id} since"),
            None => format!("{place} is not known to have been done any more"),
        });
    }
    if seen.skipped != now.skipped {
        all.push(left_out(place, seen.skipped.as_ref(), now.skipped.as_ref()));
    }
    let values = |task: &PreviewedTask| {
        let differences = task.differences.iter().map(|d| (d.what.clone(), d.after.clone()));
        differences.collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (values(seen), values(now));
    let mut told: Vec<&String> = before.keys().chain(after.keys()).collect();
    told.sort();
    told.dedup();
    for what in told {
        if before.get(what) != after.get(what) {
            let words = |side: &BTreeMap<String, Option<String>>| match side.get(what) {
                Some(Some(value)) => format!("become {value}"),
                Some(None) => "go".to_owned(),
                None => "stay as it is".to_owned(),
            };
            all.push(format!("{place}: {what} was to {}, is to {}", words(&before), words(&after)));
        }
    }
    of_variables(place, &seen.variables, &now.variables, all);
}

fn left_out(place: &str, seen: Option<&String>, now: Option<&String>) -> String {
    let words = |reason: Option<&String>| match reason {
        Some(reason) => format!("left out ({reason})"),
        None => "done".to_owned(),
    };
    format!("{place} was to be {}, is to be {}", words(seen), words(now))
}

fn of_variables(place: &str, seen: &[Resolved], now: &[Resolved], all: &mut Vec<String>) {
    let value = |variable: &Resolved| match (&variable.value, &variable.secret) {
        (Some(value), _) => format!("\"{value}\""),
        (None, Some(secret)) => format!("secret {} version {}", secret.name, secret.version),
        (None, None) => "no value".to_owned(),
    };
    for variable in now {
        let Some(before) = seen.iter().find(|before| before.name == variable.name) else { continue };
        if value(before) != value(variable) {
            all.push(format!("{place}: {} was {}, is {}", variable.name, value(before), value(variable)));
        }
    }
}

fn of_drift(seen: &[Drift], now: &[Drift], all: &mut Vec<String>) {
    let has = |list: &[Drift], one: &Drift| {
        list.iter()
            .any(|d| (&d.target, &d.step, &d.container, d.kind) == (&one.target, &one.step, &one.container, one.kind))
    };
    for drift in now.iter().filter(|drift| !has(seen, drift)) {
        all.push(format!("on {}: {}", drift.target, drift.detail));
    }
    for drift in seen.iter().filter(|drift| !has(now, drift)) {
        all.push(format!("on {}: {} is as it was deployed again", drift.target, drift.container));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn preview() -> Value {
        json!({
            "project": "shop", "version": "1.1.0", "channel": "stable", "environment": "production", "current": "1.0.0",
            "mode": "deploy", "digest": "sha256:ab",
            "steps": [
                {"name": "sign-off", "kind": "approval", "rank": 0, "needs": [], "result": "success",
                 "asks": {"teams": ["ops"], "votes": 1}, "tasks": []},
                {"name": "web", "kind": "docker-run", "rank": 1, "needs": ["sign-off"], "result": "success", "tasks": [
                    {"target": "web-01", "change": "changed", "compared_with": "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee",
                     "differences": [{"what": "env.GREETING", "before": "hello", "after": "HELLO"}],
                     "variables": [{"name": "Greeting", "value": "HELLO"}, {"name": "Key", "secret": {"name": "key", "version": 1}}]}]}],
        })
    }

    /// Sets a value at a JSON pointer of the later plan; what is told must be just that.
    fn check(pointer: &str, value: Value, words: &[&str]) {
        let seen: Preview = serde_json::from_value(preview()).unwrap();
        let mut now = preview();
        *now.pointer_mut(pointer).unwrap() = value;
        assert_eq!(changes(&seen, &serde_json::from_value(now).unwrap()), words, "{pointer}");
    }

    #[test]
    fn what_makes_a_plan_stale_is_told() {
        check("/mode", json!("deploy"), &[]);
        check(
            "/version",
            json!("1.2.0"),
            &["it is the plan of shop 1.1.0 to production, not of shop 1.2.0 to production"],
        );
        check("/current", json!("1.0.9"), &["production had 1.0.0, has 1.0.9"]);
        check("/digest", json!("sha256:cd"), &["its digest was sha256:ab, is sha256:cd"]);
        check("/steps/0/asks/votes", json!(2), &["sign-off asks other people"]);
        check("/steps/0/name", json!("ask"), &["step sign-off takes no part any more", "step ask takes part now"]);
        check(
            "/steps/1/tasks/0/target",
            json!("web-02"),
            &["web-01 is no target of web any more", "web-02 is a target of web now"],
        );
        check(
            "/steps/1/tasks/0/compared_with",
            json!("0192aaaa-bbbb-7ccc-8ddd-ffffffffffff"),
            &["web on web-01 was done by deployment 0192aaaa-bbbb-7ccc-8ddd-ffffffffffff since"],
        );
        check(
            "/steps/1/tasks/0/differences/0/after",
            json!("Hi"),
            &["web on web-01: env.GREETING was to become HELLO, is to become Hi"],
        );
        check(
            "/steps/1/tasks/0/differences",
            json!([]),
            &["web on web-01: env.GREETING was to become HELLO, is to stay as it is"],
        );
        check("/steps/1/tasks/0/variables/0/value", json!("Hi"), &["web on web-01: Greeting was \"HELLO\", is \"Hi\""]);
        check(
            "/steps/1/tasks/0/variables/1/secret/version",
            json!(2),
            &["web on web-01: Key was secret key version 1, is secret key version 2"],
        );
    }

    #[test]
    fn drift_makes_a_plan_stale_and_so_does_its_end() {
        let drift = json!([{"target": "web-01", "project": "shop", "environment": "production", "step": "web",
            "deployment": "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", "version": "1.0.0", "container": "shop-web",
            "kind": "gone", "detail": "shop-web is not there any more"}]);
        let good: Preview = serde_json::from_value(preview()).unwrap();
        let mut drifted = preview();
        drifted["drift"] = drift;
        let drifted: Preview = serde_json::from_value(drifted).unwrap();
        assert_eq!(changes(&good, &drifted), ["on web-01: shop-web is not there any more"]);
        assert_eq!(changes(&drifted, &good), ["on web-01: shop-web is as it was deployed again"]);
        assert_eq!(changes(&drifted, &drifted), [""; 0]);
    }
}
