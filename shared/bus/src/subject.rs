//! Every NATS subject, spelled here and nowhere else. Names are slugs, so that each is one token.

use slipway_domain::{
    event::{Address, GateScope},
    id::{DeploymentId, TaskKey},
    name::{self, HolderName, StepName, TargetName},
    presence::Role,
};

/// Everything in the log.
pub(crate) const DEPLOYMENTS: &str = "deployment.>";
/// All step output.
pub(crate) const LOGS: &str = "log.>";
/// All pushes.
pub(crate) const PUSHES: &str = "push.>";
/// All presence keys.
pub(crate) const PRESENCE: &str = "$KV.PRESENCE.>";
/// All requests for secrets.
pub(crate) const SECRETS: &str = "secret.*";
/// Questions for drift, and the queue group that answers them.
pub(crate) const DRIFT: &str = "drift";
/// The queue group that answers requests for secrets.
pub(crate) const SECRETS_QUEUE: &str = "secrets";

/// Where the messages of an address are.
pub fn of(address: &Address) -> String {
    match address {
        Address::Plan(id) => format!("deployment.{id}.plan"),
        Address::Task(id, task) => format!("deployment.{id}.task.{}.{}", task.target, task.step),
        Address::Gate(id, step, GateScope::All) => format!("deployment.{id}.gate.{step}.{}", name::ALL),
        Address::Gate(id, step, GateScope::Target(target)) => format!("deployment.{id}.gate.{step}.{target}"),
    }
}

/// The address whose messages are there; none if it is not a subject of the log. Another spelling of an id is another
/// subject, on which nothing is decided.
pub fn parse(subject: &str) -> Option<Address> {
    let mut tokens = subject.split('.');
    let mut next = || tokens.next();
    (next()? == "deployment").then_some(())?;
    let id: DeploymentId = next()?.parse().ok()?;
    let family = next()?;
    let address = match family {
        "plan" => Address::Plan(id),
        "task" => {
            let target = TargetName::new(next()?).ok()?;
            Address::Task(id, TaskKey::new(StepName::new(next()?).ok()?, target))
        }
        "gate" => {
            let step = StepName::new(next()?).ok()?;
            let scope = match next()? {
                name::ALL => GateScope::All,
                target => GateScope::Target(TargetName::new(target).ok()?),
            };
            Address::Gate(id, step, scope)
        }
        _ => return None,
    };
    (of(&address) == subject).then_some(address)
}

/// Everything of one deployment in the log.
pub(crate) fn deployment(id: DeploymentId) -> String {
    format!("deployment.{id}.>")
}

/// Of all deployments the plans, the gates of all targets at once, and the tasks of the notifier.
pub(crate) fn around_gates() -> [String; 3] {
    let notifier = TargetName::notifier();
    [
        "deployment.*.plan".to_owned(),
        format!("deployment.*.gate.*.{}", name::ALL),
        format!("deployment.*.task.{notifier}.*"),
    ]
}

/// All tasks, and all gates, of one deployment.
pub(crate) fn parts(id: DeploymentId) -> [String; 2] {
    [format!("deployment.{id}.task.>"), format!("deployment.{id}.gate.>")]
}

/// Where a target's doorbell is; also the name of its queue group.
pub(crate) fn doorbell(target: &TargetName) -> String {
    format!("task.{target}")
}

/// Where holders of a target's tasks hear that they should look for a cancel.
pub(crate) fn cancel(target: &TargetName) -> String {
    format!("cancel.{target}")
}

/// Where whoever serves a target is asked to look there; also the name of its queue group.
pub(crate) fn errand(target: &TargetName) -> String {
    format!("errand.{target}")
}

/// Where a holder is asked whether it is there.
pub(crate) fn alive(holder: &HolderName) -> String {
    format!("alive.{holder}")
}

/// The key of a process in the presence bucket, as a subject.
pub(crate) fn presence(role: Role, id: &str) -> String {
    format!("$KV.PRESENCE.{}.{id}", role.as_str())
}

