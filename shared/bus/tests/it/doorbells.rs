//! Doorbells tell at once whether somebody is there.

use std::time::Duration;

use slipway_domain::{
    duration::Span,
    name::{EnvironmentName, ProjectName},
    order::{Answer, Doorbell, Order, Work},
};

use crate::{
    deployment,
    nats::{Nats, soon},
    target, task,
};

fn doorbell() -> Doorbell {
    Doorbell {
        deployment: deployment(),
        task: task("web", "web-01"),
        expected_seq: 7,
        attempt: 1,
        adopt: false,
        stop: false,
        restore: false,
        order: Order {
            project: ProjectName::new("shop").unwrap(),
            environment: EnvironmentName::new("staging").unwrap(),
            release: "1.0.0".into(),
            docker: None,
            tls: None,
            timeout: Span::secs(60),
            secrets: Vec::new(),
            work: Work::Wait { span: Span::secs(0) },
        },
        trace: None,
    }
}

#[tokio::test]
async fn an_order_of_any_size_reaches_who_listens() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let mut rung = doorbell();
    rung.order.release = "x".repeat(3 * 1024 * 1024);
    let mut doorbells = bus.doorbells(&target("web-01")).await?;
    let (heard, answered) = soon("the ring", async {
        tokio::join!(
            async {
                let ring = doorbells.next().await.unwrap();
                ring.answer(Answer::Claiming).await;
                ring.doorbell
            },
            bus.ring(&rung)
        )
    })
    .await;
    assert_eq!((heard, answered?), (rung, Some(Answer::Claiming)));
    Ok(())
}

#[tokio::test]
async fn a_ring_meets_nobody_or_one_that_is_busy_or_claims() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let rung = doorbell();
    assert_eq!(bus.ring(&rung).await?, None);
    let mut doorbells = bus.doorbells(&target("web-01")).await?;
    for answer in [Answer::Busy, Answer::Claiming] {
        let (heard, answered) = soon("the ring", async {
            tokio::join!(
                async {
                    let ring = doorbells.next().await.unwrap();
                    ring.answer(answer).await;
                    ring.doorbell
                },
                bus.ring(&rung)
            )
        })
        .await;
        assert_eq!((heard, answered?), (rung.clone(), Some(answer)));
    }
    // Somebody listens but does not answer: the same as nobody, only later.
    assert_eq!(soon("the time-out", bus.ring(&rung)).await?, None);
    drop(doorbells);
    Ok(())
}

#[tokio::test]
async fn a_ring_reaches_one_of_several() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let mut listeners = [bus.doorbells(&target("web-01")).await?, bus.doorbells(&target("web-01")).await?];
    let ringing = tokio::spawn({
        let bus = bus.clone();
        async move {
            for _ in 0..20 {
                assert_eq!(bus.ring(&doorbell()).await.unwrap(), Some(Answer::Busy));
            }
        }
    });
    let [one, two] = &mut listeners;
    let mut heard = 0;
    while heard < 20 {
        let ring = soon("a ring", async {
            tokio::select! { ring = one.next() => ring, ring = two.next() => ring }
        })
        .await;
        ring.unwrap().answer(Answer::Busy).await;
        heard += 1;
    }
    soon("the ringer", ringing).await?;
    let more = tokio::time::timeout(Duration::from_millis(50), async {
        tokio::select! { ring = one.next() => ring, ring = two.next() => ring }
    })
    .await;
    assert!(more.is_err(), "a ring reached two");
    Ok(())
}

#[tokio::test]
async fn doorbells_and_nudges_work_again_after_a_restart() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    let bus = nats.bus().await?;
    let mut doorbells = bus.doorbells(&target("web-01")).await?;
    let mut nudges = bus.nudges(&target("web-01")).await?;
    nats.kill9();
    nats.restart()?;
    soon("the connection", bus.connected().wait_for(|up| *up)).await?;
    let rung = doorbell();
    tokio::spawn(async move {
        while let Some(ring) = doorbells.next().await {
            ring.answer(Answer::Claiming).await;
        }
    });
    soon("an answer", async { while bus.ring(&rung).await.unwrap() != Some(Answer::Claiming) {} }).await;
    bus.nudge_cancel(rung.deployment, &rung.task).await?;
    assert_eq!(soon("the nudge", nudges.next()).await, Some((rung.deployment, rung.task)));
    Ok(())
}
