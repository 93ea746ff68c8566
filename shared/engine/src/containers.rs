//! Containers that steps make: their texts, their orders, and what planning can tell about them.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::{Map, Value};
use slipway_domain::{
    manifest::{Action, Container, DockerRun, File, Health, PassVariables, Proxy, Render, Step, Switch},
    name::TargetName,
    order::{ContainerOptions, JoinNetwork, PutFile, RunContainer, RunJob},
    plan::{Plan, Runs},
    release::{Package, Request, TargetSnapshot},
    secret,
};

use crate::{
    compile::snapshots,
    ports,
    variables::{Definition, Place, Renderer},
};

/// The container of an action, if it makes one.
pub fn container(action: &Action) -> Option<&Container> {
    match action {
        Action::DockerRun(run) => Some(&run.container),
        Action::DockerJob(job) => Some(job),
        _ => None,
    }
}

/// The order of a container that stays.
pub(crate) fn run(
    step: &Step,
    run: &DockerRun,
    package: &Package,
    renderer: &Renderer<'_>,
    render: Render<'_>,
) -> Result<RunContainer, String> {
    Ok(RunContainer {
        image: package.image.clone(),
        credentials: package.credentials.clone(),
        name: run.name.as_deref().map_or_else(|| Ok(step.name.to_string()), render)?,
        env: environment(&run.container, renderer, render)?,
        ports: run.ports.iter().map(|p| ports::parse(&render(p)?)).collect::<Result<_, String>>()?,
        command: list(run.container.command.as_ref(), render)?,
        files: files(&run.container.files, render)?,
        secrets: all(&run.secrets, render)?,
        health: run.health.as_ref().map(|health| rendered(health, render)).transpose()?,
        restart: run.restart,
        switch: run.switch.as_ref().map(|switch| switched(switch, render)).transpose()?,
        create_only: run.create_only,
        options: options(&run.container, render)?,
        keep_predecessor: false,
    })
}

fn switched(switch: &Switch, render: Render<'_>) -> Result<Switch, String> {
    Ok(match switch {
        Switch::Proxy(proxy) => {
            Switch::Proxy(Proxy { caddy: render(&proxy.caddy)?, id: render(&proxy.id)?, ..proxy.clone() })
        }
        other => other.clone(),
    })
}

/// The order of a container that ends by itself.
pub(crate) fn job(
    job: &Container,
    package: &Package,
    renderer: &Renderer<'_>,
    render: Render<'_>,
) -> Result<RunJob, String> {
    Ok(RunJob {
        image: package.image.clone(),
        credentials: package.credentials.clone(),
        command: list(job.command.as_ref(), render)?,
        env: environment(job, renderer, render)?,
        files: files(&job.files, render)?,
        options: options(job, render)?,
    })
}

fn options(container: &Container, render: Render<'_>) -> Result<Box<ContainerOptions>, String> {
    container.options(render).map(Box::new).map_err(|problems| problems.join("; "))
}

fn all(texts: &IndexMap<String, String>, render: Render<'_>) -> Result<IndexMap<String, String>, String> {
    texts.iter().map(|(name, text)| Ok((name.clone(), render(text)?))).collect()
}

fn list(texts: Option<&Vec<String>>, render: Render<'_>) -> Result<Option<Vec<String>>, String> {
    texts.map(|texts| texts.iter().map(|text| render(text)).collect()).transpose()
}

pub(crate) fn files(files: &IndexMap<String, File>, render: Render<'_>) -> Result<IndexMap<String, PutFile>, String> {
    let file = |(path, file): (&String, &File)| {
        let mode = file.mode().ok_or_else(|| format!("the mode of file {path} is none"))?;
        Ok((path.clone(), PutFile { text: render(file.text())?, mode }))
    };
    files.iter().map(file).collect()
}

fn rendered(health: &Health, render: Render<'_>) -> Result<Health, String> {
    let mut health = health.clone();
    health.exec = list(health.exec.as_ref(), render)?;
    if let Some(check) = &mut health.healthcheck {
        check.command = check.command.iter().map(|word| render(word)).collect::<Result<_, String>>()?;
    }
    Ok(health)
}

/// What is passed, and over it what `env` says.
fn environment(
    container: &Container,
    renderer: &Renderer<'_>,
    render: Render<'_>,
) -> Result<IndexMap<String, String>, String> {
    let mut env = passed(container.pass_variables, renderer, render)?;
    env.extend(all(&container.env, render)?);
    Ok(env)
}

/// The variables of the place as environment variables.
fn passed(
    which: PassVariables,
    renderer: &Renderer<'_>,
    render: Render<'_>,
) -> Result<IndexMap<String, String>, String> {
    let mut env = IndexMap::new();
    let mut origins: BTreeMap<String, &str> = BTreeMap::new();
    if which.is_none() {
        return Ok(env);
    }
    for (variable, _) in renderer.definitions()? {
        let name = variable.name.as_str();
        let value = match &variable.value {
            _ if variable.secret.is_some() => renderer.marker(variable)?,
            Some(text) => render(text)?,
            None => String::new(),
        };
        // Also a text that is made of a secret is one.
        if which == PassVariables::Plain && !secret::referenced(&value).is_empty() {
            continue;
        }
        let key = environment_name(name);
        if let Some(other) = origins.insert(key.clone(), name) {
            return Err(format!(
                "`pass-variables`: variables `{other}` and `{name}` would both be `{key}`: give one another name"
            ));
        }
        env.insert(key, value);
    }
    Ok(env)
}

