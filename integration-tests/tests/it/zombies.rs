//! An executor that is taken for dead and is not: frozen for longer than its lease, or cut off from
//! NATS. Another one goes on, and what the first one still believes changes nothing.

use anyhow::Result;
use slipway_integration_tests::{chaos::Simulate, link::Link, rehearsal::Rehearsal, stack::Wanted, wait};

/// The held step stands between two effects.
const STEPS: &str = "  - {name: job, docker-job: {package: app}}
  - {name: hold, needs: [job], demo: {message: try to lose me}}
  - {name: web, needs: [hold], targets: {role: web}, docker-run: {package: app}}";
const QUICK: Simulate = Simulate { duration: "20ms..60ms", failures: 0, seed: 1 };

async fn rehearsal() -> Result<Rehearsal> {
    Rehearsal::start(STEPS, QUICK, Wanted { executors: 2, planners: 2, ..Wanted::default() }).await
}

#[tokio::test]
async fn an_executor_frozen_for_longer_than_its_lease_wakes_and_changes_nothing() -> Result<()> {
    let mut rehearsal = rehearsal().await?;
    let id = rehearsal.deploy().await?.id;
    let first = rehearsal.running(id, "hold", 1).await.holder.expect("a holder").to_string();
    rehearsal.stack.process(&first).signal("STOP").await?;
    let second = rehearsal.running(id, "hold", 2).await.holder.expect("a holder").to_string();
    assert_ne!(first, second);
    rehearsal.stack.process(&first).signal("CONT").await?;
    until_it_lets_go(&mut rehearsal, &first).await;
    rehearsal.go(id, "hold").await?;
    rehearsal.succeeded(id).await;
    let figures = rehearsal.judge().await?;
    assert_eq!(figures.lost, 1, "{figures:?}");
    Ok(())
}

#[tokio::test]
async fn an_executor_cut_off_from_nats_loses_its_task_to_another_and_comes_back_for_more() -> Result<()> {
    let mut rehearsal = rehearsal().await?;
    let link = Link::start(rehearsal.stack.nats_url().trim_start_matches("nats://").to_owned()).await?;
    rehearsal.stack.kill("executor-2").await?;
    rehearsal.stack.kill("executor-1").await?;
    rehearsal.stack.process("executor-1").set("SLIPWAY_NATS_URL", Some(&link.nats_url()));
    rehearsal.stack.restart("executor-1")?;
    rehearsal.stack.service_ready("executor-1").await;
    let id = rehearsal.deploy().await?.id;
    let held = rehearsal.running(id, "hold", 1).await;
    assert_eq!(held.holder.expect("a holder").as_str(), "executor-1");
    link.cut();
    rehearsal.stack.restart("executor-2")?;
    let held = rehearsal.running(id, "hold", 2).await;
    assert_eq!(held.holder.expect("a holder").as_str(), "executor-2");
    link.mend();
    until_it_lets_go(&mut rehearsal, "executor-1").await;
    rehearsal.stack.service_ready("executor-1").await;
    rehearsal.go(id, "hold").await?;
    rehearsal.succeeded(id).await;
    // The one that was cut off is as good as any other.
    rehearsal.stack.kill("executor-2").await?;
    let next = rehearsal.deploy().await?.id;
    let holder = rehearsal.running(next, "hold", 1).await.holder.expect("a holder");
    assert_eq!(holder.as_str(), "executor-1");
    rehearsal.go(next, "hold").await?;
    rehearsal.succeeded(next).await;
    rehearsal.judge().await?;
    Ok(())
}

/// It has seen that its claim is lost.
async fn until_it_lets_go(rehearsal: &mut Rehearsal, executor: &str) {
    let process = rehearsal.stack.process(executor);
    wait::until(&format!("{executor} lets go"), || {
        let output = process.output();
        async move { if output.contains("let go without an end") { Ok(()) } else { Err(output) } }
    })
    .await;
}
