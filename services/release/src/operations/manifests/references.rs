//! What a manifest gets wrong about others: names that nothing has. And what needs the rules of the
//! engine to judge: circles among steps, version ranges, lifecycles that nothing could pass.
//!
//! What one manifest alone gets wrong is found while it is read.

use slipway_domain::{
    manifest::{
        Feed, Freeze, Lifecycle, Manifest, OneOrMany, Project, Scope, Step, Target, VariableSet, Webhook,
        parse::Problem as TextProblem, with_children,
    },
    text::did_you_mean,
};
use slipway_engine::{channel, compile, freeze};

use crate::{operations::request::asked_by, world::World};

/// Everything that is wrong with a manifest in this world.
pub fn problems(manifest: &Manifest, world: &World) -> Vec<TextProblem> {
    let mut found =
        Found { place: format!("{} `{}`", manifest.kind().as_str(), manifest.name()), messages: Vec::new() };
    match manifest {
        Manifest::Feed(Feed { .. }) | Manifest::Environment(_) | Manifest::Limits(_) | Manifest::Team(_) => {}
        Manifest::Freeze(freeze) => freeze_problems(freeze, world, &mut found),
        Manifest::Target(target) => target_problems(target, world, &mut found),
        Manifest::Lifecycle(lifecycle) => lifecycle_problems(lifecycle, world, &mut found),
        Manifest::Webhook(webhook) => webhook_problems(webhook, world, &mut found),
        Manifest::VariableSet(set) => set_problems(set, world, &mut found),
        Manifest::Project(project) => project_problems(project, world, &mut found),
    }
    let place = found.place;
    let message = |message: String| TextProblem { file: None, line: None, message: format!("{place}: {message}") };
    found.messages.into_iter().map(message).collect()
}

struct Found {
    place: String,
    messages: Vec<String>,
}

impl Found {
    fn say(&mut self, message: String) {
        self.messages.push(message);
    }

    /// Says so if nothing known has this name.
    fn must_exist<'a>(&mut self, at: &str, kind: &str, name: &str, known: impl Iterator<Item = &'a str>) {
        let known: Vec<&str> = known.collect();
        if !known.contains(&name) {
            self.say(format!(
                "{at} names {kind} `{name}`, which is not there{}",
                did_you_mean(name, known.iter().copied())
            ));
        }
    }
}

fn target_problems(target: &Target, world: &World, found: &mut Found) {
    for name in &target.environments {
        found.must_exist("`environments`", "environment", name.as_str(), world.environments.keys().map(|n| n.as_str()));
    }
}

fn freeze_problems(freeze: &Freeze, world: &World, found: &mut Found) {
    freeze::problems(freeze).into_iter().for_each(|message| found.say(message));
    for name in &freeze.environments {
        found.must_exist("`environments`", "environment", name.as_str(), world.environments.keys().map(|n| n.as_str()));
    }
    for name in &freeze.projects {
        found.must_exist("`projects`", "project", name.as_str(), world.projects.keys().map(|n| n.as_str()));
    }
    for name in &freeze.ignorable_by {
        found.must_exist("`ignorable-by`", "team", name.as_str(), world.teams.keys().map(|n| n.as_str()));
    }
}

fn lifecycle_problems(lifecycle: &Lifecycle, world: &World, found: &mut Found) {
    for phase in &lifecycle.phases {
        for environment in &phase.environments {
            let at = format!("phase `{}`", phase.name);
            let known = world.environments.keys().map(|n| n.as_str());
            found.must_exist(&at, "environment", environment.name().as_str(), known);
        }
    }
}

fn webhook_problems(webhook: &Webhook, world: &World, found: &mut Found) {
    for name in &webhook.feeds {
        found.must_exist("`feeds`", "feed", name.as_str(), world.feeds.keys().map(|n| n.as_str()));
    }
}

