//! Secrets: set, listed, deleted. A value goes in and never comes out here again.

use chrono::Utc;
use slipway_domain::{
    api::{SecretView, SetSecret},
    event::Actor,
    manifest::Manifest,
    name::SecretName,
    secret::{SecretRef, has_marker_chars},
};
use slipway_store::StoreError;

use crate::{app::App, operations::audit, problem::Problem, world::World};

/// Longest value, in bytes: a key file fits, an image does not.
const MAX_LEN: usize = 64 * 1024;
/// How often a version is drawn again that another writer took.
const ATTEMPTS: usize = 5;

/// Sets a new version.
pub async fn set(app: &App, name: SecretName, body: SetSecret, actor: &Actor) -> Result<SecretView, Problem> {
    if body.value.is_empty() || body.value.len() > MAX_LEN || has_marker_chars(&body.value) {
        return Err(Problem::unprocessable(
            "invalid-secret",
            format!(
                "the value of secret {name} is empty, longer than 64 KiB, or holds characters that Slipway uses itself"
            ),
        ));
    }
    let set_at = Utc::now();
    for _ in 0..ATTEMPTS {
        let secret = SecretRef { name: name.clone(), version: app.store.next_secret_version(&name).await? };
        let sealed = app.keyring.seal(&secret, &body.value);
        let entry = audit(actor, "secret.set", format!("secret/{name}"), format!("version {}", secret.version));
        match app.store.add_secret(&secret, &sealed, set_at, &entry).await {
            Ok(()) => return Ok(SecretView { name, version: secret.version, set_at }),
            Err(StoreError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::refusal("secret-busy", format!("others are setting secret {name} at this moment; try again")))
}

/// The newest version of a secret.
pub async fn get(app: &App, name: &SecretName) -> Result<SecretView, Problem> {
    let views = app.store.secrets().await?;
    views.into_iter().find(|view| view.name == *name).ok_or_else(|| unknown(name))
}

/// Forgets every version of a secret that no manifest uses.
pub async fn delete(app: &App, name: &SecretName, actor: &Actor) -> Result<(), Problem> {
    let world = app.world().await?;
    let users = users(&world, name);
    if !users.is_empty() {
        return Err(Problem::refusal(
            "in-use",
            format!("secret {name} is used by {}; take it out of there first", users.join(", ")),
        ));
    }
    let entry = audit(actor, "secret.delete", format!("secret/{name}"), "");
    if app.store.delete_secret(name, &entry).await? { Ok(()) } else { Err(unknown(name)) }
}

fn unknown(name: &SecretName) -> Problem {
    Problem::not_found("unknown-secret", format!("there is no secret `{name}`; `slipway secret set {name}` makes it"))
}

/// The manifests that name a secret.
fn users(world: &World, name: &SecretName) -> Vec<String> {
    let uses = |manifest: &Manifest| match manifest {
        Manifest::Feed(feed) => feed.credentials.as_ref().is_some_and(|c| c.password.secret == *name),
        Manifest::Webhook(hook) => hook.authorization.as_ref().is_some_and(|a| a.secret == *name),
        Manifest::VariableSet(set) => set.variables.iter().any(|v| v.secret.as_ref() == Some(name)),
        Manifest::Project(project) => project.variables.iter().any(|v| v.secret.as_ref() == Some(name)),
        _ => false,
    };
    world.manifests().iter().filter(|m| uses(m)).map(|m| format!("{} {}", m.kind().as_str(), m.name())).collect()
}
