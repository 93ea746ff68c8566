//! What a step that consists of others, and those that it consists of, may say. They follow each other on a target, so
//! whatever is about targets or about other steps is said once, by the step that they belong to.

use crate::{
    manifest::{Action, Step},
    name::StepName,
};

/// The step that a child belongs to.
pub(super) fn parent_of<'a>(steps: &'a [Step], child: &StepName) -> Option<&'a Step> {
    steps.iter().find(|step| step.children().iter().any(|other| other.name == *child))
}

/// What to need in place of a child.
pub(super) fn need_parent(child: &StepName, parent: &Step) -> String {
    format!("`{child}` is a part of `{}`: need `{}`, which has ended when all of it has", parent.name, parent.name)
}

/// What is wrong with a step for the others that it consists of.
pub(super) fn check_parent(step: &Step, messages: &mut Vec<String>) {
    let Action::Steps(children) = &step.action else { return };
    let mut say = |message: &str| messages.push(message.to_owned());
    if children.is_empty() {
        say("`steps` is empty: write the steps that follow each other on each target, or give it a kind");
    }
    if step.targets.is_none() {
        say("its `steps` follow each other on each target: add `targets`");
    }
    if step.retry.is_some() {
        say("`retry` is about one attempt, and it makes none itself: write it at those of its steps that it is for");
    }
    if step.timeout.is_some() {
        say("`timeout` is about one attempt, and it makes none itself: write it at those of its steps that it is for");
    }
}

/// What is wrong with one of the steps that another one consists of.
pub(super) fn check_child(parent: &Step, child: &Step, messages: &mut Vec<String>) {
    let mut say = |message: String| messages.push(message);
    let parent = &parent.name;
    if !child.needs.is_empty() {
        say(format!(
            "a part of `{parent}` follows the one before it on the same target: remove `needs`, or write it at `{parent}`"
        ));
    }
    if child.targets.is_some() {
        say(format!("it runs on the targets of `{parent}`, which it is a part of: remove `targets`"));
    }
    if child.rolling.is_some() {
        say(format!("`{parent}`, which it is a part of, goes over the targets: write `rolling` there"));
    }
    match &child.action {
        Action::Steps(_) => say(format!("a part of `{parent}` has no `steps` of its own: write them into `{parent}`")),
        action @ (Action::Approval(_) | Action::Slack(_)) => say(format!(
            "`{}` happens once and not on each target, so it can not be a part of `{parent}`: make it a step of its own \
             before or after `{parent}`; people look after the canary with `rolling.then`",
            action.kind()
        )),
        _ => {}
    }
}
