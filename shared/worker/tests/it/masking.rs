//! Secrets reach the work, and nothing else.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use nkeys::XKey;
use slipway_bus::Bus;
use slipway_domain::{
    event::{Failure, FailureKind, TaskEvent},
    name::SecretName,
    order::Doorbell,
    secret::{SecretAnswer, SecretRef},
};
use slipway_worker::{End, Stream};

use crate::{
    nats::Nats,
    planner::{doorbell, next, ring, story, worker},
};

const VALUE: &str = "hunter2-hunter2";

fn with_secret() -> (Doorbell, SecretRef) {
    let secret = SecretRef { name: SecretName::new("shop-db").unwrap(), version: 3 };
    let mut task = doorbell();
    task.order.secrets = vec![secret.clone()];
    (task, secret)
}

/// Answers as the release service does: later at first, then sealed to the key of the claim.
async fn release_service(bus: Bus, task: Doorbell) -> anyhow::Result<()> {
    let mut requests = bus.secret_requests().await?;
    tokio::spawn(async move {
        let mut asked = 0;
        while let Some((request, replier)) = requests.next().await {
            asked += 1;
            let (claim, event) = next(&bus, &task, 0).await;
            let TaskEvent::Claimed { key, .. } = event else { panic!("not claimed") };
            assert_eq!((request.epoch, request.secrets), (claim.seq, task.order.secrets.clone()));
            let answer = if asked == 1 {
                SecretAnswer::Later
            } else {
                let sender = XKey::new();
                let values = serde_json::to_vec(&[VALUE]).unwrap();
                let sealed = sender.seal(&values, &XKey::from_public_key(&key).unwrap()).unwrap();
                SecretAnswer::Sealed { sender: sender.public_key(), sealed: BASE64.encode(sealed) }
            };
            replier.answer(&answer).await;
        }
    });
    Ok(())
}

#[tokio::test]
async fn a_secret_is_filled_in_and_masked_in_output_failure_and_checkpoints() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let (task, secret) = with_secret();
    release_service(bus.clone(), task.clone()).await?;
    let marker = secret.marker();
    let _worker = worker(&nats, "executor-1", 1, move |held, _| {
        let marker = marker.clone();
        async move {
            let filled = held.fill(&format!("db={marker}")).unwrap();
            assert_eq!(filled, format!("db={VALUE}"));
            held.once(&format!("connect to {filled}")).await.unwrap();
            held.say(format!("connecting to {filled}"));
            held.print(Stream::Err, "password hun");
            held.print(Stream::Out, "fine\n");
            held.print(Stream::Err, "ter2-hunter2 refused\nlast line");
            held.print(Stream::Out, &format!("{}\n", BASE64.encode(format!("u:{VALUE}"))));
            End::Failed(Failure { kind: FailureKind::Step, message: filled, tail: held.tail() })
        }
    })
    .await?;
    ring(&bus, &task).await;
    let events = story(&bus, &task).await;
    let Some(TaskEvent::Failed { cause }) = events.last() else { panic!("{events:?}") };
    assert_eq!(cause.message, "db=***");
    let lines = bus.read_logs(task.deployment, 0, 100).await?;
    let shown = format!("{events:?} {lines:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVy"), "{shown}");
    let texts: Vec<_> = lines.iter().map(|line| format!("{}: {}", line.stream, line.text)).collect();
    for expected in ["slipway: connecting to db=***", "err: password *** refused", "out: fine", "err: last line"] {
        assert!(texts.iter().any(|text| text == expected), "{expected} in {texts:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_fails_the_task_before_its_work_begins() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let (task, _) = with_secret();
    let mut requests = bus.secret_requests().await?;
    tokio::spawn(async move {
        while let Some((_, replier)) = requests.next().await {
            replier.answer(&SecretAnswer::Refused { reason: "there is no version 3 of `shop-db`".into() }).await;
        }
    });
    let _worker = worker(&nats, "executor-1", 1, |_, _| async { End::Succeeded([].into()) }).await?;
    ring(&bus, &task).await;
    let events = story(&bus, &task).await;
    let Some(TaskEvent::Failed { cause }) = events.last() else { panic!("{events:?}") };
    assert_eq!(cause.kind, FailureKind::Order);
    assert!(cause.message.contains("no version 3"), "{}", cause.message);
    Ok(())
}
