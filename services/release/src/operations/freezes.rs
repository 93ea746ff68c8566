//! Freezes and the deployments that people ask for: which one holds a deployment, and who may ignore it.

use chrono::{DateTime, Utc};
use slipway_domain::{
    api::{CreateDeployment, HoldingFreeze},
    event::Actor,
    manifest::{Freeze, Member},
    name::{FreezeName, PersonName},
    release::Ignores,
};
use slipway_engine::freeze::{Calendar, Place};

use crate::{app::App, problem::Problem, world::World};

/// Longest reason.
const LONGEST_REASON: usize = 500;

/// The freeze that keeps a deployment, as it was asked for, from starting now.
pub async fn holding(app: &App, body: &CreateDeployment, by: &Actor) -> Result<Option<HoldingFreeze>, Problem> {
    let (world, now) = (app.world().await?, Utc::now());
    let ignored = ignored(&world, body, by, now)?.map(|ignores| ignores.freezes).unwrap_or_default();
    Ok(hold(&world, body, &ignored, now))
}

/// The freezes that a deployment ignores: all that the person may ignore, so that none of them can
/// stop it later. Refused if one that holds now is not among them.
pub fn ignored(
    world: &World,
    body: &CreateDeployment,
    by: &Actor,
    now: DateTime<Utc>,
) -> Result<Option<Ignores>, Problem> {
    let Some(reason) = body.ignore_freeze.as_deref().map(str::trim) else { return Ok(None) };
    if reason.is_empty() || reason.chars().count() > LONGEST_REASON {
        return Err(Problem::invalid(
            "bad-request",
            format!("say why the freeze is ignored, in 1 to {LONGEST_REASON} characters"),
        ));
    }
    let about = world.freezes.values().filter(|freeze| freeze.is_about(&body.project, &body.environment));
    let freezes: Vec<FreezeName> = about
        .filter(|freeze| matches!(by, Actor::Person { name, .. } if may_ignore(world, freeze, name)))
        .map(|freeze| freeze.name.clone())
        .collect();
    if let Some(hold) = hold(world, body, &freezes, now) {
        let teams = world.freezes.get(&hold.name).map(|freeze| freeze.ignorable_by.as_slice()).unwrap_or_default();
        let teams: Vec<_> = teams.iter().map(|team| team.as_str()).collect();
        let who = if teams.is_empty() { "nobody may".to_owned() } else { format!("only {} may", teams.join(" or ")) };
        return Err(Problem::forbidden(
            "freeze-not-ignorable",
            format!("freeze {} holds and can not be ignored by {by}: {who}", hold.name),
        ));
    }
    Ok((!freezes.is_empty()).then(|| Ignores { freezes, reason: reason.to_owned() }))
}

fn may_ignore(world: &World, freeze: &Freeze, person: &PersonName) -> bool {
    let members = freeze.ignorable_by.iter().filter_map(|team| world.teams.get(team)).flat_map(|team| &team.members);
    members.map(Member::person).any(|member| member == person)
}

fn hold(world: &World, body: &CreateDeployment, ignored: &[FreezeName], now: DateTime<Utc>) -> Option<HoldingFreeze> {
    let freezes: Vec<Freeze> = world.freezes.values().cloned().collect();
    let place = Place { project: &body.project, environment: &body.environment, ignored };
    let hold = Calendar::new(&freezes).hold(place, now)?;
    Some(HoldingFreeze { name: hold.freeze, until: hold.until })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_domain::manifest::parse::parse_json;

    use super::*;

    fn world() -> World {
        let always = |name: &str, by: &[&str]| {
            json!({"kind": "Freeze", "name": name, "ignorable-by": by, "environments": [if name == "far" { "moon" } else { "e" }],
                "from": "2020-01-01T00:00:00Z", "until": "2030-01-01T00:00:00Z"})
        };
        let manifests = [
            json!({"kind": "Team", "name": "ops", "members": ["ana"]}),
            json!({"kind": "Team", "name": "boss", "members": ["ana", "ben"]}),
            always("easy", &["ops"]),
            always("hard", &["boss"]),
            always("far", &["ops"]),
        ];
        World::of(manifests.iter().map(|m| parse_json(m).unwrap()))
    }

    #[track_caller]
    fn check(person: &str, reason: Option<&str>, expected: Result<Option<&str>, (&str, &str)>) {
        let mut body = CreateDeployment::new("p".parse().unwrap(), "1", "e".parse().unwrap());
        body.ignore_freeze = reason.map(str::to_owned);
        let by = Actor::Person { name: person.parse().unwrap(), via: "api".into() };
        let found = ignored(&world(), &body, &by, "2026-01-01T00:00:00Z".parse().unwrap());
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found.map(|ignores| ignores.to_string()).as_deref(), expected);
            }
            (Err(problem), Err((code, words))) => {
                assert_eq!(problem.code(), code);
                assert!(problem.detail().contains(words), "{problem}");
            }
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn who_may_ignore_all_freezes_that_hold_does_so_with_a_reason_and_nobody_else() {
        check("ana", None, Ok(None));
        check("ana", Some("on fire"), Ok(Some("freeze easy, hard: on fire")));
        check("ben", Some("on fire"), Err(("freeze-not-ignorable", "freeze easy holds")));
        check("ana", Some("  "), Err(("bad-request", "say why")));
    }

    #[test]
    fn what_is_ignored_does_not_hold_and_the_rest_does() {
        let body = CreateDeployment::new("p".parse().unwrap(), "1", "e".parse().unwrap());
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let held = |ignored: &[&str]| {
            let ignored: Vec<FreezeName> = ignored.iter().map(|name| name.parse().unwrap()).collect();
            hold(&world(), &body, &ignored, now).map(|hold| hold.name.to_string())
        };
        assert_eq!(held(&[]).as_deref(), Some("easy"));
        assert_eq!(held(&["easy"]).as_deref(), Some("hard"));
        assert_eq!(held(&["easy", "hard"]), None);
    }
}
