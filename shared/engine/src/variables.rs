//! Which value a variable has, at one place of one deployment.
//!
//! Scopes and their order are Octopus's: the step beats the target, the target its roles, a role
//! the environment, the environment the channel; a value scoped twice beats one scoped once. Among
//! roles the one that the step is aimed at goes first. Of equal scopes the project's own value beats
//! one of an included set. Two values of the same rank are an error that names both, never a coin toss.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use slipway_domain::{
    manifest::{Scope, Step, Variable},
    name::{ChannelName, EnvironmentName, RoleName, StepName, TargetName, VariableSetName},
    release::Request,
    secret::SecretRef,
    text::did_you_mean,
};

use crate::template::{self, Named};

/// Names that Slipway itself gives a value.
pub const BUILT_IN: [&str; 10] = [
    "Project",
    "Release",
    "Environment",
    "Channel",
    "Target",
    "Step",
    "Deployment.Id",
    "Deployment.Outcome",
    "Deployment.Mode",
    "Deployment.PreviousRelease",
];

/// Where a text is rendered.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The release's channel.
    pub channel: &'a ChannelName,
    /// The step.
    pub step: &'a StepName,
    /// The target, or a pseudo-target.
    pub target: &'a TargetName,
    /// The target's roles.
    pub roles: &'a [RoleName],
    /// The role that the step is aimed at.
    pub aimed_at: Option<&'a RoleName>,
}

impl<'a> Place<'a> {
    /// A step of a request on a target that has these roles.
    pub fn of(request: &'a Request, step: &'a Step, target: &'a TargetName, roles: &'a [RoleName]) -> Self {
        Self {
            environment: &request.environment,
            channel: &request.release.channel,
            step: &step.name,
            target,
            roles,
            aimed_at: step.targets.as_ref().map(|targets| &targets.role),
        }
    }
}

/// How specific a definition is; the greater wins. Most specific first: step, target, role that the
/// step is aimed at, role, environment, channel, and at last the project's own before a set's.
type Rank = [bool; 7];

fn rank(scope: &Scope, own: bool, place: &Place<'_>) -> Option<Rank> {
    fn fits(dimension: Option<bool>) -> Option<bool> {
        match dimension {
            Some(true) => Some(true),
            Some(false) => None,
            None => Some(false),
        }
    }
    let aimed = place.aimed_at.is_some_and(|role| {
        place.roles.contains(role) && scope.role.as_ref().is_some_and(|roles| roles.contains(role))
    });
    Some([
        fits(scope.step.as_ref().map(|s| s.contains(place.step)))?,
        fits(scope.target.as_ref().map(|s| s.contains(place.target)))?,
        aimed,
        fits(scope.role.as_ref().map(|s| s.as_slice().iter().any(|r| place.roles.contains(r))))?,
        fits(scope.environment.as_ref().map(|s| s.contains(place.environment)))?,
        fits(scope.channel.as_ref().map(|s| s.contains(place.channel)))?,
        own,
    ])
}

/// One value of a variable, and the set that it is from if it is not the project's own.
pub type Definition<'a> = (&'a Variable, Option<&'a VariableSetName>);

/// The definition that holds for a name at a place. `None`: no definition fits.
/// Errs when two fit equally well.
pub fn select<'a>(
    definitions: impl Iterator<Item = Definition<'a>>,
    name: &str,
    place: &Place<'_>,
) -> Result<Option<Definition<'a>>, String> {
    let mut best: Option<(Rank, Definition<'a>)> = None;
    let mut tie = None;
    for definition in definitions.filter(|(variable, _)| variable.name == name) {
        let Some(rank) = rank(&definition.0.scope, definition.1.is_none(), place) else { continue };
        match &best {
            Some((winner, _)) if *winner > rank => {}
            Some((winner, first)) if *winner == rank => tie = Some((*first, definition)),
            _ => {
                best = Some((rank, definition));
                tie = None;
            }
        }
    }
    if let Some((a, b)) = tie {
        return Err(format!(
            "variable `{name}` has two values that fit step `{}` on `{}` equally well: {} and {}; narrow the scope of one",
            place.step,
            place.target,
            describe(a),
            describe(b)
        ));
    }
    Ok(best.map(|(_, definition)| definition))
}

