//! What a deployment would do: its plan, compared task by task with what was done before.
//!
//! The plan is compiled as the planner compiles it, and orders are made as they are made for
//! doorbells; only what steps give at run time stays as it is written.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use slipway_domain::{
    api::{Asks, Difference, LeftOut, PreviewedStep, PreviewedTask, Resolved, TaskChange},
    id::DeploymentId,
    manifest::{Action, Step, with_children},
    name::{SecretName, TargetName},
    order::{MapDevice, MountVolume, PortMapping},
    plan::{Plan, PlannedStep, Runs},
    release::{Request, TargetSnapshot},
    secret,
};

use crate::{
    condition, containers,
    deployment::rollout::approval,
    order,
    variables::{Place, Renderer},
};

/// A request, with its targets at hand.
#[derive(Debug)]
pub struct Asked {
    request: Request,
    targets: HashMap<TargetName, usize>,
}

impl Asked {
    /// Of a request.
    pub fn new(request: Request) -> Self {
        let targets = request.targets.iter().enumerate().map(|(i, target)| (target.name.clone(), i)).collect();
        Self { request, targets }
    }

    /// What was asked for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    fn target(&self, name: &TargetName) -> Option<&TargetSnapshot> {
        self.targets.get(name).map(|i| &self.request.targets[*i])
    }
}

/// An earlier deployment in which a step succeeded on a target.
pub type Before<'a> = Option<&'a (DeploymentId, Asked)>;

/// The steps of a plan, each task compared with what `before` says was done at that step and target.
pub fn steps<'a>(
    asked: &Asked,
    plan: &Plan,
    before: impl Fn(&Step, &TargetName) -> Before<'a>,
) -> Result<Vec<PreviewedStep>, String> {
    plan.steps.iter().map(|planned| step(asked, plan, planned, &before)).collect()
}

/// The images that the engines of targets can not run, by what is known of both; for people.
pub fn unsuitable(request: &Request, plan: &Plan, engines: &BTreeMap<TargetName, String>) -> Vec<String> {
    let mut told = Vec::new();
    for planned in &plan.steps {
        let Runs::On(targets) = &planned.runs else { continue };
        for name in order::packages(&planned.step.action) {
            let Some(package) = request.release.packages.get(name).filter(|package| !package.platforms.is_empty())
            else {
                continue;
            };
            for (target, engine) in targets.iter().filter_map(|target| Some((target, engines.get(target)?))) {
                if !package.platforms.iter().any(|platform| runs(engine, platform)) {
                    let platforms = package.platforms.join(", ");
                    told.push(format!(
                        "{}: the image of {name} is for {platforms}, and the engine of {target} is {engine}",
                        planned.step.name
                    ));
                }
            }
        }
    }
    told
}

/// Whether an engine is of a platform; of the variants of a processor nobody knows which the engine has.
fn runs(engine: &str, platform: &str) -> bool {
    let plain = |text: &str| text.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
    plain(engine) == plain(platform)
}

/// The steps of the release that take no part, and why.
pub fn left_out(request: &Request, plan: &Plan) -> Vec<LeftOut> {
    let steps = request.release.steps.iter();
    // Of a step that takes no part, nor does any part of it.
    let with_parts = steps.flat_map(|step| match plan.step(&step.name) {
        Some(_) => step.children(),
        None => std::slice::from_ref(step),
    });
    let absent = with_parts.filter(|step| plan.step(&step.name).is_none());
    absent
        .map(|step| {
            let reason = if request.skip.contains(&step.name) {
                "it is to be skipped".to_owned()
            } else if step.when.environments.as_ref().is_some_and(|e| !e.contains(&request.environment)) {
                format!("it is not for environment {}", request.environment)
            } else if step.when.channels.as_ref().is_none_or(|c| c.contains(&request.release.channel)) {
                "none of its steps takes part".to_owned()
            } else {
                format!("it is not for channel {}", request.release.channel)
            };
            LeftOut { name: step.name.clone(), reason }
        })
        .collect()
}