fn project_problems(project: &Project, world: &World, found: &mut Found) {
    let lifecycles = world.lifecycles.keys().map(|n| n.as_str());
    found.must_exist("`lifecycle`", "lifecycle", project.lifecycle.as_str(), lifecycles);
    for (package, source) in &project.packages {
        let at = format!("package `{package}`");
        found.must_exist(&at, "feed", source.feed.as_str(), world.feeds.keys().map(|n| n.as_str()));
    }
    for channel in &project.channels {
        if let Some(lifecycle) = &channel.lifecycle {
            let at = format!("channel `{}`", channel.name);
            found.must_exist(&at, "lifecycle", lifecycle.as_str(), world.lifecycles.keys().map(|n| n.as_str()));
        }
        if let Err(message) = channel::Rules::parse(channel) {
            found.say(message);
        }
    }
    for name in &project.variable_sets {
        let known = world.variable_sets.keys().map(|n| n.as_str());
        found.must_exist("`variable-sets`", "variable set", name.as_str(), known);
    }
    for variable in &project.variables {
        scope_problems(&format!("variable `{}`", variable.name), &variable.scope, project, world, found);
    }
    for step in with_children(&project.steps) {
        step_problems(step, project, world, found);
    }
    compile::cycles(&project.steps).into_iter().for_each(|message| found.say(message));
}

fn set_problems(set: &VariableSet, world: &World, found: &mut Found) {
    for variable in &set.variables {
        place_problems(&format!("variable `{}`", variable.name), &variable.scope, world, found);
    }
}

fn scope_problems(at: &str, scope: &Scope, project: &Project, world: &World, found: &mut Found) {
    place_problems(at, scope, world, found);
    for name in all(scope.step.as_ref()) {
        found.must_exist(at, "step", name.as_str(), with_children(&project.steps).map(|s| s.name.as_str()));
    }
    for name in all(scope.channel.as_ref()) {
        found.must_exist(at, "channel", name.as_str(), channels(project));
    }
}

/// What a scope says of environments, targets and roles.
fn place_problems(at: &str, scope: &Scope, world: &World, found: &mut Found) {
    for name in all(scope.environment.as_ref()) {
        found.must_exist(at, "environment", name.as_str(), world.environments.keys().map(|n| n.as_str()));
    }
    for name in all(scope.target.as_ref()) {
        let known = world.targets.keys().map(|n| n.as_str());
        let pseudo = [slipway_domain::name::WORKER, slipway_domain::name::NOTIFIER];
        found.must_exist(at, "target", name.as_str(), known.chain(pseudo));
    }
    for name in all(scope.role.as_ref()) {
        found.must_exist(at, "role", name.as_str(), roles(world));
    }
}

fn step_problems(step: &Step, project: &Project, world: &World, found: &mut Found) {
    let at = format!("step `{}`", step.name);
    if let Some(targets) = &step.targets {
        found.must_exist(&at, "role", targets.role.as_str(), roles(world));
    }
    for name in step.when.environments.iter().flatten() {
        found.must_exist(&at, "environment", name.as_str(), world.environments.keys().map(|n| n.as_str()));
    }
    for name in step.when.channels.iter().flatten() {
        found.must_exist(&at, "channel", name.as_str(), channels(project));
    }
    if let Some(approval) = asked_by(step) {
        for name in &approval.teams {
            found.must_exist(&at, "team", name.as_str(), world.teams.keys().map(|n| n.as_str()));
        }
    }
}

fn all<T: PartialEq>(names: Option<&OneOrMany<T>>) -> &[T] {
    names.map(OneOrMany::as_slice).unwrap_or_default()
}

fn channels(project: &Project) -> impl Iterator<Item = &str> {
    let implied = project.channels.is_empty().then_some(channel::DEFAULT);
    project.channels.iter().map(|c| c.name.as_str()).chain(implied)
}