/// How a definition fares at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It holds.
    Wins,
    /// It fits as well as another one: an error.
    Ties,
    /// It fits, and a more specific one holds.
    Loses,
    /// Its scope does not fit.
    Elsewhere,
}

/// How every definition of a name fares at a place, in the order of their writing.
pub fn fits<'a>(
    definitions: impl Iterator<Item = Definition<'a>>,
    name: &str,
    place: &Place<'_>,
) -> Vec<(Definition<'a>, Fit)> {
    let of_name = definitions.filter(|(variable, _)| variable.name == name);
    let ranked: Vec<_> = of_name.map(|d| (d, rank(&d.0.scope, d.1.is_none(), place))).collect();
    let best = ranked.iter().filter_map(|(_, rank)| *rank).max();
    let ties = ranked.iter().filter(|(_, rank)| rank.is_some() && *rank == best).count() > 1;
    let fit = |rank: Option<Rank>| match rank {
        None => Fit::Elsewhere,
        rank if rank == best && ties => Fit::Ties,
        rank if rank == best => Fit::Wins,
        Some(_) => Fit::Loses,
    };
    ranked.into_iter().map(|(definition, rank)| (definition, fit(rank))).collect()
}

fn describe((variable, set): Definition<'_>) -> String {
    let what = match (&variable.value, &variable.secret) {
        (Some(value), _) => format!("\"{value}\""),
        (None, Some(secret)) => format!("secret {secret}"),
        (None, None) => "no value".to_owned(),
    };
    let from = set.map(|set| format!(" of variable set `{set}`")).unwrap_or_default();
    let scope = serde_json::to_string(&variable.scope).unwrap_or_default();
    if variable.scope.is_empty() { format!("{what}{from} (no scope)") } else { format!("{what}{from} (scope {scope})") }
}

/// Renders the texts of one task.
pub struct Renderer<'a> {
    request: &'a Request,
    place: Place<'a>,
    /// Values under their first name part that are no variables: built-ins and `steps`.
    given: Map<String, Value>,
    secrets: BTreeMap<&'a str, &'a SecretRef>,
}

impl<'a> Renderer<'a> {
    /// A renderer for a place. `outcome` is the deployment's outcome so far and `steps` the value
    /// of the name `steps`.
    pub fn new(request: &'a Request, place: Place<'a>, outcome: &str, steps: Value) -> Self {
        let mut given = Map::new();
        given.insert("Project".into(), request.project().as_str().into());
        given.insert("Release".into(), request.release.version.clone().into());
        given.insert("Environment".into(), request.environment.as_str().into());
        given.insert("Channel".into(), request.release.channel.as_str().into());
        given.insert("Target".into(), place.target.as_str().into());
        given.insert("Step".into(), place.step.as_str().into());
        let deployment = serde_json::json!({
            "Id": request.id.to_string(),
            "Outcome": outcome,
            "Mode": request.mode.as_str(),
            "PreviousRelease": request.previous.as_deref().unwrap_or_default(),
        });
        given.insert("Deployment".into(), deployment);
        given.insert("steps".into(), steps);
        let secrets = request.secrets.iter().map(|s| (s.name.as_str(), s)).collect();
        Self { request, place, given, secrets }
    }

    /// The text with its names replaced; secrets become markers.
    pub fn render(&self, text: &str) -> Result<String, String> {
        template::render_named(text, &|name| self.named(name))
    }

