//! `slipway explain scope`: which value each variable has at a place, and why.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use serde::Serialize;
use slipway_domain::{
    manifest::{self, Manifest, Project, Variable, VariableSet, parse::parse},
    name::{ChannelName, EnvironmentName, RoleName, StepName, TargetName, VariableSetName},
};
use slipway_engine::variables::{Fit, Place, fits};

use super::Shared;
use crate::{
    failure::{Failure, Result},
    output,
};

#[derive(Debug, Args)]
pub struct Scope {
    /// File with one Project, and the VariableSets that it includes
    file: PathBuf,
    /// Environment
    #[arg(long, default_value = "production")]
    environment: EnvironmentName,
    /// Step
    #[arg(long, default_value = "step")]
    step: StepName,
    /// Target
    #[arg(long, default_value = "target")]
    target: TargetName,
    /// Role of the target. May be repeated
    #[arg(long, value_name = "ROLE")]
    role: Vec<RoleName>,
    /// Role that the step is aimed at
    #[arg(long, value_name = "ROLE")]
    aimed_at: Option<RoleName>,
    /// Channel of the release
    #[arg(long, default_value = "default")]
    channel: ChannelName,
    /// Only this variable
    #[arg(long)]
    name: Option<String>,
}

/// One definition of a variable.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    value: Option<String>,
    secret: Option<String>,
    set: Option<VariableSetName>,
    scope: manifest::Scope,
    result: &'static str,
}

impl Scope {
    pub fn run(self, shared: &Shared) -> Result<()> {
        let file = self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file).map_err(|e| Failure::Usage(format!("{file}: {e}")))?;
        let manifests = parse(Some(&file), &text).map_err(|problems| {
            Failure::Usage(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        let rows = self.rows(&manifests).map_err(Failure::Usage)?;
        let ties = rows.iter().any(|row| row.result == word(Fit::Ties));
        shared.output.show(&rows, |_| table(&rows))?;
        if ties {
            return Err(Failure::Refused("two values fit equally well; narrow the scope of one".to_owned()));
        }
        Ok(())
    }

    fn rows(&self, manifests: &[Manifest]) -> std::result::Result<Vec<Row>, String> {
        let projects: Vec<&Project> = manifests.iter().filter_map(project).collect();
        let [project] = projects.as_slice() else {
            return Err(format!("the file has {} projects; one is explained at a time", projects.len()));
        };
        let sets: Vec<&VariableSet> = manifests.iter().filter_map(set).collect();
        let mut definitions: Vec<(&Variable, Option<&VariableSetName>)> =
            project.variables.iter().map(|variable| (variable, None)).collect();
        for name in &project.variable_sets {
            let set = sets.iter().find(|set| set.name == *name);
            let set =
                set.ok_or_else(|| format!("the project includes variable set `{name}`, which is not in the file"))?;
            definitions.extend(set.variables.iter().map(|variable| (variable, Some(&set.name))));
        }
        let place = Place {
            environment: &self.environment,
            channel: &self.channel,
            step: &self.step,
            target: &self.target,
            roles: &self.role,
            aimed_at: self.aimed_at.as_ref(),
        };
        let wanted = |name: &&str| self.name.as_deref().is_none_or(|wanted| wanted == *name);
        let names: BTreeSet<&str> = definitions.iter().map(|(v, _)| v.name.as_str()).filter(wanted).collect();
        let fits = names.into_iter().flat_map(|name| fits(definitions.iter().copied(), name, &place));
        Ok(fits
            .map(|((variable, set), fit)| Row {
                name: variable.name.clone(),
                value: variable.value.clone(),
                secret: variable.secret.as_ref().map(ToString::to_string),
                set: set.cloned(),
                scope: variable.scope.clone(),
                result: word(fit),
            })
            .collect())
    }
}

fn project(manifest: &Manifest) -> Option<&Project> {
    if let Manifest::Project(project) = manifest { Some(project) } else { None }
}

fn set(manifest: &Manifest) -> Option<&VariableSet> {
    if let Manifest::VariableSet(set) = manifest { Some(set) } else { None }
}

fn word(fit: Fit) -> &'static str {
    match fit {
        Fit::Wins => "holds",
        Fit::Ties => "fits as well as another one",
        Fit::Loses => "fits, another one is more specific",
        Fit::Elsewhere => "does not fit",
    }
}

fn table(rows: &[Row]) -> String {
    let row = |row: &Row| {
        let value = row.value.clone().or_else(|| row.secret.as_ref().map(|name| format!("(secret {name})")));
        vec![
            row.name.clone(),
            value.unwrap_or_default(),
            row.set.as_ref().map_or_else(|| "project".to_owned(), |set| format!("set {set}")),
            if row.scope.is_empty() { String::new() } else { serde_json::to_string(&row.scope).unwrap_or_default() },
            row.result.to_owned(),
        ]
    };
    output::table(&["variable", "value", "of", "scope", "result"], rows.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        scope: Scope,
    }

    const FILE: &str = "kind: VariableSet\nname: mail\nvariables:\n  - {name: Host, value: a}\n---\nkind: Project\nname: shop\nlifecycle: l\n\
        variable-sets: [mail]\nvariables:\n  - {name: Host, value: b}\n  - {name: Host, value: c, scope: {environment: production}}\n  \
        - {name: Key, secret: k, scope: {role: web}}\nsteps:\n  - {name: a, wait: 0s}\n";

    fn results(arguments: &[&str], text: &str) -> std::result::Result<Vec<String>, String> {
        let line = Line::parse_from([&["scope", "x.yml"], arguments].concat());
        let rows = line.scope.rows(&parse(None, text).unwrap())?;
        Ok(rows.iter().map(|r| format!("{} {}", r.value.as_deref().unwrap_or("secret"), r.result)).collect())
    }

    #[test]
    fn the_most_specific_value_holds_and_the_others_say_why_not() {
        let fits = "fits, another one is more specific";
        assert_eq!(
            results(&["--role", "web"], FILE).unwrap(),
            [format!("b {fits}"), "c holds".into(), format!("a {fits}"), "secret holds".into()]
        );
        assert_eq!(
            results(&["--environment", "staging", "--name", "Host"], FILE).unwrap(),
            ["b holds", "c does not fit", &format!("a {fits}")]
        );
        let twice = FILE.replace("value: b}", "value: b, scope: {environment: production}}");
        assert_eq!(results(&["--name", "Host"], &twice).unwrap()[0], "b fits as well as another one");
        assert!(results(&[], &FILE.replace("[mail]", "[other]")).is_err());
        assert!(results(&[], "kind: Environment\nname: e\n").unwrap_err().contains("0 projects"));
    }
}
