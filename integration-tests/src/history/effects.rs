//! What was done outside, against what the log says of it. The journal is played as a Docker engine
//! and a database would have lived it.

use std::collections::{BTreeMap, BTreeSet};

use slipway_domain::{
    event::Outcome,
    id::{DeploymentId, TaskKey},
    manifest::Action,
    name::TargetName,
};

use super::{
    Effect, Journal, Line, Replay, Rule, Violation, What,
    steps::Deployment,
    task::{Claim, Task},
};

/// Checks every line of the journal against the claims, and the sum of all lines against the ends.
pub fn check(replay: &Replay, journal: &Journal) -> Vec<Violation> {
    let mut world = World::default();
    let mut violations = Vec::new();
    let mut late: BTreeMap<u64, usize> = BTreeMap::new();
    let mut boots = BTreeMap::new();
    for line in &journal.lines {
        let mut broken = |rule, what: String| {
            violations.push(Violation {
                rule,
                seq: line.epoch,
                deployment: line.deployment,
                what: format!("{}: {what}", line.task),
            });
        };
        if let What::Seen(effect) = &line.what {
            if let Err(what) = world.take(line, effect) {
                broken(Rule::Effects, what);
            }
            continue;
        }
        let Some(claim) = claim_of(replay, line) else {
            broken(Rule::Fenced, format!("{:?} without a claim", line.what));
            continue;
        };
        if line.at < claim.at || *boots.entry(line.epoch).or_insert(line.boot) != line.boot {
            broken(Rule::Fenced, format!("{:?} before the claim, or by another process", line.what));
        }
        let What::Effect(effect) = &line.what else { continue };
        if let Some((over, by_holder)) = claim.over.filter(|(over, _)| line.at > *over) {
            let count = late.entry(line.epoch).or_default();
            *count += 1;
            if by_holder || *count > 1 {
                broken(Rule::Fenced, format!("{effect:?} at {}, after the claim had ended at {over}", line.at));
            }
        }
        if claim.stop && !matches!(effect, Effect::Remove { .. } | Effect::Park { .. }) {
            broken(Rule::Cancel, format!("{effect:?} in an attempt that was only to clean up"));
        }
        if let Err(what) = world.take(line, effect) {
            broken(Rule::Effects, what);
        }
    }
    for (id, deployment) in &replay.deployments {
        for (key, task) in deployment.tasks.iter().filter(|(key, _)| key.target != TargetName::notifier()) {
            if let Err(what) = world.matches(*id, deployment, key, task) {
                violations.push(Violation {
                    rule: Rule::Effects,
                    seq: 0,
                    deployment: *id,
                    what: format!("{key}: {what}"),
                });
            }
        }
    }
    if replay.deployments.values().all(|deployment| deployment.ended.is_some()) {
        violations.extend(world.at_rest(replay));
    }
    violations
}

/// Effects that were completed by somebody who had lost the task.
pub fn late<'a>(replay: &'a Replay, journal: &'a Journal) -> impl Iterator<Item = &'a Line> {
    let lost =
        |line: &Line| claim_of(replay, line).and_then(|claim| claim.over).is_some_and(|(over, _)| line.at > over);
    journal.lines.iter().filter(move |line| matches!(line.what, What::Effect(_)) && lost(line))
}

fn claim_of<'a>(replay: &'a Replay, line: &Line) -> Option<&'a Claim> {
    let task = replay.deployments.get(&line.deployment)?.tasks.get(&line.task)?;
    task.claims.iter().find(|claim| claim.epoch == line.epoch && claim.attempt == line.attempt)
}

/// A container that exists.
#[derive(Debug)]
struct Container {
    id: String,
    epoch: u64,
    place: String,
    runs: bool,
    parked: bool,
}

/// What Docker engines and databases have.
#[derive(Debug, Default)]
struct World {
    containers: BTreeMap<(DeploymentId, TaskKey), Container>,
    /// Exit codes of the containers that were started for a task.
    runs: BTreeMap<(DeploymentId, TaskKey), Vec<i32>>,
    applied: BTreeSet<(String, String)>,
    /// How often servers were called for a task.
    calls: BTreeMap<(DeploymentId, TaskKey), usize>,
}