fn roles(world: &World) -> impl Iterator<Item = &str> {
    world.targets.values().flat_map(|target| target.roles.iter().map(|role| role.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_domain::manifest::parse::parse_json;

    use super::*;

    fn world(manifests: &[serde_json::Value]) -> World {
        World::of(manifests.iter().map(|m| parse_json(m).unwrap()))
    }

    fn check(manifest: serde_json::Value, world: &World, expect: &[&str]) {
        let found: Vec<String> =
            problems(&parse_json(&manifest).unwrap(), world).into_iter().map(|p| p.message).collect();
        assert_eq!(found.len(), expect.len(), "{found:#?}");
        for (message, part) in found.iter().zip(expect) {
            assert!(message.contains(part), "{message} does not say {part}");
        }
    }

    #[test]
    fn every_name_that_nothing_has_is_told_at_once() {
        let world = world(&[
            json!({"kind": "Environment", "name": "production"}),
            json!({"kind": "Target", "name": "web-01", "environments": ["production"], "roles": ["web"], "docker": "unix:///d"}),
            json!({"kind": "Lifecycle", "name": "standard", "phases": [{"name": "Live", "environments": ["production"]}]}),
            json!({"kind": "Team", "name": "ops"}),
            json!({"kind": "VariableSet", "name": "shared"}),
        ]);
        check(
            json!({"kind": "Project", "name": "shop", "lifecycle": "standrad",
            "packages": {"web": {"feed": "local", "image": "shop/web"}},
            "variable-sets": ["shard"],
            "variables": [{"name": "A", "value": "1", "scope": {"environment": "prodution", "target": "worker"}}],
            "steps": [
                {"name": "ask", "approval": {"teams": ["opps"]}},
                {"name": "run", "targets": {"role": "wev"}, "docker-run": {"package": "web"}}
            ]}),
            &world,
            &[
                "lifecycle `standrad`, which is not there (did you mean `standard`?)",
                "feed `local`",
                "variable set `shard`, which is not there (did you mean `shared`?)",
                "environment `prodution`, which is not there (did you mean `production`?)",
                "team `opps`, which is not there (did you mean `ops`?)",
                "role `wev`, which is not there (did you mean `web`?)",
            ],
        );
        check(
            json!({"kind": "Target", "name": "t", "environments": ["x"], "docker": "unix:///d"}),
            &world,
            &["environment `x`"],
        );
        check(
            json!({"kind": "VariableSet", "name": "s", "variables": [{"name": "A", "value": "1", "scope": {"role": "wep"}}]}),
            &world,
            &["variable `A` names role `wep`, which is not there (did you mean `web`?)"],
        );
        check(json!({"kind": "Webhook", "name": "w", "source": "distribution", "feeds": ["f"]}), &world, &["feed `f`"]);
    }

    #[test]
    fn a_freeze_names_what_there_is_and_has_times_that_make_sense() {
        let world = world(&[json!({"kind": "Environment", "name": "production"})]);
        check(
            json!({"kind": "Freeze", "name": "f", "environments": ["prodution"], "projects": ["shop"], "ignorable-by": ["ops"],
                "schedule": "often", "duration": "1h", "timezone": "UTC"}),
            &world,
            &[
                "`schedule: often`",
                "environment `prodution`, which is not there (did you mean `production`?)",
                "project `shop`",
                "team `ops`",
            ],
        );
    }

    #[test]
    fn every_circle_and_every_bad_range_is_named() {
        let world = world(&[
            json!({"kind": "Environment", "name": "e"}),
            json!({"kind": "Lifecycle", "name": "l", "phases": [{"name": "P", "environments": ["e"]}]}),
        ]);
        let wait = |name: &str, needs: &[&str]| json!({"name": name, "needs": needs, "wait": "1s"});
        check(
            json!({"kind": "Project", "name": "p", "lifecycle": "l",
                "channels": [{"name": "c", "versions": "[1"}, {"name": "d", "prerelease": "("}],
                "steps": [wait("a", &["b"]), wait("b", &["a"]), wait("c", &["d"]), wait("d", &["c"])]}),
            &world,
            &["channel `c`: versions", "channel `d`: prerelease", "a -> b -> a", "c -> d -> c"],
        );
    }
}
