//! NATS dies within a moment of saying that something is stored: it is stored.

use anyhow::{Context, Result};
use slipway_domain::event::{Entry, PlanEvent};
use slipway_integration_tests::{chaos::Simulate, history, rehearsal::Rehearsal, stack::Wanted};

const STEPS: &str =
    "  - {name: migrate, sql: {database: 'sqlite:///nowhere', files: {001.sql: 'create table t (x int)'}}}
  - {name: web, needs: [migrate], targets: {role: web}, docker-run: {package: app}}";
const QUICK: Simulate = Simulate { duration: "20ms..60ms", failures: 0, seed: 1 };
const ROUNDS: usize = 8;

#[tokio::test]
async fn what_nats_acknowledged_is_there_after_kill_9_a_moment_later() -> Result<()> {
    let mut rehearsal = Rehearsal::start(STEPS, QUICK, Wanted { executors: 1, ..Wanted::default() }).await?;
    let mut accepted = Vec::new();
    for _ in 0..ROUNDS {
        // The release service answers when the log has said that it stored the request.
        accepted.push(rehearsal.deploy().await?);
        rehearsal.stack.kill("nats").await?;
        rehearsal.stack.restart("nats")?;
        rehearsal.stack.ready().await;
    }
    for one in &accepted {
        rehearsal.succeeded(one.id).await;
    }
    let log = history::read(&rehearsal.stack).await?;
    for one in &accepted {
        let at = log.iter().find(|recorded| recorded.seq == one.seq).context("the log has a gap")?;
        let Entry::Plan(envelope) = &at.entry else { panic!("{at:?}") };
        let PlanEvent::Requested { request } = &envelope.events[0] else { panic!("{at:?}") };
        assert_eq!(request.id, one.id, "the answer named this place in the log");
    }
    rehearsal.judge().await?;
    Ok(())
}