impl World {
    fn take(&mut self, line: &Line, effect: &Effect) -> Result<(), String> {
        let key = (line.deployment, line.task.clone());
        match effect {
            Effect::Create { container, place } => {
                let made = Container {
                    id: container.clone(),
                    epoch: line.epoch,
                    place: place.clone(),
                    runs: false,
                    parked: false,
                };
                match self.containers.insert(key, made) {
                    None => Ok(()),
                    Some(other) => Err(format!("{container} was made while {} was there", other.id)),
                }
            }
            Effect::Run { container, code } => {
                self.runs.entry(key.clone()).or_default().push(*code);
                let there = self.containers.get_mut(&key).filter(|there| there.id == *container);
                let there = there.ok_or_else(|| format!("{container} was started and is not there"))?;
                if std::mem::replace(&mut there.runs, true) || there.epoch != line.epoch {
                    return Err(format!("{container} was started twice, or not by its maker"));
                }
                Ok(())
            }
            Effect::Remove { container } => {
                let before = self.containers.len();
                self.containers.retain(|_, there| there.id != *container);
                if self.containers.len() < before {
                    Ok(())
                } else {
                    Err(format!("{container} was removed and is not there"))
                }
            }
            Effect::Park { container, parked } => {
                let there = self.containers.values_mut().find(|there| there.id == *container);
                let there = there.ok_or_else(|| format!("{container} was stopped or started and is not there"))?;
                there.parked = *parked;
                Ok(())
            }
            Effect::Apply { database, file } => match self.applied.insert((database.clone(), file.clone())) {
                true => Ok(()),
                false => Err(format!("{file} was applied to {database} twice")),
            },
            Effect::Call { .. } => {
                *self.calls.entry(key).or_default() += 1;
                Ok(())
            }
        }
    }

    /// Whether what was done for a task is what its end says.
    fn matches(&self, id: DeploymentId, deployment: &Deployment, key: &TaskKey, task: &Task) -> Result<(), String> {
        let runs = self.runs.get(&(id, key.clone())).map(Vec::as_slice).unwrap_or_default();
        let good = runs.iter().filter(|code| **code == 0).count();
        if task.restoring && task.is_over() && self.containers.contains_key(&(id, key.clone())) && !task.lost {
            return Err("it was taken back, and its container is there".to_owned());
        }
        match deployment.step(&key.step).map(|step| &step.step.action) {
            Some(Action::DockerJob(_) | Action::Script(_)) => {
                let allowed = 1 + task.failures as usize;
                if runs.len() > allowed {
                    return Err(format!(
                        "the job ran {} times, with {} failures in the log",
                        runs.len(),
                        task.failures
                    ));
                }
                if task.succeeded && good != 1 {
                    return Err(format!("the job succeeded, and {good} of its containers did"));
                }
            }
            Some(Action::DockerRun(_)) if task.succeeded && good == 0 => {
                return Err("it succeeded, and no container of it was good".to_owned());
            }
            Some(Action::Http(call)) => {
                let calls = self.calls.get(&(id, key.clone())).copied().unwrap_or_default();
                if task.succeeded && calls == 0 {
                    return Err("it succeeded, and nothing was called".to_owned());
                }
                if !call.is_repeatable() && calls > 1 + task.failures as usize {
                    return Err(format!("it was called {calls} times, with {} failures in the log", task.failures));
                }
            }
            Some(Action::Sql(sql)) if task.succeeded => {
                let database = format!("{}/{}", deployment.request.project(), deployment.request.environment);
                let applied = |file: &&String| self.applied.contains(&(database.clone(), (*file).clone()));
                if let Some(file) = sql.files.iter().flat_map(|files| files.keys()).find(|file| !applied(file)) {
                    return Err(format!("it succeeded, and {file} was not applied"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// With nothing under way, each place has the container of the last deployment that succeeded there, and no other.
    fn at_rest(&self, replay: &Replay) -> Vec<Violation> {
        let mut places: BTreeMap<&str, Vec<&(DeploymentId, TaskKey)>> = BTreeMap::new();
        for (key, container) in self.containers.iter().filter(|(_, container)| !container.parked) {
            places.entry(&container.place).or_default().push(key);
        }
        let mut violations = Vec::new();
        for (id, deployment) in replay.deployments.iter().filter(|(_, d)| d.ended == Some(Outcome::Succeeded)) {
            for (key, _) in deployment.tasks.iter().filter(|(key, task)| task.succeeded && is_run(deployment, key)) {
                let request = &deployment.request;
                let place = format!("{}/{}/{}/{}", request.project(), request.environment, key.step, key.target);
                let there = places.get(place.as_str()).map(Vec::as_slice).unwrap_or_default();
                if there.len() != 1 {
                    let what = format!("{place} has {} containers: {there:?}", there.len());
                    violations.push(Violation { rule: Rule::Effects, seq: 0, deployment: *id, what });
                }
            }
        }
        violations
    }
}

/// Whether it is the replacement of a container, not the announcement of its gate.
fn is_run(deployment: &Deployment, key: &TaskKey) -> bool {
    key.target != TargetName::notifier()
        && matches!(deployment.step(&key.step).map(|step| &step.step.action), Some(Action::DockerRun(_)))
}