/// `Smtp.Host` is `Smtp__Host`, as .NET and others read names with levels; what else a shell can not name is `_`.
fn environment_name(name: &str) -> String {
    let mut key = if name.starts_with(|c: char| c.is_ascii_digit()) { "_".to_owned() } else { String::new() };
    for c in name.chars() {
        match c {
            '.' | ':' => key.push_str("__"),
            c if c.is_ascii_alphanumeric() => key.push(c),
            _ => key.push('_'),
        }
    }
    key
}

/// The texts of a container that are templates.
pub(crate) fn texts(container: &Container) -> Vec<&str> {
    let mut texts = container.option_texts();
    texts.extend(container.env.values().map(String::as_str));
    texts.extend(container.command.iter().flatten().map(String::as_str));
    texts.extend(container.files.values().map(File::text));
    texts
}

/// The texts of a container that stays.
pub(crate) fn texts_of_run(run: &DockerRun) -> Vec<&str> {
    let mut texts = texts(&run.container);
    texts.extend(run.name.as_deref());
    texts.extend(run.ports.iter().map(String::as_str));
    texts.extend(run.secrets.values().map(String::as_str));
    texts.extend(run.health.iter().flat_map(Health::texts));
    texts.extend(run.switch.iter().filter_map(Switch::proxy).flat_map(|proxy| [proxy.caddy.as_str(), &proxy.id]));
    texts
}

/// The definitions of the variables that a step passes on.
pub(crate) fn passed_definitions<'a>(step: &Step, renderer: &Renderer<'a>) -> Result<Vec<Definition<'a>>, String> {
    let which = container(&step.action).map(|container| container.pass_variables).unwrap_or_default();
    if which.is_none() {
        return Ok(Vec::new());
    }
    let all = renderer.definitions()?.into_iter();
    Ok(all.filter(|(variable, _)| variable.secret.is_none() || which == PassVariables::WithSecrets).collect())
}

/// The values of those variables that are templates in turn.
pub(crate) fn passed_texts<'a>(request: &'a Request, step: &'a Step, place: Place<'a>) -> Vec<&'a str> {
    if container(&step.action).is_none_or(|container| container.pass_variables.is_none()) {
        return Vec::new();
    }
    let renderer = Renderer::new(request, place, "succeeded", Value::Null);
    // That two values fit equally well is told where they are needed.
    let definitions = passed_definitions(step, &renderer).unwrap_or_default();
    definitions.into_iter().filter_map(|(variable, _)| variable.value.as_deref()).collect()
}

/// What the options of the plan's containers come to that makes no sense, as sentences. What depends on outputs of
/// earlier steps is not known here and left to its time.
pub fn problems(request: &Request, plan: &Plan) -> Vec<String> {
    let snapshots = snapshots(request);
    let mut problems = Vec::new();
    let mut addresses = BTreeMap::new();
    for planned in &plan.steps {
        let Runs::On(targets) = &planned.runs else { continue };
        for target in targets.iter().filter(|_| may_be_wrong(&planned.step.action)) {
            let snapshot = snapshots.get(target).copied();
            let me = format!("step `{}` on `{target}`", planned.name());
            let networks = match on_target(request, &planned.step, target, snapshot) {
                Ok(networks) => networks,
                Err(found) => {
                    problems.extend(found.into_iter().map(|problem| format!("{me}: {problem}")));
                    continue;
                }
            };
            let engine = snapshot.map_or_else(|| target.to_string(), |target| target.docker.clone());
            for (network, ip) in networks.into_iter().filter_map(|(name, join)| Some((name, join.ipv4?))) {
                if let Some(other) = addresses.insert((engine.clone(), network.clone(), ip.clone()), me.clone()) {
                    problems.push(format!(
                        "{other} and {me} both want address {ip} of network {network} of the Docker engine {engine}; \
                         give one another address, for instance with a variable scoped to the target"
                    ));
                }
            }
        }
    }
    problems
}

/// Whether an action has more than was looked at when its manifest was applied.
fn may_be_wrong(action: &Action) -> bool {
    match container(action) {
        Some(container) => !container.pass_variables.is_none() || !container.option_texts().is_empty(),
        None => matches!(action, Action::DockerNetwork(_)),
    }
}

/// What is wrong with a step on a target; if nothing is, the networks on which its container stays.
fn on_target(
    request: &Request,
    step: &Step,
    target: &TargetName,
    snapshot: Option<&TargetSnapshot>,
) -> Result<IndexMap<String, JoinNetwork>, Vec<String>> {
    let roles = snapshot.map_or(&[] as &[_], |target| target.roles.as_slice());
    let place = Place::of(request, step, target, roles);
    let renderer = Renderer::new(request, place, "succeeded", Value::Object(Map::new()));
    // What is wrong with a text by itself is told by others.
    let render = |text: &str| renderer.render(text).map_err(|_| String::new());
    if let Action::DockerNetwork(network) = &step.action {
        return network.order(&render).map(|_| IndexMap::new());
    }
    let Some(container) = container(&step.action) else { return Ok(IndexMap::new()) };
    let passed = passed(container.pass_variables, &renderer, &render).err().filter(|problem| !problem.is_empty());
    match (container.options(&render), passed) {
        // Jobs come one after another, and what ended has no address any more.
        (Ok(_), None) if !matches!(step.action, Action::DockerRun(_)) => Ok(IndexMap::new()),
        (Ok(options), None) => Ok(options.networks),
        (options, passed) => Err(options.err().into_iter().flatten().chain(passed).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables_become_names_of_environment_variables() {
        for (name, expected) in [
            ("Greeting", "Greeting"),
            ("Smtp.Host", "Smtp__Host"),
            ("a-b c", "a_b_c"),
            ("1st", "_1st"),
            ("A:B", "A__B"),
        ] {
            assert_eq!(environment_name(name), expected);
        }
    }
}
