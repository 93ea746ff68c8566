//! Everything is killed and frozen at random while many deployments go on: all of them end as they
//! should, and the history keeps every promise.
//!
//! `SLIPWAY_CHAOS_DEPLOYMENTS=200` makes it a long run, also with executors that are frozen for
//! longer than their lease; `SLIPWAY_CHAOS_SEED` repeats what was drawn.

use anyhow::Result;
use slipway_integration_tests::chaos::{self, Plan};

#[tokio::test]
async fn whatever_dies_every_deployment_ends_and_no_promise_is_broken() -> Result<()> {
    check(Plan::from_environment()).await
}

#[tokio::test]
async fn with_real_containers_and_migrations_engine_and_database_have_what_the_log_says() -> Result<()> {
    check(Plan::real_from_environment()).await
}

async fn check(plan: Plan) -> Result<()> {
    // For whoever reads the output of a failure, and of a long run.
    eprintln!("SLIPWAY_CHAOS_SEED={} SLIPWAY_CHAOS_DEPLOYMENTS={}", plan.seed, plan.deployments);
    let report = chaos::run(plan).await?;
    eprintln!("{report}");
    let violations: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "seed {}: {violations:#?}\n{}", plan.seed, report.traces.join("\n"));
    assert!(report.deaths.is_empty(), "seed {}: ended by themselves: {}", plan.seed, report.deaths.join("\n"));
    assert!(report.misprojected.is_empty(), "seed {}: {}", plan.seed, report.misprojected.join("\n"));
    assert!(report.told_secrets.is_empty(), "seed {}: {:?}", plan.seed, report.told_secrets);
    assert_eq!(report.figures.deployments, plan.deployments, "seed {}: each request is one deployment", plan.seed);
    let succeeded = report.outcomes.get("succeeded").copied().unwrap_or(0);
    // Of a handful, most may have been drawn to be cancelled or to fail.
    let expected = if plan.deployments < 20 { 1 } else { plan.deployments / 2 };
    assert!(succeeded >= expected, "seed {}: {:?}", plan.seed, report.outcomes);
    assert!(report.faults.values().sum::<usize>() >= 5, "too little trouble to show anything: {:?}", report.faults);
    Ok(())
}