    /// The definitions that hold here, of every name that has one.
    pub fn definitions(&self) -> Result<Vec<Definition<'a>>, String> {
        let mut seen = BTreeSet::new();
        let names = self.request.release.definitions().map(|(variable, _)| variable.name.as_str());
        let names: Vec<&str> = names.filter(|name| seen.insert(*name)).collect();
        let found = names.into_iter().map(|name| select(self.request.release.definitions(), name, &self.place));
        found.filter_map(Result::transpose).collect()
    }

    /// What stands for the value of a variable that is a secret.
    pub(crate) fn marker(&self, variable: &Variable) -> Result<String, String> {
        Ok(self.reference(&variable.name, variable)?.marker())
    }

    /// Whether every variable that a text uses has a value here, whatever `steps` will hold.
    pub fn check_variables(&self, text: &str) -> Result<(), String> {
        self.check_within(text, &mut Vec::new())
    }

    /// The definitions that a text leads to, each once, by name.
    pub fn definitions_of(&self, text: &str) -> Result<BTreeMap<&'a str, Definition<'a>>, String> {
        let mut found = BTreeMap::new();
        let mut texts = vec![text];
        while let Some(text) = texts.pop() {
            for name in template::names(text)? {
                if self.given.contains_key(name.split('.').next().unwrap_or(&name)) {
                    continue;
                }
                let (_, definition) = self.definition(&name)?;
                if found.insert(definition.0.name.as_str(), definition).is_none() {
                    texts.extend(definition.0.value.as_deref());
                }
            }
        }
        Ok(found)
    }

    fn check_within(&self, text: &str, path: &mut Vec<String>) -> Result<(), String> {
        for name in template::names(text)? {
            let first = name.split('.').next().unwrap_or(&name);
            if self.given.contains_key(first) {
                continue;
            }
            let (candidate, (variable, _)) = self.definition(&name)?;
            if variable.secret.is_some() {
                self.reference(candidate, variable)?;
                continue;
            }
            template::enter(candidate, path)?;
            self.check_within(variable.value.as_deref().unwrap_or_default(), path)?;
            path.pop();
        }
        Ok(())
    }

    /// What a dotted name stands for.
    fn named(&self, name: &str) -> Result<Named, String> {
        let first = name.split('.').next().unwrap_or(name);
        if let Some(value) = self.given.get(first) {
            return Ok(Named::Whole(first.to_owned(), value.clone()));
        }
        let (candidate, (variable, _)) = self.definition(name)?;
        let name = candidate.to_owned();
        if variable.secret.is_some() {
            return Ok(Named::Text(name, self.reference(candidate, variable)?.marker()));
        }
        Ok(Named::Template(name, variable.value.clone().unwrap_or_default()))
    }

    /// The definition of the variable that a dotted name begins with, longest name first.
    fn definition<'n>(&self, name: &'n str) -> Result<(&'n str, Definition<'a>), String> {
        let mut candidate = name;
        loop {
            if let Some(definition) = select(self.request.release.definitions(), candidate, &self.place)? {
                return Ok((candidate, definition));
            }
            match candidate.rfind('.') {
                Some(dot) => candidate = &candidate[..dot],
                None => return Err(self.unknown(name)),
            }
        }
    }

    fn reference(&self, name: &str, variable: &Variable) -> Result<&'a SecretRef, String> {
        let secret = variable.secret.as_ref().map_or("", |s| s.as_str());
        self.secrets.get(secret).copied().ok_or_else(|| {
            format!(
                "variable `{name}` is secret `{secret}`, which is not set; set it with `slipway secret set {secret}`"
            )
        })
    }

    fn unknown(&self, name: &str) -> String {
        let defined = self.request.release.definitions().find(|(v, _)| v.name == name);
        if defined.is_some() {
            return format!(
                "variable `{name}` has no value for step `{}` on `{}` in environment `{}`; add one with that scope or without scope",
                self.place.step, self.place.target, self.place.environment
            );
        }
        let known = self.request.release.definitions().map(|(v, _)| v.name.as_str()).chain(BUILT_IN);
        format!("unknown variable `{name}`{}", did_you_mean(name, known))
    }
}
