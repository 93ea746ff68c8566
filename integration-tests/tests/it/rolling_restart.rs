//! Every service is ended and started again, one after the other, while deployments go on.

use anyhow::Result;
use slipway_integration_tests::{chaos::Simulate, rehearsal::Rehearsal, stack::Wanted};

const STEPS: &str =
    "  - {name: migrate, sql: {database: 'sqlite:///nowhere', files: {001.sql: 'create table t (x int)'}}}
  - {name: job, needs: [migrate], docker-job: {package: app}}
  - {name: web, needs: [job], targets: {role: web}, rolling: {window: 1}, docker-run: {package: app}}";
/// A deployment outlasts the restart of a service.
const SLOW: Simulate = Simulate { duration: "300ms..500ms", failures: 0, seed: 1 };

#[tokio::test]
async fn a_restart_of_everything_one_after_the_other_stops_no_deployment() -> Result<()> {
    let wanted = Wanted { executors: 2, planners: 2, ..Wanted::default() };
    let mut rehearsal = Rehearsal::start(STEPS, SLOW, wanted).await?;
    let mut asked = Vec::new();
    let names = ["planner", "planner-2", "executor-1", "executor-2", "notifier", "release"];
    for name in names {
        asked.push(rehearsal.deploy().await?.id);
        let code = rehearsal.stack.process(name).terminate().await?;
        assert_eq!(code, Some(0), "{name} ends by itself when asked\n{}", rehearsal.stack.tails());
        rehearsal.stack.restart(name)?;
        rehearsal.stack.service_ready(name).await;
    }
    for id in asked {
        rehearsal.succeeded(id).await;
    }
    let figures = rehearsal.judge().await?;
    assert_eq!((figures.failed, figures.lost), (0, 0), "nothing was lost or failed: {figures:?}");
    Ok(())
}
