//! What a Project manifest can get wrong by itself.

mod http;
mod script;

use std::collections::BTreeSet;

use super::{Finding, check_variable, children, container};
use crate::{
    manifest::{Action, DEFAULT_TIMEOUT, OnFailure, Project, Sql, Step, with_children},
    name::{PackageName, StepName},
    text::did_you_mean,
};

pub(super) fn findings(project: &Project) -> Vec<Finding> {
    let mut found = Vec::new();
    check_channels(project, &mut found);
    check_triggers(project, &mut found);
    check_sets(project, &mut found);
    check_variables(project, &mut found);
    if project.steps.is_empty() {
        found.push(Finding::new("`steps` is empty: a project needs at least one"));
    }
    let mut seen = BTreeSet::new();
    for (index, step) in project.steps.iter().enumerate() {
        for one in std::iter::once(step).chain(step.children()) {
            let mut messages = Vec::new();
            if !seen.insert(&one.name) {
                messages.push("the name is used by an earlier step: choose another".to_owned());
            }
            if std::ptr::eq(one, step) {
                check_needs(project, step, &mut messages);
                children::check_parent(step, &mut messages);
                check_places(step, &mut messages);
            } else {
                children::check_child(step, one, &mut messages);
            }
            check_options(one, &mut messages);
            check_action(project, one, &mut messages);
            let finding = |message| Finding::at("steps", index, format!("step `{}`: {message}", one.name));
            found.extend(messages.into_iter().map(finding));
        }
    }
    found
}

fn check_channels(project: &Project, found: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for (index, channel) in project.channels.iter().enumerate() {
        if !seen.insert(&channel.name) {
            found.push(Finding::at("channels", index, format!("channel `{}` is there twice: keep one", channel.name)));
        }
    }
}

fn check_triggers(project: &Project, found: &mut Vec<Finding>) {
    for (index, trigger) in project.triggers.iter().enumerate() {
        for package in &trigger.packages {
            if let Some(message) = unknown_package(project, package) {
                found.push(Finding::at("triggers", index, format!("trigger: {message}")));
            }
        }
        if let Some(channel) = &trigger.channel
            && !has_channel(project, channel.as_str())
        {
            found.push(Finding::at(
                "triggers",
                index,
                format!("trigger: {}", unknown_channel(project, channel.as_str())),
            ));
        }
        if project.packages.is_empty() {
            found.push(Finding::at("triggers", index, "trigger: the project has no packages that could be pushed"));
        }
    }
}

fn check_sets(project: &Project, found: &mut Vec<Finding>) {
    for (index, name) in project.variable_sets.iter().enumerate() {
        if project.variable_sets[..index].contains(name) {
            found.push(Finding::at("variable-sets", index, format!("`variable-sets` names `{name}` twice: keep one")));
        }
    }
}

fn check_variables(project: &Project, found: &mut Vec<Finding>) {
    for (index, variable) in project.variables.iter().enumerate() {
        let mut say = |message: String| {
            found.push(Finding::at("variables", index, format!("variable `{}`: {message}", variable.name)))
        };
        check_variable(variable).into_iter().for_each(&mut say);
        for step in variable.scope.step.iter().flat_map(|s| s.as_slice()) {
            match with_children(&project.steps).find(|other| other.name == *step) {
                None => say(format!("scope: {}", unknown_step(step, with_children(&project.steps)))),
                Some(parent) if matches!(parent.action, Action::Steps(_)) => {
                    say(format!("scope: `{step}` does nothing itself: name those of its steps that it is for"))
                }
                Some(_) => {}
            }
        }
        for channel in variable.scope.channel.iter().flat_map(|c| c.as_slice()) {
            if !has_channel(project, channel.as_str()) {
                say(format!("scope: {}", unknown_channel(project, channel.as_str())));
            }
        }
    }
}

fn check_needs(project: &Project, step: &Step, messages: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for need in &step.needs {
        if !project.steps.iter().any(|other| other.name == *need) {
            let parent = children::parent_of(&project.steps, need).map(|parent| children::need_parent(need, parent));
            messages.push(format!("`needs`: {}", parent.unwrap_or_else(|| unknown_step(need, project.steps.iter()))));
        }
        if !seen.insert(need) {
            messages.push(format!("`needs` names `{need}` twice: keep one"));
        }
    }
}

/// Where a step runs, and how it goes over its targets.
fn check_places(step: &Step, messages: &mut Vec<String>) {
    let kind = step.action.kind();
    if step.targets.is_some() && matches!(step.action, Action::Approval(_) | Action::Slack(_)) {
        messages.push(format!("`{kind}` happens once and has no targets: remove `targets`"));
    }
    if let Some(rolling) = &step.rolling {
        if step.targets.is_none() {
            messages.push("`rolling` goes over targets: add `targets` or remove it".to_owned());
        }
        if rolling.window == 0 {
            messages.push("`rolling.window` is 0: nothing could start; write 1 or more".to_owned());
        }
        if rolling.then.is_some() && rolling.canary.is_none() {
            messages
                .push("`rolling.then` comes after the canary: say how many targets go first with `canary`".to_owned());
        }
        if rolling.then.as_ref().is_some_and(|then| !then.approval.blocks) {
            let why = "its step is half done, and another deployment can not pass";
            messages.push(format!("`rolling.then.approval.blocks` can not be false: {why}"));
        }
        if rolling.then.as_ref().is_some_and(|then| then.approval.votes == 0) {
            messages.push("`rolling.then.approval.votes` is 0: write 1 or more".to_owned());
        }
        if rolling.on_failure == OnFailure::Restore && !can_be_taken_back(step) {
            messages.push(match step.children() {
                [] => format!("`{kind}` can not be taken back: `on-failure: restore` is for docker-run"),
                _ => "none of its steps can be taken back: `on-failure: restore` is for docker-run".to_owned(),
            });
        }
    }
}

