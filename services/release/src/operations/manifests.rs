//! Manifests: applied all or nothing, looked at, removed.

mod differences;
mod references;

use std::collections::BTreeSet;

use serde_json::Value;
use slipway_domain::{
    api::{ApplyAnswer, ApplyRequest, Change, ChangeAction},
    event::Actor,
    manifest::{
        Kind, Manifest,
        parse::{Problem as TextProblem, parse_json},
    },
};
use slipway_store::ManifestChange;

use crate::{app::App, operations::audit, policy, problem::Problem, world::World};

/// Applies manifests, or only tells what would change. Any problem in any of them changes nothing.
pub async fn apply(app: &App, request: &ApplyRequest, actor: &Actor) -> Result<ApplyAnswer, Problem> {
    let manifests = read(&request.manifests)?;
    let world = app.world().await?;
    let before = world.manifests();
    let pruned = if request.prune { pruned(&before, &manifests)? } else { Vec::new() };
    let mut after = World::clone(&world);
    pruned.iter().for_each(|manifest| after.remove(manifest));
    manifests.iter().for_each(|manifest| after.put(manifest.clone()));
    let problems: Vec<TextProblem> =
        manifests.iter().flat_map(|manifest| references::problems(manifest, &after)).collect();
    if !problems.is_empty() {
        return Err(Problem::problems(problems));
    }
    let mut changes: Vec<Change> = manifests.iter().map(|manifest| change(&before, manifest)).collect();
    changes.extend(pruned.iter().map(removal));
    if !request.dry_run {
        store(app, &[manifests, pruned].concat(), &changes, actor).await?;
    }
    Ok(ApplyAnswer { changes, dry_run: request.dry_run })
}

/// What there is beyond these manifests.
fn pruned(before: &[Manifest], manifests: &[Manifest]) -> Result<Vec<Manifest>, Problem> {
    if manifests.is_empty() {
        return Err(Problem::invalid(
            "nothing-to-keep",
            "there is no manifest among the files, so everything would be removed; name the files that are to stay",
        ));
    }
    let stays = |old: &&Manifest| manifests.iter().any(|new| new.kind() == old.kind() && new.name() == old.name());
    Ok(before.iter().filter(|old| !stays(old)).cloned().collect())
}

fn removal(manifest: &Manifest) -> Change {
    let name = manifest.name().to_owned();
    Change { kind: manifest.kind(), name, action: ChangeAction::Remove, differences: Vec::new() }
}

/// Removes a manifest that no other needs.
pub async fn remove(app: &App, kind: Kind, name: &str, actor: &Actor) -> Result<(), Problem> {
    let manifest = get(app, kind, name).await?;
    let mut after = World::clone(&*app.world().await?);
    after.remove(&manifest);
    let broken: Vec<String> = after
        .manifests()
        .iter()
        .filter(|other| !references::problems(other, &after).is_empty())
        .map(|other| format!("{} {}", other.kind().as_str(), other.name()))
        .collect();
    if !broken.is_empty() {
        return Err(Problem::refusal(
            "in-use",
            format!("{} {name} is used by {}; change those first", kind.as_str(), broken.join(", ")),
        ));
    }
    let entry = audit(actor, "remove", format!("{}/{name}", kind.plural()), "");
    app.store.change_manifests(&[ManifestChange::Remove(kind, name.to_owned())], &[entry]).await?;
    if policy::is_made_of(kind) { policy::publish(app, actor).await } else { Ok(()) }
}

/// One manifest.
pub async fn get(app: &App, kind: Kind, name: &str) -> Result<Manifest, Problem> {
    app.store.manifest(kind, name).await?.ok_or_else(|| {
        Problem::not_found(
            "unknown-manifest",
            format!("there is no {} `{name}`; apply its manifest first", kind.as_str()),
        )
    })
}

fn read(values: &[Value]) -> Result<Vec<Manifest>, Problem> {
    let mut problems = Vec::new();
    let mut manifests: Vec<Manifest> = Vec::new();
    let mut seen = BTreeSet::new();
    for value in values {
        match parse_json(value) {
            Ok(manifest) if seen.insert((manifest.kind(), manifest.name().to_owned())) => manifests.push(manifest),
            Ok(twice) => problems.push(TextProblem {
                file: None,
                line: None,
                message: format!("{} `{}` is there twice: keep one", twice.kind().as_str(), twice.name()),
            }),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(manifests) } else { Err(Problem::problems(problems)) }
}

fn change(before: &[Manifest], manifest: &Manifest) -> Change {
    let (kind, name) = (manifest.kind(), manifest.name());
    let old = before.iter().find(|old| old.kind() == kind && old.name() == name);
    let differences = old.map(|old| differences::between(&body(old), &body(manifest))).unwrap_or_default();
    let action = match old {
        None => ChangeAction::Create,
        Some(_) if differences.is_empty() => ChangeAction::Unchanged,
        Some(_) => ChangeAction::Update,
    };
    Change { kind, name: name.to_owned(), action, differences }
}

fn body(manifest: &Manifest) -> Value {
    serde_json::to_value(manifest).expect("invariant: a manifest has only string keys")
}

async fn store(app: &App, manifests: &[Manifest], changes: &[Change], actor: &Actor) -> Result<(), Problem> {
    let differing = || manifests.iter().zip(changes).filter(|(_, change)| change.action != ChangeAction::Unchanged);
    let what = |(manifest, change): (&Manifest, &Change)| match change.action {
        ChangeAction::Remove => ManifestChange::Remove(change.kind, change.name.clone()),
        _ => ManifestChange::Put(Box::new(manifest.clone())),
    };
    let puts: Vec<ManifestChange> = differing().map(what).collect();
    if puts.is_empty() {
        return Ok(());
    }
    let audits: Vec<_> = differing()
        .map(|(_, change)| {
            let (action, detail) = match change.action {
                ChangeAction::Create => ("apply", "created".to_owned()),
                ChangeAction::Remove => ("remove", String::new()),
                _ => ("apply", change.differences.join("\n")),
            };
            audit(actor, action, format!("{}/{}", change.kind.plural(), change.name), detail)
        })
        .collect();
    app.store.change_manifests(&puts, &audits).await?;
    if differing().any(|(manifest, _)| policy::is_made_of(manifest.kind())) {
        policy::publish(app, actor).await?;
    }
    Ok(())
}
