//! The fold sees every message once, whatever happens to the server.

use slipway_bus::{BusError, Fold};
use slipway_domain::event::{Address, Entry, GateEvent, GateScope, Recorded, Verdict};

use crate::{
    checkpoint, deployment, envelope,
    nats::{Nats, soon},
    plan, started, target, task,
};

async fn take(fold: &mut Fold, n: usize) -> anyhow::Result<Vec<Recorded>> {
    let mut taken = Vec::new();
    while taken.len() < n {
        taken.push(soon("the next message", fold.next()).await?);
    }
    Ok(taken)
}

#[tokio::test]
async fn a_fold_brings_what_was_and_what_comes_in_order() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let (first, second) = (plan(), plan());
    bus.append(&first, 0, &started()).await?;
    bus.append(&second, 0, &started()).await?;
    let mut fold = bus.fold(1);
    assert_eq!(take(&mut fold, 2).await?.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 2]);
    let address = Address::Task(second.deployment(), task("web", "web-01"));
    let entry = checkpoint("live");
    bus.append(&address, 0, &entry).await?;
    let live = take(&mut fold, 1).await?.remove(0);
    assert_eq!((live.seq, &live.address, &live.entry), (3, &address, &entry));
    let from_two = take(&mut bus.fold(2), 2).await?;
    assert_eq!(from_two.iter().map(|r| r.seq).collect::<Vec<_>>(), [2, 3]);
    Ok(())
}

#[tokio::test]
async fn a_fold_of_gates_leaves_other_tasks_out_and_knows_how_much_is_there() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    assert_eq!(soon("the consumer", bus.fold_gates(1).open()).await?, 0);
    let plan = plan();
    let id = plan.deployment();
    let gate = |scope| Address::Gate(id, "sign-off".parse().unwrap(), scope);
    let decided = GateEvent::Decided { verdict: Verdict::Approve, reason: "approved by ana".to_owned() };
    let decided = Entry::Gate(envelope(decided));
    let all = [
        (plan, started()),
        (Address::Task(id, task("web", "web-01")), checkpoint("work")),
        (Address::Task(id, task("sign-off", "notifier")), checkpoint("announced")),
        (gate(GateScope::Target(target("web-01"))), decided.clone()),
        (gate(GateScope::All), decided),
    ];
    for (address, entry) in &all {
        bus.append(address, 0, entry).await?;
    }
    let mut fold = bus.fold_gates(1);
    assert_eq!(soon("the consumer", fold.open()).await?, 3);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let seq = take(&mut fold, 1).await?[0].seq;
        seen.push((seq, fold.pending()));
    }
    assert_eq!(seen, [(1, 2), (3, 1), (5, 0)]);
    Ok(())
}

#[tokio::test]
async fn waiting_for_the_next_message_may_be_given_up_at_any_time() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let mut fold = bus.fold(1);
    let writer = tokio::spawn({
        let bus = bus.clone();
        async move {
            for _ in 0..200 {
                bus.append(&plan(), 0, &started()).await.unwrap();
            }
        }
    });
    let mut seen = Vec::new();
    soon("all messages", async {
        while seen.len() < 200 {
            // Far shorter than a round trip: most of these give up.
            if let Ok(next) = tokio::time::timeout(std::time::Duration::from_micros(50), fold.next()).await {
                seen.push(next.unwrap().seq);
            }
        }
    })
    .await;
    writer.await?;
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_fold_neither_skips_nor_repeats_over_kills_of_the_server() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    let bus = nats.bus().await?;
    let total = 600_u64;
    let writer = tokio::spawn({
        let bus = bus.clone();
        async move {
            let address = Address::Task(deployment(), task("web", "web-01"));
            let mut head = 0;
            for n in 0..total {
                head = bus.append(&address, head, &checkpoint(&n.to_string())).await.unwrap().seq().unwrap();
            }
        }
    });
    let mut fold = bus.fold(1);
    let mut seen = Vec::new();
    for kill_after in [100, 250, 400] {
        let n = kill_after - seen.len();
        seen.extend(take(&mut fold, n).await?);
        nats.kill9();
        nats.restart()?;
    }
    let n = total as usize - seen.len();
    seen.extend(take(&mut fold, n).await?);
    soon("the writer", writer).await?;
    assert!(seen.iter().map(|r| r.seq).eq(1..=total));
    for (n, recorded) in seen.iter().enumerate() {
        let json = String::from_utf8(recorded.entry.to_json()?)?;
        assert!(json.contains(&format!("\"intent\":\"{n}\"")), "{json}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unreadable_message_is_named_and_the_fold_goes_on_behind_it() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    bus.append(&plan(), 0, &started()).await?;
    let raw = async_nats::connect(nats.url()).await?;
    let js = async_nats::jetstream::new(raw);
    js.publish(slipway_bus::subject::of(&plan()), "not zstd".into()).await?.await?;
    js.publish("deployment.nonsense", "".into()).await?.await?;
    bus.append(&plan(), 0, &started()).await?;
    let mut fold = bus.fold(1);
    assert_eq!(fold.next().await?.seq, 1);
    for expected in [2, 3] {
        match soon("the unreadable one", fold.next()).await {
            Err(BusError::Unreadable { seq, .. }) => assert_eq!(seq, expected),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(soon("the one behind", fold.next()).await?.seq, 4);
    Ok(())
}

#[tokio::test]
async fn a_log_that_lost_what_was_folded_is_a_regression() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    let bus = nats.bus().await?;
    for _ in 0..3 {
        bus.append(&plan(), 0, &started()).await?;
    }
    let mut fold = bus.fold(1);
    take(&mut fold, 3).await?;
    nats.kill9();
    nats.wipe()?;
    nats.restart()?;
    soon("the streams to be made again", async { while bus.ensure_streams(1).await.is_err() {} }).await;
    for _ in 0..3 {
        bus.append(&plan(), 0, &started()).await?;
    }
    let error = soon("the regression", fold.next()).await.unwrap_err();
    assert!(matches!(error, BusError::Regression { seq: 3 }), "{error}");
    Ok(())
}