fn check_options(step: &Step, messages: &mut Vec<String>) {
    if let Some(retry) = &step.retry {
        if retry.attempts == 0 {
            messages.push("`retry.attempts` is 0: it counts the first attempt too; write 1 or more".to_owned());
        }
        if matches!(step.action, Action::Approval(_)) {
            messages.push("people are not asked again by themselves: remove `retry`".to_owned());
        }
    }
    if step.timeout.is_some() && matches!(step.action, Action::Approval(_)) {
        messages.push("write the time-out inside of `approval`".to_owned());
    }
    if step.timeout.is_some_and(|timeout| timeout.0.is_zero()) {
        messages.push("`timeout` is 0: write how long one attempt may take, such as 5m".to_owned());
    }
    let timeout = step.timeout.unwrap_or(DEFAULT_TIMEOUT);
    if let Action::Wait(span) = &step.action
        && *span > timeout
    {
        messages.push(format!("waits {span}, longer than its time-out of {timeout}: give it a longer `timeout`"));
    }
    if step.when.channels.as_ref().is_some_and(Vec::is_empty) {
        messages.push("`when.channels` is empty: the step would never happen".to_owned());
    }
    if let Some(text) = step.when.condition.as_ref().filter(|text| !text.contains("#{")) {
        messages.push(format!(
            "`when.if: {text}` is a plain text, so it is always the same: write what it depends on as \
             \"#{{…}}\", such as \"#{{ Target != 'web-03' }}\""
        ));
    }
    if step.when.environments.as_ref().is_some_and(Vec::is_empty) {
        messages.push("`when.environments` is empty: the step would never happen".to_owned());
    }
}

/// Whether what it does on a target can be undone there.
fn can_be_taken_back(step: &Step) -> bool {
    let is_run = |step: &Step| matches!(step.action, Action::DockerRun(_));
    is_run(step) || step.children().iter().any(is_run)
}

fn check_action(project: &Project, step: &Step, messages: &mut Vec<String>) {
    let package = match &step.action {
        Action::DockerRun(run) => {
            container::check_run(step, run, messages);
            Some(&run.container.package)
        }
        Action::DockerJob(job) => {
            container::check(step, job, messages);
            Some(&job.package)
        }
        Action::Script(script) => {
            script::check(script, messages);
            container::check_files(&script.files, messages);
            script.package.as_ref()
        }
        Action::Sql(sql) => {
            check_sql(sql, messages);
            sql.package.as_ref()
        }
        Action::Http(call) => {
            http::check(call, step.timeout.unwrap_or(DEFAULT_TIMEOUT), messages);
            None
        }
        Action::DockerPull(pull) => {
            messages.extend(pull.packages.iter().filter_map(|package| unknown_package(project, package)));
            if project.packages.is_empty() {
                messages.push("`docker-pull`: the project has no packages".to_owned());
            }
            None
        }
        Action::DockerNetwork(network) => {
            messages.extend(network.order(&container::literal).err().unwrap_or_default());
            None
        }
        Action::Approval(approval) => {
            if approval.votes == 0 {
                messages.push("`approval.votes` is 0: write 1 or more".to_owned());
            }
            None
        }
        Action::Slack(_) | Action::Wait(_) | Action::Demo(_) | Action::Steps(_) => None,
    };
    messages.extend(package.and_then(|package| unknown_package(project, package)));
}

fn check_sql(sql: &Sql, messages: &mut Vec<String>) {
    match (&sql.package, &sql.path, &sql.files) {
        (Some(_), Some(_), None) => {}
        (None, None, Some(files)) if files.is_empty() => messages.push("`sql.files` is empty".to_owned()),
        (None, None, Some(_)) => {}
        (Some(_), None, None) => messages.push("`sql` has `package` but no `path`: say where the files are".to_owned()),
        (None, Some(_), None) => {
            messages.push("`sql` has `path` but no `package`: say which image has the files".to_owned());
        }
        (None, None, None) => messages.push("`sql` needs either `package` and `path`, or `files`".to_owned()),
        (_, _, Some(_)) => {
            messages.push("`sql` has both `files` and `package` or `path`: keep one of the two".to_owned());
        }
    }
}

fn unknown_step<'a>(step: &StepName, steps: impl Iterator<Item = &'a Step>) -> String {
    format!("there is no step `{step}`{}", did_you_mean(step.as_str(), steps.map(|other| other.name.as_str())))
}

fn unknown_package(project: &Project, package: &PackageName) -> Option<String> {
    (!project.packages.contains_key(package)).then(|| {
        let known = project.packages.keys().map(PackageName::as_str);
        format!("there is no package `{package}`{}; add it to `packages`", did_you_mean(package.as_str(), known))
    })
}

fn has_channel(project: &Project, name: &str) -> bool {
    project.channels.iter().any(|c| c.name.as_str() == name) || (project.channels.is_empty() && name == "default")
}

fn unknown_channel(project: &Project, name: &str) -> String {
    let known = project.channels.iter().map(|c| c.name.as_str());
    format!("there is no channel `{name}`{}", did_you_mean(name, known))
}
