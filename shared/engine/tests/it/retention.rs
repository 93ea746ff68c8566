//! What of the log may be purged.

use chrono::{DateTime, TimeDelta};
use slipway_domain::id::DeploymentId;
use slipway_engine::retention::{Past, purgeable};

fn past(n: u128, (requested, ended): (u64, u64), voids: &[u64]) -> Past {
    let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(ended.cast_signed());
    Past { id: DeploymentId(uuid::Uuid::from_u128(n)), requested, ended, at, voids: voids.to_vec() }
}

fn check(past: &[Past], (before, archived): (i64, u64), expected: &[u128]) {
    let before = DateTime::UNIX_EPOCH + TimeDelta::seconds(before);
    let ids: Vec<_> = purgeable(past, [].into_iter(), before, archived).iter().map(|id| id.0.as_u128()).collect();
    assert_eq!(ids, expected);
}

#[test]
fn only_what_is_old_and_archived_goes() {
    let all = [past(1, (1, 10), &[]), past(2, (2, 20), &[]), past(3, (11, 30), &[])];
    check(&all, (30, 30), &[1, 2, 3]);
    check(&all, (20, 30), &[1, 2]);
    check(&all, (30, 19), &[1]);
    check(&all, (9, 30), &[]);
}

#[test]
fn what_left_no_room_for_one_that_stays_stays_as_long() {
    // 3 stays; its entry 15 found no room while 2 was going on, and one of 2 found none while 1 was.
    let all = [past(1, (1, 10), &[]), past(2, (5, 20), &[7]), past(3, (11, 40), &[15])];
    check(&all, (30, 40), &[]);
    // All are old enough, but each goes only after the one that it left no room.
    check(&all, (40, 40), &[3]);
    check(&all[..2], (40, 40), &[2]);
    check(&all[..1], (40, 40), &[1]);
    // A void of its own keeps nothing, nor does one outside of its time, nor the end of one that never went on.
    check(&[past(1, (1, 10), &[7]), past(2, (7, 7), &[7])], (40, 40), &[2]);
    let all = [past(1, (1, 10), &[]), past(2, (5, 20), &[]), past(3, (11, 40), &[25])];
    check(&all, (30, 40), &[1, 2]);
}
