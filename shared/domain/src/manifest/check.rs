//! What one manifest alone can get wrong beyond its form: names that point nowhere within it,
//! options that exclude each other, numbers that make no sense.
//!
//! Needs no other manifest and no server. Cycles, ranges and templates are the engine's.

mod children;
mod container;
mod project;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::{Environment, Feed, Lifecycle, Limits, Manifest, Required, Target, Team, Variable, VariableSet, Webhook};

/// One thing that is wrong, and the item of a list that it is about, such as `("steps", 2)`.
pub(super) struct Finding {
    pub(super) item: Option<(&'static str, usize)>,
    pub(super) message: String,
}

impl Finding {
    fn new(message: impl Into<String>) -> Self {
        Self { item: None, message: message.into() }
    }

    fn at(section: &'static str, index: usize, message: impl Into<String>) -> Self {
        Self { item: Some((section, index)), message: message.into() }
    }
}

/// Everything that is wrong with a manifest by itself, each in a sentence.
pub fn check(manifest: &Manifest) -> Vec<String> {
    findings(manifest).into_iter().map(|finding| finding.message).collect()
}

pub(super) fn findings(manifest: &Manifest) -> Vec<Finding> {
    match manifest {
        Manifest::Feed(feed) => check_feed(feed),
        Manifest::Environment(environment) => check_environment(environment),
        Manifest::Limits(limits) => check_limits(limits),
        Manifest::Freeze(_) => Vec::new(),
        Manifest::Target(target) => check_target(target),
        Manifest::Lifecycle(lifecycle) => check_lifecycle(lifecycle),
        Manifest::VariableSet(set) => check_set(set),
        Manifest::Project(project) => project::findings(project),
        Manifest::Webhook(webhook) => check_webhook(webhook),
        Manifest::Team(team) => check_team(team),
    }
}

fn check_feed(feed: &Feed) -> Vec<Finding> {
    let registry = feed.registry.as_str();
    if registry.is_empty() || registry.contains('/') || registry.contains(char::is_whitespace) {
        return vec![Finding::new(format!(
            "`registry: {registry}` is not a host: write host and port alone, such as 127.0.0.1:5000 or ghcr.io \
             (`plain-http: true` for http)"
        ))];
    }
    match &feed.ca {
        Some(_) if feed.plain_http => {
            vec![Finding::new("`ca` is for https, and `plain-http` says http: take one of them out")]
        }
        Some(path) if !path.starts_with('/') => vec![Finding::new(format!(
            "`ca: {path}` is not a whole path: write it as the release service finds it, such as /etc/slipway/registry-ca.pem"
        ))],
        _ => Vec::new(),
    }
}

fn check_environment(environment: &Environment) -> Vec<Finding> {
    Vec::from_iter(at_least_one("parallelism", environment.parallelism))
}

fn check_limits(limits: &Limits) -> Vec<Finding> {
    let mut found = Vec::from_iter(at_least_one("deployments", limits.deployments));
    if limits.name.as_str() != Limits::NAME {
        found.push(Finding::new(format!(
            "there is one set of limits, and it is called `{}`: write `name: {}`; an environment has `parallelism` of \
             its own",
            Limits::NAME,
            Limits::NAME
        )));
    }
    found
}

fn at_least_one(key: &str, limit: Option<u32>) -> Option<Finding> {
    (limit == Some(0)).then(|| {
        Finding::new(format!(
            "`{key}` is 0: no deployment could ever start; write 1 or more, or leave it out for no limit"
        ))
    })
}

fn check_target(target: &Target) -> Vec<Finding> {
    let mut found = Vec::new();
    if target.name.is_reserved() {
        found.push(Finding::new(format!("a target can not be called `{}`: the name is taken", target.name)));
    }
    if target.environments.is_empty() {
        found.push(Finding::new("`environments` is empty: name at least one"));
    }
    if target.parallelism == 0 {
        found.push(Finding::new("`parallelism` is 0: nothing could run; write 1 or more"));
    }
    found.extend(check_endpoint(target).map(Finding::new));
    found
}

fn check_endpoint(target: &Target) -> Option<String> {
    let docker = &target.docker;
    let no_endpoint = || {
        Some(format!(
            "`docker: {docker}` is not an endpoint: write unix:///path/to/docker.sock, tcp://host:2376 or ssh://user@host"
        ))
    };
    let Some((scheme, rest)) = docker.split_once("://") else { return no_endpoint() };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '@');
    let good = match scheme {
        "unix" => rest.starts_with('/') && rest.len() > 1,
        "tcp" => rest.chars().all(|c| plain(c) && c != '@') && rest.rsplit_once(':').is_some_and(is_host_and_port),
        "ssh" => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            let parts = host.rsplit_once(':');
            !rest.starts_with('-')
                && !host.starts_with('-')
                && rest.chars().all(plain)
                && !host.is_empty()
                && parts.is_none_or(is_host_and_port)
        }
        _ => false,
    };
    match (good, scheme, &target.tls) {
        (false, ..) => no_endpoint(),
        (true, "tcp", None) => Some(format!(
            "`docker: {docker}` has no `tls: {{ca, cert, key}}`: whoever reaches an engine without it is root on its host; give it certificates, or use ssh://user@host"
        )),
        (true, "unix" | "ssh", Some(_)) => Some(format!("`tls` is for tcp:// endpoints; leave it out for {docker}")),
        _ => None,
    }
}

