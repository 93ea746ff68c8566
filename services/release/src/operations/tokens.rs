//! Tokens of persons: made, listed, revoked. A token is told once; its hash is kept.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use rand::RngCore as _;
use slipway_domain::{
    api::{CreateToken, CreatedToken, TokenView},
    event::Actor,
    manifest::{Kind, Manifest, Member, Team},
    name::{PersonName, TeamName},
    text::sha256_hex,
};
use slipway_store::{Audit, ManifestChange, NewToken, Store};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{app::App, operations::audit, problem::Problem};

/// What every token of a person begins with, so that a leaked one is recognised.
const PREFIX: &str = "slw_";

/// 32 random bytes as text after a prefix.
pub fn random(prefix: &str) -> String {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::rng().fill_bytes(&mut *bytes);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

/// A token that is not kept yet.
pub fn draw(body: &CreateToken, now: DateTime<Utc>) -> (CreatedToken, NewToken) {
    let token = random(PREFIX);
    let view = TokenView {
        id: Uuid::now_v7().to_string(),
        person: body.person.clone(),
        right: body.right,
        created_at: now,
        expires: body.expires,
        revoked_at: None,
    };
    let row = NewToken { view: view.clone(), hash: sha256_hex(token.as_bytes()) };
    (CreatedToken { view, token }, row)
}

/// The audit entry of a new token.
pub fn created(view: &TokenView, actor: Actor) -> Audit {
    let right = serde_json::to_value(view.right).ok().and_then(|r| r.as_str().map(str::to_owned)).unwrap_or_default();
    audit(&actor, "token.create", format!("token/{}", view.id), format!("for {} with right {right}", view.person))
}

/// Makes a token, and the person a member of a team if asked.
pub async fn create(app: &App, body: CreateToken, actor: Actor) -> Result<CreatedToken, Problem> {
    if body.expires.is_some_and(|expires| expires <= Utc::now()) {
        return Err(Problem::unprocessable(
            "invalid-expiry",
            "the token would have expired already; choose a time to come",
        ));
    }
    let joins = match &body.team {
        Some(team) => join(&app.store, team, &body.person).await?,
        None => None,
    };
    let (token, row) = draw(&body, Utc::now());
    let changes: Vec<_> = joins.into_iter().map(|team| ManifestChange::Put(Box::new(Manifest::Team(team)))).collect();
    let mut entry = created(&token.view, actor);
    if let (Some(team), false) = (&body.team, changes.is_empty()) {
        entry.detail.push_str(&format!(", now a member of team {team}"));
    }
    app.store.add_token(&row, &changes, &entry).await?;
    Ok(token)
}

/// The team with the person in it; none if the person is in it already.
async fn join(store: &Store, name: &TeamName, person: &PersonName) -> Result<Option<Team>, Problem> {
    let mut team = match store.manifest(Kind::Team, name.as_str()).await? {
        Some(Manifest::Team(team)) => team,
        _ => Team { name: name.clone(), members: Vec::new() },
    };
    if team.members.iter().any(|member| member.person() == person) {
        return Ok(None);
    }
    team.members.push(Member::Person(person.clone()));
    Ok(Some(team))
}

/// Ends a token.
pub async fn revoke(app: &App, id: &str, actor: &Actor) -> Result<(), Problem> {
    let entry = audit(actor, "token.revoke", format!("token/{id}"), "");
    if app.store.revoke_token(id, &entry).await? {
        return Ok(());
    }
    Err(Problem::not_found("unknown-token", format!("there is no token `{id}`; `slipway token list` shows their ids")))
}

#[cfg(test)]
mod tests {
    use slipway_domain::api::Right;

    use super::*;

    #[test]
    fn a_token_is_told_once_and_kept_as_a_hash() {
        let body =
            CreateToken { person: PersonName::new("ana").unwrap(), team: None, right: Right::Deploy, expires: None };
        let (first, row) = draw(&body, Utc::now());
        let (second, _) = draw(&body, Utc::now());
        assert_ne!(first.token, second.token);
        assert_eq!(first.token.len(), PREFIX.len() + 43);
        assert!(!format!("{row:?}").contains(&first.token));
    }
}
