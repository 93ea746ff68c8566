//! A gate is announced with buttons; presses become votes only when they should.

use anyhow::Result;
use slipway_domain::event::{Outcome, Verdict};
use slipway_integration_tests::slack::{Button, Signing, Trouble, form};

use crate::stage::{Configured, DEADLINE, Stage, by_slack};

#[tokio::test(flavor = "multi_thread")]
async fn a_button_pressed_twice_is_one_vote_and_the_decision_replaces_the_buttons_once() -> Result<()> {
    let mut stage = Stage::start(Configured::Yes).await?;
    let mut story = stage.open("pressed twice").await?;
    let message = stage.announce(&story).await?;
    let readable = message.readable();
    assert!(readable.contains("shop 1.2.0 to production: sign-off"), "{readable}");
    assert!(readable.contains("Check staging first"), "{readable}");

    let url = stage.url();
    let (first, second) = tokio::join!(
        stage.slack.press(&url, &message, Button::Approve, "U0ANA"),
        stage.slack.press(&url, &message, Button::Approve, "U0ANA"),
    );
    assert_eq!((first?.status, second?.status), (200, 200));
    stage.slack.wait_for_whisper(DEADLINE, |w| w.readable() == "Your approval is recorded, ana.").await?;
    stage.slack.wait_for_whisper(DEADLINE, |w| w.readable() == "Your approval was recorded before, ana.").await?;
    assert_eq!(stage.votes(&story).await?, [by_slack("ana", Verdict::Approve)]);

    stage.decide(&mut story, Verdict::Approve, "approved by ana").await?;
    let update = stage.slack.wait_for_update(DEADLINE, |u| u.ts == message.ts).await?;
    assert!(update.readable().contains("Approved by ana"), "{}", update.readable());
    assert_eq!(update.channel(), message.channel());
    assert!(update.button(Button::Approve).is_err() && update.button(Button::Reject).is_err(), "{update:?}");

    let late = stage.slack.press(&url, &message, Button::Reject, "U0BEN").await?;
    assert_eq!(late.status, 200);
    stage.slack.wait_for_whisper(DEADLINE, |w| w.readable().contains("nothing left to decide")).await?;
    assert_eq!(stage.votes(&story).await?.len(), 1);
    // A press of leftover buttons takes them away, whatever message they are on.
    wait_for_updates(&stage, 2).await;

    stage.restart().await?;
    let mut next = stage.open("after the restart").await?;
    let other = stage.announce(&next).await?;
    stage.decide(&mut next, Verdict::Reject, "nobody decided within 1h").await?;
    let update = stage.slack.wait_for_update(DEADLINE, |u| u.ts == other.ts).await?;
    assert!(update.readable().contains("Expired: nobody decided within 1h"), "{}", update.readable());
    let edits_of_first = stage.slack.accepted("chat.update").iter().filter(|u| u.ts == message.ts).count();
    assert_eq!(edits_of_first, 2, "edits come in order, so an edit repeated by the restart would be here");
    Ok(())
}

async fn wait_for_updates(stage: &Stage, count: usize) {
    slipway_integration_tests::wait::until_within(DEADLINE, "the edits", async || {
        let seen = stage.slack.accepted("chat.update");
        if seen.len() == count { Ok(()) } else { Err(seen) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_slack_did_not_sign_just_now_changes_nothing() -> Result<()> {
    let stage = Stage::start(Configured::Yes).await?;
    let story = stage.open("forged").await?;
    let message = stage.announce(&story).await?;
    for signing in [Signing::Forged, Signing::Old, Signing::Tampered, Signing::Missing] {
        let answer = stage.slack.press_signed(&stage.url(), &message, Button::Approve, "U0ANA", signing).await?;
        assert_eq!(answer.status, 401, "{signing:?}: {}", answer.body);
        assert!(answer.body.contains("slack-signature"), "{}", answer.body);
        assert!(!answer.body.contains(stage.slack.signing_secret()), "{}", answer.body);
    }
    for body in ["", "payload=%7B", "payload=%5B%5D", "other=1"] {
        let answer = stage.slack.send(&stage.url(), body, Signing::Right).await?;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
    }
    assert_eq!(stage.votes(&story).await?, []);
    // The way itself was open all the time.
    stage.slack.press(&stage.url(), &message, Button::Reject, "U0BEN").await?;
    stage.slack.wait_for_whisper(DEADLINE, |w| w.readable() == "Your rejection is recorded, ben.").await?;
    assert_eq!(stage.votes(&story).await?, [by_slack("ben", Verdict::Reject)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_right_is_told_so_and_changes_nothing() -> Result<()> {
    let stage = Stage::start(Configured::Yes).await?;
    let story = stage.open("no right").await?;
    let message = stage.announce(&story).await?;
    for user in ["U0DAN", "U0NOBODY"] {
        let answer = stage.slack.press(&stage.url(), &message, Button::Approve, user).await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        stage
            .slack
            .wait_for_whisper(DEADLINE, |w| {
                w.readable().contains("You can not decide this") && w.readable().contains(user)
            })
            .await?;
    }
    let mut without_url = stage.slack.payload(&message, Button::Approve, "U0DAN")?;
    without_url.as_object_mut().expect("an object").remove("response_url");
    let answer = stage.slack.send(&stage.url(), &form(&without_url), Signing::Right).await?;
    assert!(answer.status == 200 && answer.body.contains("You can not decide this"), "{answer:?}");
    assert!(answer.body.contains("ephemeral"), "{answer:?}");
    assert_eq!(stage.votes(&story).await?, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_press_delivered_twice_is_one_vote_and_a_change_of_mind_is_another() -> Result<()> {
    let stage = Stage::start(Configured::Yes).await?;
    let story = stage.open("delivered twice").await?;
    let message = stage.announce(&story).await?;
    let body = form(&stage.slack.payload(&message, Button::Approve, "U0ANA")?);
    let url = stage.url();
    let (one, two) =
        tokio::join!(stage.slack.send(&url, &body, Signing::Right), stage.slack.send(&url, &body, Signing::Right));
    assert_eq!((one?.status, two?.status), (200, 200));
    stage.slack.wait_for_whisper(DEADLINE, |w| w.readable().contains("was recorded before")).await?;
    assert_eq!(stage.votes(&story).await?, [by_slack("ana", Verdict::Approve)]);
    stage.slack.press(&url, &message, Button::Reject, "U0ANA").await?;
    stage.slack.wait_for_whisper(DEADLINE, |w| w.readable().contains("Your rejection is recorded")).await?;
    assert_eq!(stage.votes(&story).await?, [by_slack("ana", Verdict::Approve), by_slack("ana", Verdict::Reject)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_waits_out_an_outage_of_slack_and_a_crash_of_the_notifier() -> Result<()> {
    let mut stage = Stage::start(Configured::Yes).await?;
    let mut story = stage.open("outage").await?;
    let message = stage.announce(&story).await?;
    stage.slack.fail_next([Trouble::Status(503)]);
    stage.finish(&mut story, Outcome::Cancelled).await?;
    slipway_integration_tests::wait::until_within(DEADLINE, "the edit is tried", async || {
        let calls = stage.slack.calls();
        if calls.iter().any(|c| c.method == "chat.update") { Ok(()) } else { Err(calls) }
    })
    .await;
    stage.notifier.kill().await?;
    stage.notifier.start()?;
    let update = stage.slack.wait_for_update(DEADLINE, |u| u.ts == message.ts).await?;
    assert!(update.readable().contains("Closed: the deployment was cancelled"), "{}", update.readable());
    Ok(())
}
