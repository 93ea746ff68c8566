//! An entry of the log that nobody can read stops its deployment, and only that one, until a person gives it up.

use anyhow::{Result, ensure};
use slipway_domain::{
    api::{Damaged, Waiting, WaitingReason},
    event::Outcome,
};
use slipway_integration_tests::{chaos::Simulate, log, rehearsal::Rehearsal, stack::Wanted, wait};

const STEPS: &str = "  - {name: hold, demo: {message: look}}";
const QUICK: Simulate = Simulate { duration: "5ms..20ms", failures: 0, seed: 1 };

#[tokio::test]
async fn a_damaged_deployment_holds_its_lane_until_a_person_gives_it_up() -> Result<()> {
    let mut rehearsal = Rehearsal::start(STEPS, QUICK, Wanted::default()).await?;
    let id = rehearsal.deploy().await?.id;
    rehearsal.running(id, "hold", 1).await;
    let next = rehearsal.deploy().await?.id;
    let (stack, text) = (&rehearsal.stack, id.to_string());
    let (code, said) = stack.cli(&stack.admin, &["repair", "abandon", &text, "--reason", "no wish to wait"]).await?;
    ensure!(code == 3 && said.contains("nothing has stopped deployment"), "{code}: {said}");
    let (code, said) = stack.cli(&stack.admin, &["repair", "list"]).await?;
    ensure!(code == 0 && said.contains("nothing is damaged"), "{code}: {said}");

    let client = log::connect(&stack.nats_url(), &stack.seed("operator")).await?;
    let subject = format!("deployment.{id}.task.worker.hold");
    async_nats::jetstream::new(client).publish(subject, "no entry".into()).await?.await?;
    let damaged = wait::until("the damage is noticed", || async {
        let damaged: Vec<Damaged> = stack.admin.get("/api/v1/damaged").await.map_err(|error| error.to_string())?;
        damaged.into_iter().next().ok_or_else(|| stack.tails())
    })
    .await;
    assert_eq!(damaged.id, id);
    assert!(damaged.fact.contains("not a zstd frame"), "{damaged:?}");
    let waiting: Vec<Waiting> = stack.admin.get(&format!("/api/v1/deployments/{id}/why")).await?;
    assert!(matches!(waiting[0].reason, WaitingReason::Corrupt { .. }), "{waiting:?}");
    let ana = stack.person("ana", None).await?;
    let (code, said) = stack.cli(&ana, &["repair", "abandon", &text, "--reason", "looked"]).await?;
    ensure!(code == 3, "only an admin gives up: {code}: {said}");
    let (code, said) = stack.cli(&stack.admin, &["repair", "abandon", &text, "--reason", " "]).await?;
    ensure!(code != 0 && said.contains("say why"), "{code}: {said}");
    let (code, said) =
        stack.cli(&stack.admin, &["repair", "abandon", &text, "--reason", "the host is as it was"]).await?;
    ensure!(code == 0 && said.contains("is given up"), "{code}: {said}");

    let view = wait::until("it is over", || async {
        let view = rehearsal.view(id).await.map_err(|error| error.to_string())?;
        if view.summary.outcome.is_some() { Ok(view) } else { Err(format!("{view:?}")) }
    })
    .await;
    assert_eq!(view.summary.outcome, Some(Outcome::Failed));
    assert!(view.summary.reason.as_deref().is_some_and(|r| r.starts_with("given up by admin")), "{:?}", view.summary);
    let (_, audit) = rehearsal.stack.cli(&rehearsal.stack.admin, &["audit"]).await?;
    ensure!(audit.contains("deployment.abandon") && audit.contains("the host is as it was"), "{audit}");
    rehearsal.running(next, "hold", 1).await;
    rehearsal.go(next, "hold").await?;
    rehearsal.succeeded(next).await;
    Ok(())
}
