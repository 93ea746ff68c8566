//! `/api/v1/apply` and `/api/v1/{kind}[/{name}]`.

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde_json::Value;
use slipway_domain::{
    api::{ApplyAnswer, ApplyRequest, Change, Right},
    manifest::{Kind, Manifest},
};

use super::extract::{Json, Path};
use crate::{api, app::Shared, auth::Person, operations::manifests as operations, problem::Problem};

fn kind(word: &str) -> Result<Kind, Problem> {
    Kind::from_plural(word).ok_or_else(api::unknown_route)
}

pub async fn apply(
    State(app): State<Shared>,
    person: Person,
    Json(body): Json<ApplyRequest>,
) -> Result<Answer<ApplyAnswer>, Problem> {
    person.may(Right::Admin)?;
    Ok(Answer(operations::apply(&app, &body, &person.actor()).await?))
}

pub async fn list(
    State(app): State<Shared>,
    person: Person,
    Path(word): Path<String>,
) -> Result<Answer<Vec<Manifest>>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(app.store.manifests_of(kind(&word)?).await?))
}

pub async fn get(
    State(app): State<Shared>,
    person: Person,
    Path((word, name)): Path<(String, String)>,
) -> Result<Answer<Manifest>, Problem> {
    person.may(Right::Read)?;
    Ok(Answer(operations::get(&app, kind(&word)?, &name).await?))
}

pub async fn put(
    State(app): State<Shared>,
    person: Person,
    Path((word, name)): Path<(String, String)>,
    Json(mut body): Json<Value>,
) -> Result<Answer<Change>, Problem> {
    person.may(Right::Admin)?;
    let kind = kind(&word)?;
    if let Value::Object(object) = &mut body {
        object.entry("kind").or_insert_with(|| kind.as_str().into());
        object.entry("name").or_insert_with(|| name.as_str().into());
        if object["kind"] != kind.as_str() || object["name"] != name.as_str() {
            return Err(Problem::invalid(
                "bad-request",
                format!("the body is another manifest than {} `{name}`, which the address names", kind.as_str()),
            ));
        }
    }
    let request = ApplyRequest { manifests: vec![body], dry_run: false, prune: false };
    let mut answer = operations::apply(&app, &request, &person.actor()).await?;
    answer.changes.pop().map(Answer).ok_or_else(|| Problem::internal("an applied manifest has no change"))
}

pub async fn delete(
    State(app): State<Shared>,
    person: Person,
    Path((word, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    person.may(Right::Admin)?;
    operations::remove(&app, kind(&word)?, &name, &person.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
