//! `slipway-release repair-log`: gives a log back what it has lost, from the archive.
//!
//! After NATS came back with an older copy of its store, the archive knows messages that the log does not. Each is
//! written to its old place with its old time, so that everybody folds what was folded before. What was
//! acknowledged and not yet archived is gone; so the log is moved on past every sequence that may have been seen, for
//! no claim of then to be taken for one of now.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use chrono::Utc;
use slipway_bus::{Bus, BusConfig, PresenceEvent};
use slipway_domain::{
    event::{Actor, Address, Entry, PlanEvent, Recorded},
    id::DeploymentId,
    presence::{Presence, Role},
};
use slipway_service::failpoint;
use slipway_store::Store;
use uuid::Uuid;

use crate::{
    operations::envelope,
    settings::{RepairLog, Settings},
};

/// Places that are left free behind what was archived.
const SPARE: u64 = 1_000;
/// Archived messages read at once.
const PAGE: u64 = 1_000;
/// The setting that names the end of the archive while a repair is under way.
const UNFINISHED: &str = "repair-log";
/// How long presence is listened to.
const LISTEN: Duration = Duration::from_secs(10);

/// Where log and archive stand to each other.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// The log has all that the archive has.
    Whole,
    /// The log ends before the archive does.
    Cut { head: u64, archived: u64 },
    /// From this sequence on they tell different stories.
    Fork { at: u64, head: u64, archived: u64 },
}

/// Repairs; what was done.
pub async fn repair(settings: &Settings, how: &RepairLog) -> Result<String> {
    let store = Store::connect(&settings.database_url).await.context("the database can not be used")?;
    let config = BusConfig {
        url: settings.nats.url.clone(),
        creds: settings.nats.creds.clone(),
        role: Role::Release,
        id: format!("{}-repair", settings.id),
    };
    let bus = Bus::connect(&config).await?;
    bus.ensure_streams(settings.nats.replicas).await?;
    nobody_writes(&bus).await?;
    match compare(&bus, &store).await? {
        Standing::Whole => match store.setting(UNFINISHED).await?.and_then(|seen| seen.parse().ok()) {
            Some(seen) => {
                let end = move_on(&bus, seen).await?;
                store.set_setting(UNFINISHED, None).await?;
                Ok(format!(
                    "what an interrupted repair had left is done, and the log goes on at {end}; start the services"
                ))
            }
            None => Ok("the log has everything that the archive has; nothing to repair".to_owned()),
        },
        Standing::Cut { head, archived } => {
            // Once all is back, nothing else would tell that the log was not moved on.
            store.set_setting(UNFINISHED, Some(&archived.to_string())).await?;
            let back = put_back(&bus, &store, head, archived).await?;
            failpoint!("release.moved.before");
            let end = move_on(&bus, archived).await?;
            store.set_setting(UNFINISHED, None).await?;
            Ok(format!(
                "{back} messages are back in the log, {} to {archived}, and it goes on at {end}; start the services",
                head + 1
            ))
        }
        Standing::Fork { at, head, archived } if how.believe_log => {
            move_on(&bus, head.max(archived)).await?;
            let cut = store.cut_archive(at - 1).await?;
            Ok(format!(
                "the log is believed from message {at} on, and {cut} messages left the archive; start the services and \
                 call `slipway repair rebuild`. Look at hosts on which the lost deployments ran"
            ))
        }
        Standing::Fork { at, head, archived } => bail!(
            "log and archive differ from message {at} on: something was written after the log had lost its end, or this is \
             the log of another database. The log ends at {head}, the archive at {archived}. Bring back the right store \
             of NATS; or give up what only the archive knows with `--believe-log`. Nothing was changed"
        ),
    }
}

/// Refuses while a service that writes is alive; executors only end what they hold, and are fenced.
async fn nobody_writes(bus: &Bus) -> Result<()> {
    let mut watch = bus.watch_presence();
    let mut alive: HashMap<(Role, String), Presence> = HashMap::new();
    let until = Instant::now() + LISTEN;
    while let Ok(event) = tokio::time::timeout(until.saturating_duration_since(Instant::now()), watch.next()).await {
        match event {
            PresenceEvent::Up(presence) if presence.role != Role::Executor => {
                alive.insert((presence.role, presence.id.to_string()), presence);
            }
            PresenceEvent::Gone { role, id } => drop(alive.remove(&(role, id.to_string()))),
            PresenceEvent::Drained => break,
            PresenceEvent::Up(_) | PresenceEvent::Lost => {}
        }
    }
    let names: Vec<_> = alive.keys().map(|(role, id)| format!("{} {id}", role.as_str())).collect();
    ensure!(
        names.is_empty(),
        "{} may be alive: stop all release services, planners and notifiers; one that was killed is believed to live for 15 s",
        names.join(", ")
    );
    Ok(())
}

async fn compare(bus: &Bus, store: &Store) -> Result<Standing> {
    let head = bus.head().await?;
    let archived = store.newest_events(1).await?.pop().map_or(0, |mark| mark.seq);
    let log: HashMap<u64, Uuid> = bus.marks_from(1).await?.into_iter().map(|mark| (mark.seq, mark.id)).collect();
    let mut at = 0;
    loop {
        let page = store.events_between(at, archived.min(head), PAGE).await?;
        let Some(last) = page.last() else { break };
        at = last.seq;
        let other = |event: &&Recorded| log.get(&event.seq).is_some_and(|id| *id != event.entry.id());
        if let Some(first) = page.iter().find(other) {
            return Ok(Standing::Fork { at: first.seq, head, archived });
        }
    }
    Ok(if head < archived { Standing::Cut { head, archived } } else { Standing::Whole })
}

/// Writes what the archive has and the log has not.
async fn put_back(bus: &Bus, store: &Store, head: u64, archived: u64) -> Result<u64> {
    let (mut at, mut back) = (head, 0);
    while at < archived {
        let page = store.events_between(at, archived, PAGE).await?;
        ensure!(!page.is_empty(), "the archive ends at {at}, not at {archived}");
        for event in page {
            // What could not be read then had a place as well.
            while at + 1 < event.seq {
                at += 1;
                bus.put_back(&filler(at)).await?;
            }
            bus.put_back(&event).await?;
            at = event.seq;
            back += 1;
        }
    }
    Ok(back)
}

/// Moves the log on past what may have been seen of it; where it goes on.
async fn move_on(bus: &Bus, seen: u64) -> Result<u64> {
    let head = bus.head().await?;
    for seq in head + 1..=seen + SPARE {
        bus.put_back(&filler(seq)).await?;
    }
    Ok(seen + SPARE + 1)
}

/// A message that means nothing to anybody.
fn filler(seq: u64) -> Recorded {
    let actor = Actor::Trigger { name: "repair".to_owned() };
    let entry = Entry::Plan(envelope(actor, PlanEvent::Resumed));
    Recorded { seq, at: Utc::now(), address: Address::Plan(DeploymentId::POLICY), entry }
}
