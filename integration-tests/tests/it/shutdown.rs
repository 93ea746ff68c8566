//! SIGTERM: each service ends by itself, with success.

use anyhow::Result;
use slipway_integration_tests::stack::Stack;

#[tokio::test]
async fn a_service_that_is_told_to_end_does_so() -> Result<()> {
    let mut stack = Stack::start().await?;
    for service in ["executor-1", "notifier", "planner", "release"] {
        let code = stack.process(service).terminate().await?;
        assert_eq!(code, Some(0), "{service}\n{}", stack.tails());
    }
    Ok(())
}