fn step<'a>(
    asked: &Asked,
    plan: &Plan,
    planned: &PlannedStep,
    before: impl Fn(&Step, &TargetName) -> Before<'a>,
) -> Result<PreviewedStep, String> {
    let step = &planned.step;
    let targets = match &planned.runs {
        Runs::On(targets) => targets.as_slice(),
        Runs::Gate => &[],
    };
    let whole = planned.part_of.as_ref().and_then(|name| plan.step(name)).map(|whole| &whole.step);
    let tasks = targets.iter().filter(|_| !matches!(step.action, Action::Steps(_))).map(|target| {
        let task = task(asked, step, target, before(step, target))?;
        // What leaves out a target of the whole leaves out its parts there.
        let skipped = whole.and_then(|whole| skipped(asked, whole, target)).or(task.skipped);
        Ok(PreviewedTask { skipped, ..task })
    });
    let canaries = step.rolling.as_ref().map(|rolling| rolling.canaries(targets.len())).filter(|n| *n > 0);
    Ok(PreviewedStep {
        name: step.name.clone(),
        kind: step.action.kind().to_owned(),
        rank: planned.rank,
        part_of: planned.part_of.clone(),
        needs: step.needs.clone(),
        result: step.when.result,
        condition: step.when.condition.clone(),
        skipped: match planned.runs {
            Runs::On(_) => None,
            Runs::Gate => skipped(asked, step, &TargetName::notifier()),
        },
        asks: approval(step, targets.len()).map(|approval| Asks {
            teams: approval.teams.clone(),
            votes: approval.votes,
            after_targets: canaries,
        }),
        window: step.rolling.as_ref().map(|rolling| rolling.window),
        tasks: tasks.collect::<Result<_, String>>()?,
    })
}

fn task(asked: &Asked, step: &Step, target: &TargetName, before: Before<'_>) -> Result<PreviewedTask, String> {
    let after = facts(asked, step, target)?;
    let earlier = before.and_then(|(id, earlier)| {
        let step = with_children(&earlier.request.release.steps).find(|other| other.name == step.name)?;
        // What can not be told of it any more is as if it had not been.
        Some((*id, facts(earlier, step, target).unwrap_or_default()))
    });
    let none = BTreeMap::new();
    let differences = differences(earlier.as_ref().map_or(&none, |(_, facts)| facts), &after);
    let change = match &earlier {
        None => TaskChange::New,
        Some(_) if differences.is_empty() => TaskChange::Same,
        Some(_) => TaskChange::Changed,
    };
    let variables = variables(asked, step, target)?;
    Ok(PreviewedTask {
        target: target.clone(),
        change,
        skipped: skipped(asked, step, target),
        compared_with: earlier.map(|(id, _)| id),
        differences,
        variables,
    })
}

fn skipped(asked: &Asked, step: &Step, target: &TargetName) -> Option<String> {
    condition::leaves_out_beforehand(&asked.request, step, &renderer(asked, step, target))
}

fn renderer<'a>(asked: &'a Asked, step: &'a Step, target: &'a TargetName) -> Renderer<'a> {
    let request = &asked.request;
    let roles = asked.target(target).map_or(&[] as &[_], |target| target.roles.as_slice());
    let place = Place::of(request, step, target, roles);
    Renderer::new(request, place, "#{Deployment.Outcome}", Value::Object(serde_json::Map::new()))
}

/// The order of a task as flat facts.
fn facts(asked: &Asked, step: &Step, target: &TargetName) -> Result<BTreeMap<String, String>, String> {
    let renderer = renderer(asked, step, target);
    // What earlier steps will give is not known; such a text stays as it is written.
    let lenient = |text: &str| match renderer.render(text) {
        Err(_) if renderer.check_variables(text).is_ok() => Ok(text.to_owned()),
        rendered => rendered,
    };
    let mut facts = BTreeMap::new();
    if let Some(docker) = asked.target(target).map(|target| &target.docker) {
        facts.insert("docker".to_owned(), docker.clone());
    }
    match order::work(&asked.request, step, false, &renderer, &lenient)
        .map(|work| serde_json::to_value(&work).unwrap_or_default())
    {
        Ok(Value::Object(mut order)) => {
            order.remove("kind");
            order.into_iter().for_each(|(key, value)| flatten(&key, value, &mut facts));
        }
        // A port, say, that an earlier step will tell.
        _ => {
            for (n, text) in order::texts(step).into_iter().enumerate() {
                facts.insert(format!("text.{n}"), shown(&lenient(text)?));
            }
        }
    }
    Ok(facts)
}