fn is_host_and_port((host, port): (&str, &str)) -> bool {
    !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn check_lifecycle(lifecycle: &Lifecycle) -> Vec<Finding> {
    let mut found = Vec::new();
    if lifecycle.phases.is_empty() {
        found.push(Finding::new("`phases` is empty: a lifecycle needs at least one"));
    }
    for (index, phase) in lifecycle.phases.iter().enumerate() {
        let mut say = |message: String| found.push(Finding::at("phases", index, message));
        if phase.environments.is_empty() && lifecycle.phases[..index].iter().any(|p| p.environments.is_empty()) {
            say(format!(
                "phase `{}` would have no environments: an earlier phase has all that are not named",
                phase.name
            ));
        }
        let mut seen = BTreeSet::new();
        for environment in &phase.environments {
            if !seen.insert(environment.name()) {
                say(format!("environment `{}` is in the phase twice: keep one", environment.name()));
            }
        }
        if let Required::Minimum(n) = phase.required
            && (n == 0 || (!phase.environments.is_empty() && n as usize > phase.environments.len()))
        {
            say(format!(
                "phase `{}` requires a minimum of {n} of its {} environments: write 1 to {}",
                phase.name,
                phase.environments.len(),
                phase.environments.len()
            ));
        }
    }
    found
}

fn check_set(set: &VariableSet) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, variable) in set.variables.iter().enumerate() {
        let mut messages: Vec<String> = check_variable(variable);
        if variable.scope.step.is_some() || variable.scope.channel.is_some() {
            messages.push(
                "scope: steps and channels are a project's, a set can not know them: scope it by environment, target \
                 or role, or write the variable into the project"
                    .to_owned(),
            );
        }
        let say = |m: String| Finding::at("variables", index, format!("variable `{}`: {m}", variable.name));
        found.extend(messages.into_iter().map(say));
    }
    found
}

/// What a variable has wrong wherever it is.
fn check_variable(variable: &Variable) -> Vec<String> {
    let mut messages = Vec::new();
    if variable.name.trim().is_empty() {
        messages.push("the name is empty".to_owned());
    }
    match (&variable.value, &variable.secret) {
        (Some(_), Some(_)) => messages.push("has both `value` and `secret`: keep one".to_owned()),
        (None, Some(_)) if variable.prompt.is_some() => messages.push(
            "has `prompt` and `secret`: what is given with a deployment can be read in it; change the secret with \
             `slipway secret set`, or take `prompt` out"
                .to_owned(),
        ),
        (None, None) if variable.prompt.is_none() => {
            messages.push("has neither `value` nor `secret`: give it one".to_owned());
        }
        _ => {}
    }
    messages
}

fn check_webhook(webhook: &Webhook) -> Vec<Finding> {
    if webhook.feeds.is_empty() {
        return vec![Finding::new("`feeds` is empty: name the feeds whose images the webhook may announce")];
    }
    Vec::new()
}

fn check_team(team: &Team) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut persons = BTreeSet::new();
    let mut chat = BTreeSet::new();
    for (index, member) in team.members.iter().enumerate() {
        if !persons.insert(member.person()) {
            found.push(Finding::at("members", index, format!("`{}` is a member twice: keep one", member.person())));
        }
        if let Some(slack) = member.slack()
            && !chat.insert(slack)
        {
            found.push(Finding::at("members", index, format!("two members have the Slack id `{slack}`: keep one")));
        }
    }
    found
}
