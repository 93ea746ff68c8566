//! Appending has three answers and never "maybe".

use slipway_bus::{Appended, Bus, BusError};
use slipway_domain::{
    event::{Address, Entry, PlanEvent},
    presence::Role,
};

use crate::{
    checkpoint, deployment, envelope,
    nats::{Nats, soon},
    plan, started, task,
};

#[tokio::test]
async fn an_append_is_stored_once_and_a_retry_of_it_is_mine() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let (address, entry) = (plan(), started());
    let Appended::Stored(seq) = bus.append(&address, 0, &entry).await? else { panic!("not stored") };
    assert_eq!(bus.append(&address, 0, &entry).await?, Appended::Mine(seq));
    assert_eq!(bus.append_direct(&address, 0, &entry).await?, Appended::Mine(seq));
    assert_eq!(bus.append(&address, 0, &started()).await?, Appended::Lost { head: seq });
    assert_eq!(bus.append_direct(&address, 0, &started()).await?, Appended::Lost { head: seq });
    assert_eq!((bus.head().await?, bus.head_of(&address).await?), (seq, seq));
    assert_eq!(bus.head_of(&plan()).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_retry_is_mine_also_when_others_have_appended_since() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let address = Address::Task(deployment(), task("web", "web-01"));
    let (first, second) = (checkpoint("first"), checkpoint("second"));
    let one = bus.append(&address, 0, &first).await?.seq().unwrap();
    // Something else in between: sequences of one subject are not consecutive.
    bus.append(&plan(), 0, &started()).await?;
    let two = bus.append(&address, one, &second).await?.seq().unwrap();
    assert_eq!(bus.append_direct(&address, 0, &first).await?, Appended::Mine(one));
    assert_eq!(bus.append(&address, one, &second).await?, Appended::Mine(two));
    assert_eq!(bus.append(&address, one, &checkpoint("third")).await?, Appended::Lost { head: two });
    let found = bus.after(&address, one).await?.unwrap();
    assert_eq!((found.seq, &found.entry), (two, &second));
    assert_eq!(bus.after_direct(&address, 0, 0).await?.unwrap().entry, first);
    assert_eq!(bus.after(&address, two).await?, None);
    Ok(())
}

#[tokio::test]
async fn of_sixteen_racers_one_wins_and_all_know() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let address = plan();
    let racers = (0..16).map(|n| {
        let (bus, address) = (bus.clone(), address.clone());
        tokio::spawn(async move {
            let entry = started();
            if n % 2 == 0 {
                bus.append(&address, 0, &entry).await
            } else {
                bus.append_direct(&address, 0, &entry).await
            }
        })
    });
    let mut won = Vec::new();
    for racer in futures::future::join_all(racers).await {
        match racer?? {
            Appended::Stored(seq) => won.push(seq),
            Appended::Lost { head } => assert_eq!(head, bus.head_of(&address).await?),
            Appended::Mine(_) => panic!("nobody tried twice"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(bus.head().await?, won[0]);
    Ok(())
}

#[tokio::test]
async fn an_append_while_the_server_is_down_is_stored_once_it_is_back() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    let bus = nats.bus().await?;
    let address = plan();
    let seq = bus.append(&address, 0, &started()).await?.seq().unwrap();
    nats.kill9();
    let entry = checkpoint("while down");
    let task_address = Address::Task(address.deployment(), task("web", "web-01"));
    let appending = tokio::spawn({
        let (bus, address, entry) = (bus.clone(), task_address.clone(), entry.clone());
        async move { bus.append(&address, 0, &entry).await }
    });
    soon("the client to notice", bus.connected().wait_for(|up| !*up)).await?;
    assert!(!appending.is_finished());
    nats.restart()?;
    let appended = soon("the append", appending).await??;
    assert_eq!(appended.seq(), Some(seq + 1));
    assert_eq!(bus.append(&task_address, 0, &entry).await?, Appended::Mine(seq + 1));
    assert_eq!(bus.head().await?, seq + 1);
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_for_an_envelope_goes_through_all_the_same() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    // Hexadecimal of random bytes: compresses to half at best.
    let noise: String = (0..80_000).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
    let address = plan();
    let entry = Entry::Plan(envelope(PlanEvent::CancelRequested { reason: noise }));
    assert_eq!(bus.append(&address, 0, &entry).await?, Appended::Stored(1));
    assert_eq!(bus.append(&address, 0, &entry).await?, Appended::Mine(1), "the same bytes again");
    let mut fold = bus.fold(1);
    assert_eq!(soon("the entry", fold.next()).await?.entry, entry);
    assert_eq!(bus.after(&address, 0).await?.map(|r| r.entry), Some(entry.clone()));
    assert_eq!(bus.after_direct(&address, 0, 1).await?.map(|r| r.entry), Some(entry));
    Ok(())
}

#[tokio::test]
async fn a_denied_append_says_so_instead_of_trying_for_ever() -> anyhow::Result<()> {
    let users = r#"authorization {
        users: [
            {user: all, password: all}
            {user: some, password: some, permissions: {
                publish: ["$JS.API.>", "deployment.*.task.web-01.*"], subscribe: ["_INBOX_executor_executor-1.>"]
            }}
        ]
    }"#;
    let nats = Nats::start_with(users, "")?;
    let mut config = nats.config(Role::Planner, "planner-1");
    config.url = format!("nats://all:all@127.0.0.1:{}", nats.port);
    Bus::connect(&config).await?.ensure_streams(1).await?;
    let mut config = nats.config(Role::Executor, "executor-1");
    config.url = format!("nats://some:some@127.0.0.1:{}", nats.port);
    let bus = Bus::connect(&config).await?;
    let denied = soon("an answer", bus.append_direct(&plan(), 0, &started())).await;
    assert!(matches!(denied, Err(BusError::Denied { .. })), "{denied:?}");
    let address = Address::Task(deployment(), task("web", "web-01"));
    assert!(bus.append_direct(&address, 0, &checkpoint("allowed")).await?.seq().is_some());
    config.url = nats.url();
    let anonymous = Bus::connect(&config).await.unwrap_err();
    assert!(anonymous.to_string().contains("refuses the credentials"), "{anonymous}");
    Ok(())
}

#[tokio::test]
async fn a_question_for_the_head_outlives_a_restart_of_the_server() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    let bus = nats.bus().await?;
    let seq = bus.append(&plan(), 0, &started()).await?.seq().unwrap();
    nats.kill9();
    let asking = tokio::spawn({
        let bus = bus.clone();
        async move { bus.head().await }
    });
    soon("the client to notice", bus.connected().wait_for(|up| !*up)).await?;
    nats.restart()?;
    assert_eq!(soon("the head", asking).await??, seq);
    Ok(())
}