fn flatten(path: &str, value: Value, facts: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        // A reference to an image is one thing.
        Value::Object(mut image) if image.contains_key("digest") && image.contains_key("repository") => {
            let mut part =
                |key: &str| image.remove(key).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
            let (registry, repository, tag, digest) =
                (part("registry"), part("repository"), part("tag"), part("digest"));
            let tag = if tag.is_empty() { String::new() } else { format!(":{tag}") };
            facts.insert(path.to_owned(), format!("{registry}/{repository}{tag}@{digest}"));
        }
        Value::Object(map) => map.into_iter().for_each(|(key, value)| flatten(&format!("{path}.{key}"), value, facts)),
        Value::Array(values) => {
            let text: Vec<_> = values.into_iter().map(one).collect();
            if !text.is_empty() {
                facts.insert(path.to_owned(), shown(&text.join(" ")));
            }
        }
        Value::String(text) => drop(facts.insert(path.to_owned(), shown(&text))),
        other => drop(facts.insert(path.to_owned(), other.to_string())),
    }
}

/// One of a list: a text, or a port, a volume or a device as it is written.
fn one(value: Value) -> String {
    if let Ok(PortMapping { ip, host, container, protocol }) = serde_json::from_value(value.clone()) {
        let ip = ip.map(|ip| format!("{ip}:")).unwrap_or_default();
        let host = host.map(|host| format!("{host}:")).unwrap_or_default();
        return format!("{ip}{host}{container}/{protocol}");
    }
    if let Ok(MapDevice { host, container, permissions }) = serde_json::from_value(value.clone()) {
        return format!("{host}:{container}:{permissions}");
    }
    if let Ok(volume) = serde_json::from_value::<MountVolume>(value.clone()) {
        let source = volume.source.map(|source| format!("{source}:")).unwrap_or_default();
        let words = [("ro", volume.read_only), ("nocopy", volume.no_copy)];
        let words: Vec<&str> = words.into_iter().filter(|(_, there)| *there).map(|(word, _)| word).collect();
        let words = if words.is_empty() { String::new() } else { format!(":{}", words.join(",")) };
        let options = volume.driver_options.iter().map(|(name, value)| format!(" {name}={value}"));
        let driver = volume.driver.map(|driver| format!(" ({driver}{})", options.collect::<String>()));
        return format!("{source}{}{words}{}", volume.target, driver.unwrap_or_default());
    }
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text with the secrets that it will hold by name.
fn shown(text: &str) -> String {
    let names: BTreeMap<_, _> = secret::referenced(text)
        .into_iter()
        .map(|reference| {
            let name = format!("(secret {} version {})", reference.name, reference.version);
            (reference, name)
        })
        .collect();
    secret::fill(text, &names).unwrap_or_default()
}

fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Difference> {
    let mut all: Vec<&String> = before.keys().chain(after.keys()).collect();
    all.sort();
    all.dedup();
    all.into_iter()
        .filter(|what| before.get(*what) != after.get(*what))
        .map(|what| Difference {
            what: what.clone(),
            before: before.get(what).cloned(),
            after: after.get(what).cloned(),
        })
        .collect()
}

fn variables(asked: &Asked, step: &Step, target: &TargetName) -> Result<Vec<Resolved>, String> {
    let renderer = renderer(asked, step, target);
    let mut found = BTreeMap::new();
    for text in order::texts(step) {
        found.extend(renderer.definitions_of(text)?);
    }
    for (variable, set) in containers::passed_definitions(step, &renderer)? {
        found.insert(variable.name.as_str(), (variable, set));
        found.extend(renderer.definitions_of(variable.value.as_deref().unwrap_or_default())?);
    }
    let secret = |name: &SecretName| asked.request.secrets.iter().find(|s| s.name == *name).cloned();
    Ok(found
        .into_values()
        .map(|(variable, set)| Resolved {
            name: variable.name.clone(),
            value: variable.value.clone(),
            secret: variable.secret.as_ref().and_then(secret),
            set: set.cloned(),
            scope: variable.scope.clone(),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn an_engine_runs_what_is_for_its_system_and_processor() {
        assert!(runs("linux/amd64", "linux/amd64") && runs("linux/arm64", "linux/arm64/v8"));
        assert!(!runs("linux/amd64", "linux/arm64/v8") && !runs("linux/amd64", "windows/amd64"));
    }
}
