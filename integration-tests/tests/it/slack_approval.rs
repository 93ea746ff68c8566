//! The sign-off given by pressing a button in Slack.

use std::time::Duration;

use anyhow::Result;
use slipway_domain::event::{Outcome, Verdict};
use slipway_integration_tests::{
    machine, shop,
    shop::Shop,
    slack::{Button, Call, LocalSlack, Signing},
    stack::Wanted,
    wait::PATIENCE,
};

const ANA: &str = "U0ANA";

#[tokio::test]
async fn a_signed_press_decides_once_and_every_other_press_changes_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let slack = LocalSlack::start().await?;
    let (token, secret) = (folder.path().join("token"), folder.path().join("secret"));
    std::fs::write(&token, slack.token())?;
    std::fs::write(&secret, slack.signing_secret())?;
    let notifier = vec![
        ("SLIPWAY_SLACK_API_URL".to_owned(), slack.api_url()),
        ("SLIPWAY_SLACK_TOKEN_FILE".to_owned(), token.display().to_string()),
        ("SLIPWAY_SLACK_SIGNING_SECRET_FILE".to_owned(), secret.display().to_string()),
    ];
    let edit = |manifests: String| {
        let with_chat = manifests
            .replace("members: [ana]", &format!("members: [{{name: ana, slack: {ANA}}}]"))
            .replace("      votes: 1\n", "      votes: 1\n      slack: \"#deploys\"\n")
            .replace(
                "rolling: {window: 1}",
                "rolling: {window: 1, canary: 1, then: {approval: {teams: [ops], slack: \"#deploys\", \
                 instructions: \"Look at the first host\"}}}",
            );
        with_chat
            + "  - name: tell\n    needs: [web]\n    when: {result: always}\n    \
               slack: {channel: \"#deploys\", text: \"#{Project} #{Release} is on #{Environment}\"}\n"
    };
    shop::with(Wanted { notifier, ..Wanted::default() }, edit, async |shop| tell(shop, &slack).await).await
}

async fn tell(shop: &mut Shop, slack: &LocalSlack) -> Result<()> {
    let notifier = shop.stack.url("notifier");
    shop.push("1.0.0", &[]).await?;
    let staging = shop.deployment("1.0.0", "staging").await;
    shop.succeeded(&staging).await;
    let on_staging = format!("{} 1.0.0 is on staging", shop.project());
    slack.wait_for_message(PATIENCE, |call| call.readable().contains(&on_staging)).await?;

    let production = shop.deployment("1.0.0", "production").await;
    let question = slack.wait_for_message(PATIENCE, |call| call.button(Button::Approve).is_ok()).await?;
    assert!(question.readable().contains("Look at staging first"), "{question:#?}");
    shop.waiting(&production).await;

    for signing in [Signing::Forged, Signing::Old, Signing::Tampered, Signing::Missing] {
        let answer = slack.press_signed(&notifier, &question, Button::Approve, ANA, signing).await?;
        assert_eq!(answer.status, 401, "{signing:?}: {answer:?}");
    }
    let answer = slack.press(&notifier, &question, Button::Approve, "U0STRANGER").await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    slack.wait_for_whisper(PATIENCE, |_| true).await?;
    nobody_voted(shop, &production).await?;

    press_twice(slack, &notifier, &question).await?;
    let look = |call: &Call| call.readable().contains("Look at the first host") && call.button(Button::Approve).is_ok();
    let canary = slack.wait_for_message(PATIENCE, look).await?;
    assert!(shop.page(1).await?.contains("shop 1.0.0") && shop.page(2).await.is_err(), "the canary alone");
    a_stopped_canary_is_not_approved(shop, slack, &notifier, &canary).await?;
    let answer = slack.press(&notifier, &canary, Button::Approve, ANA).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let view = shop.succeeded(&production).await;
    assert!(shop.page(2).await?.contains("shop 1.0.0"), "the other one follows");
    let gate = view.steps.iter().find_map(|step| step.gate.clone()).expect("a gate");
    assert_eq!(gate.decided, Some(Verdict::Approve));
    assert_eq!(gate.votes.len(), 1, "{gate:#?}");
    assert_eq!(gate.votes[0].person.as_str(), "ana");
    let events = shop.events(&production).await?;
    let decisions = events.iter().filter(|e| e.events.to_string().contains("\"decided\"")).count();
    assert_eq!(decisions, 2, "one decision for each gate: {events:#?}");
    assert_eq!(view.summary.outcome, Some(Outcome::Succeeded));

    let edit = slack.wait_for_update(PATIENCE, |call| call.button(Button::Approve).is_err()).await?;
    assert!(edit.readable().contains("ana"), "the message says who decided: {edit:#?}");
    Ok(())
}

async fn a_stopped_canary_is_not_approved(
    shop: &Shop,
    slack: &LocalSlack,
    notifier: &str,
    canary: &Call,
) -> Result<()> {
    let running = shop.running_on("web-01").await?;
    let id = running.iter().find_map(|container| container.id.clone()).expect("the canary");
    machine::run("docker", &["stop", &id]).await?;
    let answer = slack.press(notifier, canary, Button::Approve, ANA).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let whisper = slack.wait_for_whisper(PATIENCE, |call| call.readable().contains("does not run")).await?;
    assert!(whisper.readable().contains("--drift"), "{whisper:#?}");
    machine::run("docker", &["start", &id]).await?;
    Ok(())
}

async fn press_twice(slack: &LocalSlack, notifier: &str, question: &Call) -> Result<()> {
    let (one, two) = tokio::join!(
        slack.press(notifier, question, Button::Approve, ANA),
        slack.press(notifier, question, Button::Approve, ANA)
    );
    for answer in [one?, two?] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.took < Duration::from_secs(3), "Slack gives up after 3 s: {answer:?}");
    }
    Ok(())
}

async fn nobody_voted(shop: &Shop, one: &slipway_domain::api::DeploymentSummary) -> Result<()> {
    let view = shop.view(one).await?;
    let votes: usize = view.steps.iter().filter_map(|step| step.gate.as_ref()).map(|gate| gate.votes.len()).sum();
    assert_eq!(votes, 0, "{view:#?}");
    Ok(())
}