/// Who a presence subject speaks of.
pub(crate) fn parse_presence(subject: &str) -> Option<(Role, HolderName)> {
    let (role, id) = subject.strip_prefix("$KV.PRESENCE.")?.split_once('.')?;
    let role =
        [Role::Release, Role::Planner, Role::Executor, Role::Notifier].into_iter().find(|r| r.as_str() == role)?;
    Some((role, HolderName::new(id).ok()?))
}

/// Where the output of one attempt goes.
pub(crate) fn log(deployment: DeploymentId, task: &TaskKey, attempt: u32) -> String {
    format!("log.{deployment}.{}.{}.{attempt}", task.target, task.step)
}

/// All output of one deployment.
pub(crate) fn logs(deployment: DeploymentId) -> String {
    format!("log.{deployment}.>")
}

/// Whose output a log subject carries: step and target, and the attempt.
pub(crate) fn parse_log(subject: &str) -> Option<(TaskKey, u32)> {
    let mut tokens = subject.split('.').skip(2);
    let target = TargetName::new(tokens.next()?).ok()?;
    let step = StepName::new(tokens.next()?).ok()?;
    let attempt = tokens.next()?.parse().ok()?;
    tokens.next().is_none().then_some((TaskKey::new(step, target), attempt))
}

/// Where a holder asks for secrets.
pub(crate) fn secret(holder: &HolderName) -> String {
    format!("secret.{holder}")
}

/// A payload that is too large for an envelope; its name is the deployment's id and the digest.
pub(crate) fn blob(name: &str) -> String {
    format!("$O.BLOBS.M.{name}")
}

/// One part of a payload that is too large for an envelope.
pub(crate) fn blob_chunk(name: &str, chunk: usize) -> String {
    format!("$O.BLOBS.C.{name}.{chunk}")
}

/// All such payloads of one deployment.
pub(crate) fn blobs(id: DeploymentId) -> [String; 2] {
    [format!("$O.BLOBS.M.{id}.>"), format!("$O.BLOBS.C.{id}.>")]
}

/// Where what a registry sent is kept.
pub(crate) fn push(source: &str) -> String {
    format!("push.{source}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_a_subject_and_back() {
        let id: DeploymentId = "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee".parse().unwrap();
        let step = StepName::new("sign-off").unwrap();
        let target = TargetName::new("web-01").unwrap();
        let cases = [
            (Address::Plan(id), "plan"),
            (Address::Task(id, TaskKey::new(step.clone(), target.clone())), "task.web-01.sign-off"),
            (Address::Gate(id, step.clone(), GateScope::All), "gate.sign-off.all"),
            (Address::Gate(id, step, GateScope::Target(target)), "gate.sign-off.web-01"),
        ];
        for (address, rest) in cases {
            let subject = format!("deployment.{id}.{rest}");
            assert_eq!(of(&address), subject);
            assert_eq!(parse(&subject), Some(address));
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        let id = "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee";
        for subject in [
            "deployment".to_owned(),
            format!("deployment.{id}"),
            format!("deployment.{id}.plan.x"),
            format!("deployment.{id}.task.web-01"),
            format!("deployment.{id}.task.Web.a"),
            format!("deployment.{id}.gate.a.b.c"),
            "deployment.x.plan".to_owned(),
            format!("log.{id}.plan"),
            format!("deployment.{}.plan", id.to_uppercase()),
            format!("deployment.{{{id}}}.plan"),
            format!("deployment.{}.plan", id.replace('-', "")),
            format!("deployment.urn:uuid:{id}.plan"),
        ] {
            assert_eq!(parse(&subject), None, "{subject}");
        }
    }

    #[test]
    fn log_and_presence_subjects_are_read_back() {
        let id: DeploymentId = "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee".parse().unwrap();
        let task = TaskKey::new(StepName::new("web").unwrap(), TargetName::new("web-01").unwrap());
        assert_eq!(parse_log(&log(id, &task, 3)), Some((task, 3)));
        let holder = HolderName::new("executor-1").unwrap();
        assert_eq!(parse_presence(&presence(Role::Executor, holder.as_str())), Some((Role::Executor, holder)));
    }
}
