//! Each service dies, as by `kill -9`, before and after everything that it tells others or does to
//! the world, and is started again: the history is as if nothing had happened.

use anyhow::Result;
use slipway_integration_tests::{
    chaos::Simulate,
    failpoints::{self, Point, Way},
};

const QUICK: Simulate = Simulate { duration: "20ms..60ms", failures: 0, seed: 7 };
/// Long enough to be cancelled or orphaned in the middle.
const SLOW: Simulate = Simulate { duration: "400ms..600ms", failures: 0, seed: 7 };
const FAILING: Simulate = Simulate { duration: "20ms..60ms", failures: 40, seed: 7 };
/// Longer than a stored append proves anything.
const STALE: Simulate = Simulate { duration: "2100ms..2200ms", failures: 0, seed: 7 };

/// A place, by the process and what it is in the middle of; `before` and `after` it.
fn around(victim: &'static str, names: &[&'static str], way: Way) -> Vec<Point> {
    names.iter().map(|name| Point { victim, name, times: 1, way }).collect()
}

async fn check(points: Vec<Point>, simulate: Simulate) -> Result<()> {
    let report = failpoints::run(&points, simulate).await?;
    let wanted: usize = points.iter().map(|point| point.times).sum();
    eprintln!("{} places, {} deaths, {:?}", points.len(), report.deaths, report.figures);
    assert!(report.missed.is_empty(), "nobody came by {:?}", report.missed);
    assert_eq!(report.deaths, wanted);
    let violations: Vec<_> = report.violations.iter().map(|(violation, told)| format!("{violation}\n{told}")).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_planner_dies_around_each_of_its_decisions() -> Result<()> {
    let decisions = [
        "planner.planned.before",
        "planner.planned.after",
        "planner.started.before",
        "planner.started.after",
        "planner.granted.before",
        "planner.granted.after",
        "planner.ring.before",
        "planner.ring.after",
        "planner.opened.before",
        "planner.opened.after",
        "planner.decided.before",
        "planner.decided.after",
        "planner.finished.before",
        "planner.finished.after",
    ];
    let mut points = around("planner", &decisions, Way::Approve);
    points.push(Point { victim: "planner", name: "planner.granted.after", times: 2, way: Way::Approve });
    check(points, QUICK).await
}

#[tokio::test]
async fn a_planner_dies_around_what_it_decides_in_trouble() -> Result<()> {
    let cancels = ["planner.cancel-issued.before", "planner.cancel-issued.after"];
    let leases = ["planner.lease-expired.before", "planner.lease-expired.after"];
    let mut points = around("planner", &cancels, Way::Cancel);
    points.extend(around("planner", &leases, Way::Orphan));
    points.extend(around("executor-1", &["worker.cancelled.before", "worker.cancelled.after"], Way::Cancel));
    points.extend(around("release", &["release.asked.before", "release.asked.after"], Way::Cancel));
    check(points, SLOW).await
}

#[tokio::test]
async fn everybody_dies_around_an_attempt_that_fails() -> Result<()> {
    let retries = ["planner.retry-scheduled.before", "planner.retry-scheduled.after"];
    let mut points = around("planner", &retries, Way::Approve);
    points.extend(around("executor-1", &["worker.failed.before", "worker.failed.after"], Way::Approve));
    check(points, FAILING).await
}

#[tokio::test]
async fn an_executor_dies_at_every_arrow_of_a_tasks_life() -> Result<()> {
    let arrows = [
        "executor.migrate.before",
        "executor.migrate.after",
        "worker.answer.before",
        "worker.answer.after",
        "worker.claimed.before",
        "worker.claimed.after",
        "worker.secrets.before",
        "worker.secrets.after",
        "worker.effect.before",
        "executor.create.before",
        "executor.create.after",
        "executor.start.before",
        "executor.start.after",
        "executor.remove.before",
        "executor.remove.after",
        "worker.succeeded.before",
        "worker.succeeded.after",
    ];
    let mut points = around("executor-1", &arrows, Way::Approve);
    for name in ["executor.create.after", "worker.claimed.after", "worker.succeeded.before"] {
        points.push(Point { victim: "executor-1", name, times: 2, way: Way::Approve });
    }
    check(points, QUICK).await
}

#[tokio::test]
async fn an_executor_dies_around_its_checkpoints() -> Result<()> {
    let checkpoints = ["worker.checkpoint.before", "worker.checkpoint.after"];
    check(around("executor-1", &checkpoints, Way::Approve), STALE).await
}

#[tokio::test]
async fn the_release_service_and_the_notifier_die_around_what_they_write() -> Result<()> {
    let release = [
        "release.requested.before",
        "release.requested.after",
        "release.projected.before",
        "release.projected.within",
        "release.projected.after",
        "release.secrets.before",
        "release.secrets.after",
        "release.voted.before",
        "release.voted.after",
    ];
    let notifier =
        ["worker.claimed.after", "notifier.posted.before", "notifier.posted.after", "worker.succeeded.after"];
    let mut points = around("release", &release, Way::Approve);
    points.extend(around("notifier", &notifier, Way::Approve));
    points.extend(around("notifier", &["notifier.voted.before", "notifier.voted.after"], Way::Press));
    check(points, QUICK).await
}
