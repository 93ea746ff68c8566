//! Messages of steps, and what happens when Slack does not take them.

use anyhow::Result;
use slipway_domain::{
    duration::Span,
    order::{PostSlack, Work},
};
use slipway_integration_tests::slack::Trouble;

use crate::stage::{Configured, Stage, failure, outputs};

fn hello() -> Work {
    Work::Slack(PostSlack { channel: "#deploys".to_owned(), text: "shop 1.2.0 is *live*".to_owned() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_posted_in_spite_of_a_rate_limit_and_a_moment_without_slack() -> Result<()> {
    let stage = Stage::start(Configured::Yes).await?;
    let story = stage.open("posted").await?;
    stage.slack.fail_next([Trouble::RateLimit(1), Trouble::Status(502), Trouble::Refuse("internal_error")]);
    let outputs = outputs(stage.perform(&story, "tell", hello(), Span::secs(60)).await?)?;
    let posted = stage.slack.accepted("chat.postMessage");
    assert_eq!(posted.len(), 1, "{posted:?}");
    assert_eq!(posted[0].body["text"], "shop 1.2.0 is *live*");
    assert_eq!(outputs["channel"], "#deploys");
    assert_eq!(outputs["ts"].as_str(), posted[0].ts.as_deref());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_slack_refuses_fails_the_task_with_the_reason_and_the_way_out() -> Result<()> {
    let stage = Stage::start(Configured::Yes).await?;
    for (word, advice) in [
        ("channel_not_found", "check the channel's name"),
        ("not_in_channel", "invite the app"),
        ("invalid_auth", "SLIPWAY_SLACK_TOKEN_FILE"),
    ] {
        let story = stage.open(word).await?;
        stage.slack.fail_next([Trouble::Refuse(word)]);
        let message = failure(stage.perform(&story, "tell", hello(), Span::secs(60)).await?)?;
        assert!(message.contains(word) && message.contains(advice), "{message}");
    }
    let story = stage.open("limited").await?;
    stage.slack.fail_next([Trouble::RateLimit(3600)]);
    let message = failure(stage.perform(&story, "tell", hello(), Span::secs(30)).await?)?;
    assert!(message.contains("asks to wait 3600s"), "{message}");
    assert_eq!(stage.slack.accepted("chat.postMessage"), []);
    assert!(!stage.notifier.output().contains(stage.slack.token()), "the token is in the log");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_secrets_tasks_fail_and_interactions_are_refused_with_the_missing_setting_named() -> Result<()> {
    let stage = Stage::start(Configured::No).await?;
    let story = stage.open("not configured").await?;
    let message = failure(stage.perform(&story, "tell", hello(), Span::secs(60)).await?)?;
    assert!(message.contains("SLIPWAY_SLACK_TOKEN_FILE"), "{message}");
    let answer =
        stage.slack.send(&stage.url(), "payload=%7B%7D", slipway_integration_tests::slack::Signing::Right).await?;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("SLIPWAY_SLACK_SIGNING_SECRET_FILE"), "{}", answer.body);
    Ok(())
}
