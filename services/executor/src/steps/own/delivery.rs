//! What is put into a container before it starts: files into its own layer, secrets into a volume of its own.
//!
//! A volume survives the container's restarts and those of its host, is in no image that somebody makes of the
//! container, and is read-only to it; so it is filled through a second container, which never runs.

use std::collections::HashMap;

use indexmap::IndexMap;
use slipway_domain::order::{ContainerOptions, PutFile};

use super::{Plan, create_empty};
use crate::{
    docker::{
        Engine,
        archive::NewFile,
        container::{Blueprint, SECRETS_FOLDER, SecretsMount},
        labels::{self, Identity, Kind},
    },
    task::{Stop, Task, failed},
};

/// Mode of a secret: its owner reads it.
const SECRET: u32 = 0o400;
/// Who owns files that are no secrets.
const ROOT: (u64, u64) = (0, 0);

/// What is put into a container.
#[derive(Clone, Copy, Default)]
pub struct Delivery<'a> {
    /// By absolute path.
    pub files: Option<&'a IndexMap<String, PutFile>>,
    /// By name.
    pub secrets: Option<&'a IndexMap<String, String>>,
}

/// Puts the files into a container that does not run yet.
pub(super) async fn files(task: &Task<'_>, engine: &Engine, plan: &Plan<'_>, id: &str) -> Result<(), Stop> {
    let Some(files) = plan.delivery.files.filter(|files| !files.is_empty()) else { return Ok(()) };
    let file = |(path, file): (&String, &PutFile)| {
        let path = path.trim_start_matches('/').to_owned();
        Ok(NewFile { path, text: task.held.fill(&file.text)?, mode: file.mode, owner: ROOT })
    };
    let files = files.iter().map(file).collect::<Result<Vec<_>, Stop>>()?;
    task.effect("put files into the new container").await?;
    Ok(engine.put_files(id, "/", &files).await?)
}

/// Makes and fills the volume of the container's secrets, if it has any.
pub(super) async fn secrets(task: &Task<'_>, engine: &Engine, plan: &Plan<'_>) -> Result<Option<SecretsMount>, Stop> {
    let Some(secrets) = plan.delivery.secrets.filter(|secrets| !secrets.is_empty()) else { return Ok(None) };
    // Each attempt has a volume of its own: whatever one that was taken for lost still does, it does to its own.
    let volume = format!("{}-secrets-{}", plan.name, plan.identity.epoch);
    task.effect(&format!("make volume {volume}")).await?;
    engine.make_volume(&volume, plan.identity.labels("")).await?;
    let identity = Identity { kind: Kind::Files, ..plan.identity.clone() };
    let blueprint = || {
        Ok(Blueprint {
            image: plan.image.pinned(),
            // It never runs, but an engine wants to hear of one.
            command: Some(vec!["never".to_owned()]),
            labels: identity.labels(""),
            secrets: Some(SecretsMount { volume: volume.clone(), writable: true }),
            options: ContainerOptions { platform: plan.options.platform.clone(), ..Default::default() },
            ..Blueprint::default()
        })
    };
    let name = format!("{}-files", plan.name);
    let filler = Plan { identity: &identity, name, delivery: Delivery::default(), ..*plan };
    let id = create_empty(task, engine, &filler, blueprint).await?;
    let filled = fill(task, engine, plan, &id, secrets).await;
    if !matches!(filled, Err(Stop::Fenced)) {
        task.effect_regardless("remove the container that filled the volume").await?;
        engine.remove(&id).await?;
    }
    filled?;
    Ok(Some(SecretsMount { volume, writable: false }))
}

async fn fill(
    task: &Task<'_>,
    engine: &Engine,
    plan: &Plan<'_>,
    id: &str,
    secrets: &IndexMap<String, String>,
) -> Result<(), Stop> {
    let owner = (owner(engine, id, plan.options.user.as_ref().unwrap_or(&plan.local.user)).await?, 0);
    let file = |(name, text): (&String, &String)| {
        Ok(NewFile { path: name.clone(), text: task.held.fill(text)?, mode: SECRET, owner })
    };
    let files = secrets.iter().map(file).collect::<Result<Vec<_>, Stop>>()?;
    task.effect("put secrets into the volume").await?;
    Ok(engine.put_files(id, SECRETS_FOLDER, &files).await?)
}

/// The number of the user that a container runs as.
async fn owner(engine: &Engine, id: &str, user: &str) -> Result<u64, Stop> {
    let user = user.split(':').next().unwrap_or_default();
    if user.is_empty() {
        return Ok(0);
    }
    if let Ok(number) = user.parse() {
        return Ok(number);
    }
    let passwd = engine.file(id, "/etc/passwd").await?.unwrap_or_default();
    number_of(&String::from_utf8_lossy(&passwd), user).ok_or_else(|| {
        failed(format!(
            "the container runs as user `{user}`, whom its image's /etc/passwd does not name, so nobody can tell whose \
             the secrets shall be; give `user`, or the image's USER, as a number"
        ))
    })
}

fn number_of(passwd: &str, user: &str) -> Option<u64> {
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.first() == Some(&user))?.get(2)?.parse().ok()
}

/// Removes the volumes of the place that no container has any more, and what a lost attempt left to fill them. What is
/// newer belongs to somebody who came later.
pub async fn sweep(task: &Task<'_>, engine: &Engine, identity: &Identity) -> Result<(), Stop> {
    let mut volumes = engine.volumes(&identity.place()).await?;
    volumes.retain(|(_, labels)| is_older(labels, identity));
    if volumes.is_empty() {
        return Ok(());
    }
    let fillers = Identity { kind: Kind::Files, ..identity.clone() };
    let left = engine.containers(&fillers.place()).await?;
    for filler in left.into_iter().filter(|filler| is_older(&filler.labels, identity)) {
        task.effect_regardless("remove the container that filled a volume").await?;
        engine.remove(&filler.id).await?;
    }
    for (volume, _) in volumes {
        task.effect_regardless("remove a volume, unless a container has it").await?;
        if engine.remove_volume(&volume).await? {
            task.held.say(format!("removed volume {volume}"));
        }
    }
    Ok(())
}

/// Whether something was made by this attempt or an earlier one.
fn is_older(of: &HashMap<String, String>, identity: &Identity) -> bool {
    of.get(labels::EPOCH).and_then(|epoch| epoch.parse().ok()).is_some_and(|epoch: u64| epoch <= identity.epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_number_that_passwd_gives() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1001:2002::/home/app:/bin/sh\nbroken:x:\n";
        assert_eq!(number_of(passwd, "app"), Some(1001));
        assert_eq!(number_of(passwd, "root"), Some(0));
        assert_eq!(number_of(passwd, "broken"), None);
        assert_eq!(number_of(passwd, "ap"), None);
    }
}
