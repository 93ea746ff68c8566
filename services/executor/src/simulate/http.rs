//! A simulated `http`: a call that some server carries out, once unless it may be repeated.

use serde_json::{Value, json};
use slipway_domain::{
    manifest::{HeaderValue, Http},
    order::Outputs,
};
use slipway_service::failpoint;

use super::{
    Scene,
    journal::{Effect, Entry},
};
use crate::task::{Stop, failed};

pub(super) async fn perform(scene: &Scene<'_>, work: &Http) -> Result<Outputs, Stop> {
    let task = scene.task;
    if task.doorbell.stop {
        return Err(Stop::Cancelled);
    }
    fill(scene, work)?;
    let repeatable = work.is_repeatable();
    if task.doorbell.adopt && !repeatable && task.held.may_have_been_done().await? {
        return Err(Stop::Unknown(
            "nobody knows whether the simulated call of a lost executor was carried out".to_owned(),
        ));
    }
    if repeatable {
        task.effect("call").await?;
    } else {
        task.once("call").await?;
    }
    failpoint!("executor.http.before");
    scene.note(Entry::Effect(Effect::Call { method: work.method.to_string() })).await?;
    failpoint!("executor.http.after");
    let by = scene.by();
    let part = scene.script.part(by.deployment, &by.task, by.attempt);
    task.interruptible(tokio::time::sleep(part.lasts)).await?;
    if part.fails {
        return Err(failed("simulated failure: status: expected 2xx, seen 503 Service Unavailable"));
    }
    Ok(Outputs::from([
        ("status".to_owned(), json!(200)),
        ("headers".to_owned(), json!({})),
        ("body".to_owned(), json!("")),
        ("duration_ms".to_owned(), json!(part.lasts.as_millis() as u64)),
        ("tries".to_owned(), json!(1)),
    ]))
}

fn fill(scene: &Scene<'_>, work: &Http) -> Result<(), Stop> {
    scene.fill(std::iter::once(&work.url).chain(work.headers.values()).chain(&work.body).chain(&work.ca))?;
    scene.fill(&work.expect.body_contains)?;
    for value in work.expect.headers.values().map(HeaderValue::text) {
        scene.task.held.fill(value)?;
    }
    work.json.iter().chain(work.expect.json.values()).try_for_each(|value| within(scene, value))
}

fn within(scene: &Scene<'_>, value: &Value) -> Result<(), Stop> {
    match value {
        Value::String(text) => scene.fill([text]),
        Value::Array(items) => items.iter().try_for_each(|item| within(scene, item)),
        Value::Object(fields) => fields.values().try_for_each(|value| within(scene, value)),
        _ => Ok(()),
    }
}
