//! `wait`, and the tasks that are not an executor's.

use anyhow::Result;
use slipway_domain::{
    duration::Span,
    event::{FailureKind, TaskEvent},
    name::TargetName,
    order::{PostSlack, Work},
};

use crate::stage::Stage;

#[tokio::test]
async fn a_wait_ends_by_itself_or_by_a_cancel() -> Result<()> {
    let stage = Stage::start().await?;
    let mut none = stage.ask("pause", Work::Wait { span: Span::secs(0) });
    none.task.target = TargetName::worker();
    none.order.docker = None;
    assert!(stage.succeed(&none).await?.is_empty());

    let long = stage.ask("pause", Work::Wait { span: Span::secs(3600) });
    let head = stage.ring(&long).await?;
    stage.until_claimed(&long).await;
    stage.cancel(&long).await?;
    assert_eq!(stage.end(&long, head).await?, TaskEvent::Cancelled);
    Ok(())
}

#[tokio::test]
async fn a_demo_step_holds_until_it_is_told_also_after_its_executor_died() -> Result<()> {
    let mut stage = Stage::start().await?;
    let ask = stage.ask("hold", Work::Demo { message: Some("now".into()) });
    stage.ring(&ask).await?;
    stage.until_printed(&ask, "holds until told").await;
    stage.lose_executor(&ask).await?;
    stage.start_executor().await?;
    let again = ask.adopted();
    let head = stage.ring(&again).await?;
    stage.until_claimed_after(&again, head).await;
    stage.append(&again, TaskEvent::Told { fail: false }).await?;
    assert!(matches!(stage.end(&again, head).await?, TaskEvent::Succeeded { .. }));

    let fails = stage.ask("fail", Work::Demo { message: None });
    let head = stage.ring(&fails).await?;
    stage.until_claimed(&fails).await;
    stage.append(&fails, TaskEvent::Told { fail: true }).await?;
    let TaskEvent::Failed { cause } = stage.end(&fails, head).await? else { panic!("it was told to fail") };
    assert!(cause.message.contains("told to fail"), "{cause:?}");
    Ok(())
}

#[tokio::test]
async fn a_message_is_not_an_executors_task() -> Result<()> {
    let stage = Stage::start().await?;
    let slack = Work::Slack(PostSlack { channel: "#deploys".into(), text: "x".into() });
    let failure = stage.fail(&stage.ask("tell", slack)).await?;
    assert_eq!(failure.kind, FailureKind::Order);
    Ok(())
}
