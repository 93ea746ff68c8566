//! NATS comes back with an older copy of its store: nobody goes on as if nothing had happened, and
//! what was lost is written again from the archive.

use std::path::Path;

use anyhow::{Result, ensure};
use slipway_integration_tests::{
    chaos::Simulate, failpoints, log, machine, rehearsal::Rehearsal, settings, stack::Wanted, wait,
};

const STEPS: &str = "  - {name: job, docker-job: {package: app}}
  - {name: hold, needs: [job], demo: {message: look}}
  - {name: web, needs: [hold], targets: {role: web}, docker-run: {package: app}}";
const QUICK: Simulate = Simulate { duration: "5ms..20ms", failures: 0, seed: 1 };
const SERVICES: [&str; 4] = ["release", "planner", "notifier", "executor-1"];

/// A stack whose NATS has forgotten the second of two deployments, which holds in the middle. All services are killed.
async fn set_back() -> Result<(Rehearsal, [slipway_domain::id::DeploymentId; 2])> {
    let mut rehearsal = Rehearsal::start(STEPS, QUICK, Wanted::default()).await?;
    let first = rehearsal.deploy().await?.id;
    rehearsal.running(first, "hold", 1).await;
    rehearsal.go(first, "hold").await?;
    rehearsal.succeeded(first).await;
    let store = store_of(&rehearsal).await?;
    let copy = rehearsal.stack.path("copy");
    rehearsal.stack.kill("nats").await?;
    copied(&store, &copy).await?;
    rehearsal.stack.restart("nats")?;
    rehearsal.stack.ready().await;
    let second = rehearsal.deploy().await?.id;
    rehearsal.running(second, "hold", 1).await;
    rehearsal.stack.kill("nats").await?;
    for name in SERVICES {
        rehearsal.stack.kill(name).await?;
    }
    copied(&copy, &store).await?;
    rehearsal.stack.restart("nats")?;
    Ok((rehearsal, [first, second]))
}

async fn store_of(rehearsal: &Rehearsal) -> Result<std::path::PathBuf> {
    let config = std::fs::read_to_string(rehearsal.stack.path("nats").join("nats.conf"))?;
    let line = config.lines().find_map(|line| line.trim().strip_prefix("store_dir: ")).unwrap_or_default();
    Ok(serde_json::from_str(line)?)
}

async fn copied(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    let (from, to) = (from.display().to_string(), to.display().to_string());
    machine::run("cp", &["-r", &from, &to]).await?;
    Ok(())
}

/// Runs `slipway-release repair-log` as a person with the operator's key would.
async fn repair(rehearsal: &Rehearsal, arguments: &[&str]) -> Result<(i32, String)> {
    repair_until(rehearsal, arguments, "").await
}

/// The same, which dies at a failpoint.
async fn repair_until(rehearsal: &Rehearsal, arguments: &[&str], failpoint: &str) -> Result<(i32, String)> {
    let stack = &rehearsal.stack;
    let mut command = tokio::process::Command::new(settings::own("slipway-release"));
    command.arg("repair-log").args(arguments);
    command.env("SLIPWAY_NATS_URL", stack.nats_url()).env("SLIPWAY_NATS_CREDS", stack.seed("operator"));
    command.env("SLIPWAY_DATABASE_URL", format!("sqlite://{}", stack.path("release.db").display()));
    if !failpoint.is_empty() {
        command.env(failpoints::VARIABLE, failpoint);
    }
    let output = machine::output(command).await?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((output.status.code().unwrap_or(-1), text))
}

/// The service has ended by itself, saying that the log lost something.
async fn refuses(rehearsal: &mut Rehearsal, name: &str) {
    let process = rehearsal.stack.process(name);
    wait::until(&format!("{name} refuses"), || {
        let output = process.output();
        async move { if output.contains("LOG_REGRESSION") { Ok(()) } else { Err(output) } }
    })
    .await;
    let code = process.terminate().await.ok().flatten();
    assert_eq!(code, Some(1), "{}", process.tail());
}

