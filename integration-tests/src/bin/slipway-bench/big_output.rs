//! A step whose output is larger than a message may be. The benchmark itself holds the task.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chrono::Utc;
use slipway_domain::{
    api::DeploymentView,
    event::{Actor, Address, Entry, Envelope, SCHEMA, TaskEvent},
    name::{HolderName, TargetName},
    order::{Answer, Outputs},
};
use slipway_integration_tests::stack::Stack;
use uuid::Uuid;

use crate::{live, load, say};

/// The project.
pub const PROJECT: &str = "big-output";
const TARGET: &str = "held-by-the-benchmark";
const ENVIRONMENT: &str = "big";
const BYTES: usize = 5 * 1024 * 1024;

/// A target that no executor serves, and a project with one step on it and one after that.
pub fn manifests() -> String {
    let role = "{role: big}";
    format!(
        "---\nkind: Target\nname: {TARGET}\nenvironments: [{ENVIRONMENT}]\nroles: [big]\ndocker: unix:///nowhere.sock\n{}  \
         - {{name: print, targets: {role}, wait: 0s}}\n  - {{name: join, needs: [print], wait: 0s}}\n",
        load::project_of(PROJECT)
    )
}

/// Ends the step with a large output, and reads it through the API.
pub async fn run(stack: &Stack) -> Result<()> {
    let bus = live::bus(stack, "executor-1").await?;
    let mut doorbells = bus.doorbells(&TargetName::new(TARGET)?).await?;
    let id = load::request(stack, &[PROJECT.to_owned()], ENVIRONMENT, None).await?[0];
    let ring = doorbells.next().await.context("a doorbell")?;
    ring.answer(Answer::Claiming).await;
    let (holder, boot) = (HolderName::new("the-benchmark")?, Uuid::new_v4());
    let entry = |event| {
        Entry::Task(Envelope {
            id: Uuid::new_v4(),
            schema: SCHEMA,
            at: Utc::now(),
            actor: Actor::Holder { name: holder.clone(), boot },
            trace: None,
            events: vec![event],
        })
    };
    let doorbell = &ring.doorbell;
    let address = Address::Task(doorbell.deployment, doorbell.task.clone());
    let claim = TaskEvent::Claimed { holder: holder.clone(), boot, attempt: doorbell.attempt, key: String::new() };
    let epoch = bus.append_direct(&address, doorbell.expected_seq, &entry(claim)).await?.seq().context("the claim")?;
    let text: String = (0..BYTES / 32).map(|_| Uuid::new_v4().simple().to_string()).collect();
    let outputs = Outputs::from([("text".to_owned(), serde_json::Value::String(text))]);
    let began = Instant::now();
    let end = bus.append_direct(&address, epoch, &entry(TaskEvent::Succeeded { outputs: outputs.clone() })).await?;
    ensure!(end.seq().is_some(), "the end was not stored: {end:?}");
    load::over(stack, id, load::PATIENCE).await?;
    let took = began.elapsed();
    let view: DeploymentView = stack.admin.get(&format!("/api/v1/deployments/{id}")).await?;
    let there = view.steps.iter().flat_map(|step| &step.tasks).any(|task| task.outputs == outputs);
    ensure!(there, "the API does not show the output");
    say(&format!(
        "an output of {} MB, from its end to the end of the deployment: {:.2} s",
        BYTES >> 20,
        took.as_secs_f64()
    ))
}
