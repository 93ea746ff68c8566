//! `docker-run`: replaces the container of a place by a new one that proves to be good.
//!
//! The order of things is the same for a first attempt and for an adoption: look what is there,
//! bring the new container up, then retire the old ones. Whatever goes wrong before the new one is
//! good is undone: the new one goes, the old one serves again.

mod health;
mod outputs;
mod proxy;
mod replace;

use std::collections::HashMap;

use serde_json::json;
use slipway_domain::{
    manifest::Healthcheck,
    order::{ContainerOptions, Outputs, RunContainer},
};

use self::replace::Replacement;
use crate::{
    docker::{
        container::Blueprint,
        labels::{self, Kind},
    },
    steps,
    task::{Stop, Task, wrong_order},
};

/// Replaces the container.
pub async fn perform(task: &Task<'_>, work: &RunContainer) -> Result<Outputs, Stop> {
    check_name(&work.name)?;
    let engine = task.engine()?;
    let identity = task.identity(Kind::Run);
    let mut replacement = Replacement::look(task, engine, identity, work).await?;
    if task.doorbell.stop {
        return Err(replacement.undo(Stop::Cancelled).await);
    }
    if task.doorbell.restore {
        replacement.take_back().await?;
        return Ok(Outputs::new());
    }
    match replacement.bring_up().await {
        Ok(container) => {
            replacement.retire_predecessors().await?;
            outputs::of(task, work, container)
        }
        Err(stop) => Err(replacement.undo(stop).await),
    }
}

/// What the container shall be. `spec` is the hash by which an adopter knows it again.
fn blueprint(task: &Task<'_>, work: &RunContainer) -> Result<Blueprint, Stop> {
    let filled = |check: &Healthcheck| -> Result<Healthcheck, Stop> {
        Ok(Healthcheck { command: steps::filled(task, &check.command)?, ..check.clone() })
    };
    Ok(Blueprint {
        image: work.image.pinned(),
        env: steps::environment(task, &work.env)?,
        command: steps::command(task, work.command.as_ref())?,
        ports: work.ports.clone(),
        labels: labels(task, work),
        secrets: None,
        options: steps::options(task, &work.options)?,
        healthcheck: work.health.as_ref().and_then(|health| health.healthcheck.as_ref()).map(filled).transpose()?,
    })
}

fn labels(task: &Task<'_>, work: &RunContainer) -> HashMap<String, String> {
    let mut labels = task.identity(Kind::Run).labels(&spec(work));
    if !work.restart.is_default() {
        labels.insert(labels::RESTART.to_owned(), work.restart.to_string());
    }
    labels
}

fn spec(work: &RunContainer) -> String {
    let mut parts = json!({
        "image": work.image.digest, "name": work.name, "env": work.env, "ports": work.ports, "command": work.command,
    });
    if !work.files.is_empty() {
        parts["files"] = json!(work.files);
    }
    if !work.secrets.is_empty() {
        parts["secrets"] = json!(work.secrets);
    }
    if *work.options != ContainerOptions::default() {
        parts["options"] = json!(work.options);
    }
    if !work.restart.is_default() {
        parts["restart"] = json!(work.restart);
    }
    if work.create_only {
        parts["create-only"] = json!(true);
    }
    if let Some(check) = work.health.as_ref().and_then(|health| health.healthcheck.as_ref()) {
        parts["healthcheck"] = json!(check);
    }
    labels::spec(&parts)
}

/// Docker's own rule for names, since what follows the beginning is always fine.
fn check_name(name: &str) -> Result<(), Stop> {
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if good {
        return Ok(());
    }
    Err(wrong_order(format!(
        "`{name}` can not begin a container's name; use a-z, A-Z, 0-9, `_`, `.` and `-`, beginning with a letter or digit"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_knows_every_option_and_is_what_it_was_where_there_is_none() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = json!({ "registry": "r", "repository": "web", "tag": "1", "digest": digest });
        let work = |more: serde_json::Value| -> RunContainer {
            let mut order = json!({ "image": image, "name": "web", "env": {}, "ports": [] });
            order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(order).unwrap()
        };
        let none = spec(&work(json!({})));
        let before = json!({ "image": digest, "name": "web", "env": {}, "ports": [], "command": null });
        assert_eq!(none, labels::spec(&before), "containers from before there were options are known again");
        let others = [
            json!({ "memory": 1 << 30 }),
            json!({ "memory": 1 << 29 }),
            json!({ "networks": { "shop": {} } }),
            json!({ "labels": { "a": "b" } }),
            json!({ "restart": "no" }),
            json!({ "create-only": true }),
            json!({ "health": { "healthcheck": { "command": ["a"] } } }),
        ];
        let mut specs: Vec<String> = others.into_iter().map(|more| spec(&work(more))).collect();
        specs.push(none.clone());
        let count = specs.len();
        specs.sort();
        specs.dedup();
        assert_eq!(specs.len(), count);
        assert_eq!(spec(&work(json!({ "health": { "within": "9s" } }))), none, "what proves it good is none of it");
    }

    #[test]
    fn a_name_follows_dockers_rule() {
        for good in ["web", "shop-web", "a.b_c", "0"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "ä", "a/b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