#[tokio::test]
async fn who_saw_more_of_the_log_refuses_an_older_copy_and_the_archive_gives_back_what_is_missing() -> Result<()> {
    let (mut rehearsal, [first, second]) = set_back().await?;
    // A planner that starts knows nothing; the release service tells it.
    rehearsal.stack.restart("planner")?;
    rehearsal.stack.restart("release")?;
    refuses(&mut rehearsal, "release").await;
    refuses(&mut rehearsal, "planner").await;
    let died = wait::until("the log can be repaired", || async {
        let repaired = repair_until(&rehearsal, &[], "release.moved.before").await;
        let (code, text) = repaired.map_err(|error| format!("{error:#}"))?;
        // What was said by services that died stands for a while.
        if text.contains("may be alive") { Err(text) } else { Ok((code, text)) }
    })
    .await;
    ensure!(died.0 != 0, "it died when all was back and the log not moved on: {died:?}");
    let (code, text) = repair(&rehearsal, &[]).await?;
    ensure!(code == 0 && text.contains("what an interrupted repair had left is done"), "{code}: {text}");
    let (code, text) = repair(&rehearsal, &[]).await?;
    ensure!(code == 0 && text.contains("nothing to repair"), "{code}: {text}");
    for name in SERVICES {
        rehearsal.stack.restart(name)?;
    }
    rehearsal.stack.ready().await;
    rehearsal.running(second, "hold", 2).await;
    rehearsal.go(second, "hold").await?;
    rehearsal.succeeded(second).await;
    rehearsal.succeeded(first).await;
    rehearsal.judge().await?;
    Ok(())
}

#[tokio::test]
async fn a_log_that_went_another_way_is_believed_only_when_a_person_says_so() -> Result<()> {
    let (mut rehearsal, [first, second]) = set_back().await?;
    let client = wait::until("NATS answers", || async {
        let client = log::connect(&rehearsal.stack.nats_url(), &rehearsal.stack.seed("operator")).await;
        client.map_err(|error| format!("{error:#}"))
    })
    .await;
    let stranger = "deployment.00000000-0000-4000-8000-000000000001.plan";
    wait::until("NATS takes a message", || async {
        let stored = async_nats::jetstream::new(client.clone()).publish(stranger, "a stranger".into()).await;
        stored.map_err(|error| error.to_string())?.await.map_err(|error| error.to_string())
    })
    .await;
    let (code, text) = repair(&rehearsal, &[]).await?;
    ensure!(code == 1 && text.contains("differ from message") && text.contains("--believe-log"), "{code}: {text}");
    rehearsal.stack.restart("release")?;
    refuses(&mut rehearsal, "release").await;
    let repaired = wait::until("the log can be repaired", || async {
        let (code, text) = repair(&rehearsal, &["--believe-log"]).await.map_err(|error| format!("{error:#}"))?;
        if text.contains("may be alive") { Err(text) } else { Ok((code, text)) }
    })
    .await;
    ensure!(repaired.0 == 0 && repaired.1.contains("messages left the archive"), "{repaired:?}");
    for name in SERVICES {
        rehearsal.stack.restart(name)?;
    }
    rehearsal.stack.ready().await;
    let (code, text) = rehearsal.stack.cli(&rehearsal.stack.admin, &["repair", "rebuild"]).await?;
    ensure!(code == 0 && text.contains("1 that no entry knows"), "{code}: {text}");
    assert!(rehearsal.view(second).await.is_err(), "what only the archive knew is given up");
    rehearsal.succeeded(first).await;
    let third = rehearsal.deploy().await?.id;
    rehearsal.running(third, "hold", 1).await;
    rehearsal.go(third, "hold").await?;
    rehearsal.succeeded(third).await;
    Ok(())
}
