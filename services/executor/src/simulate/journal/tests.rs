//! Two executors on one journal.

use std::time::Duration;

use slipway_domain::name::{StepName, TargetName};

use super::*;

fn by(epoch: u64) -> By {
    let task = TaskKey::new(StepName::new("job").unwrap(), TargetName::new("web-01").unwrap());
    By { deployment: DeploymentId(Uuid::nil()), task, attempt: 1, epoch }
}

fn part() -> Part {
    Part { lasts: Duration::from_millis(5), fails: true }
}

#[tokio::test]
async fn what_one_process_did_the_other_finds_and_a_name_is_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (one, two) = (Journal::open(Some(&path)).unwrap(), Journal::open(Some(&path)).unwrap());
    let id = one.act(|ledger| ledger.create(&by(3), "p")).await.unwrap().unwrap();
    let taken = two.act(|ledger| ledger.create(&by(9), "p")).await.unwrap().unwrap_err();
    assert_eq!((taken.epoch, taken.was_started()), (3, false));

    let started = id.clone();
    one.act(move |ledger| ledger.start(&by(3), &started, part())).await.unwrap().unwrap();
    let seen = two.act(|ledger| Ok(ledger.of(&by(9)))).await.unwrap().unwrap();
    assert!(matches!(seen.life, Life::Started { millis: 5, code: 1, .. }), "{seen:?}");

    let gone = id.clone();
    two.act(move |ledger| ledger.remove(&by(9), &gone)).await.unwrap();
    assert_eq!(one.act(move |ledger| ledger.start(&by(3), &id, part())).await.unwrap(), None);
    assert!(one.act(|ledger| ledger.create(&by(3), "p")).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_migration_is_committed_once_and_an_unfinished_line_never_happened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let one = Journal::open(Some(&path)).unwrap();
    assert!(one.act(|ledger| ledger.apply(&by(3), "shop", "1.sql")).await.unwrap());
    File::options().append(true).open(&path).unwrap().write_all(br#"{"at":"2026-01-0"#).unwrap();
    let two = Journal::open(Some(&path)).unwrap();
    assert!(!two.act(|ledger| ledger.apply(&by(9), "shop", "1.sql")).await.unwrap());
    assert!(two.act(|ledger| ledger.apply(&by(9), "shop", "2.sql")).await.unwrap());
    assert!(one.act(|ledger| Ok(ledger.is_applied("shop", "2.sql"))).await.unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
}

#[tokio::test]
async fn predecessors_are_the_containers_of_other_deployments_in_the_same_place() {
    let journal = Journal::open(None).unwrap();
    let other = By { deployment: DeploymentId(Uuid::max()), ..by(2) };
    let before = other.clone();
    journal.act(move |ledger| ledger.create(&before, "p")).await.unwrap().unwrap();
    journal.act(|ledger| ledger.create(&by(3), "p")).await.unwrap().unwrap();
    let found = journal.act(|ledger| Ok(ledger.others(&by(3), "p"))).await.unwrap();
    assert_eq!(found.iter().map(|c| c.deployment).collect::<Vec<_>>(), [other.deployment]);
    assert!(journal.act(|ledger| Ok(ledger.others(&by(3), "q"))).await.unwrap().is_empty());
}
