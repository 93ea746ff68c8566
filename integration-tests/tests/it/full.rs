//! There is no room: for new deployments, for anything, or on the disk. What is refused is refused clearly, what runs
//! waits, and goes on when there is room.

use anyhow::Result;
use slipway_integration_tests::{
    chaos::Simulate,
    log, machine,
    rehearsal::Rehearsal,
    stack::{Stack, Wanted},
    wait,
};

const QUICK: Simulate = Simulate { duration: "20ms..60ms", failures: 0, seed: 1 };

/// The file is large and does not compress, so that a fifth of the log is more than one deployment writes.
fn steps() -> String {
    let mut noise = String::new();
    while noise.len() < 200_000 {
        noise += &uuid::Uuid::new_v4().simple().to_string();
    }
    format!(
        "  - {{name: migrate, sql: {{database: 'sqlite:///nowhere', files: {{001.sql: '-- {noise}'}}}}}}\n  \
         - {{name: hold, needs: [migrate], demo: {{message: fill the log}}}}\n  \
         - {{name: pause, needs: [hold], wait: 2s}}\n  \
         - {{name: job, needs: [pause], docker-job: {{package: app}}}}\n  \
         - {{name: web, needs: [job], targets: {{role: web}}, docker-run: {{package: app}}}}"
    )
}

async fn operator(stack: &Stack) -> Result<async_nats::Client> {
    log::connect(&stack.nats_url(), &stack.seed("operator")).await
}

/// Waits until one of the processes has said this.
async fn said(stack: &Stack, text: &str) {
    wait::until(&format!("somebody says `{text}`"), || async {
        let outputs = stack.outputs();
        if outputs.values().any(|output| output.contains(text)) { Ok(()) } else { Err(stack.tails()) }
    })
    .await;
}

#[tokio::test]
async fn a_nearly_full_log_takes_nothing_new_and_what_runs_comes_to_its_end() -> Result<()> {
    let mut rehearsal = Rehearsal::start(&steps(), QUICK, Wanted::default()).await?;
    let one = rehearsal.deploy().await?.id;
    rehearsal.running(one, "hold", 1).await;
    let operator = operator(&rehearsal.stack).await?;
    let used = log::size(&operator).await?;
    log::resize(&operator, used * 6 / 5).await?;
    said(&rehearsal.stack, "the deployment log is nearly full").await;
    let refused = rehearsal.deploy().await.expect_err("there is no room").to_string();
    assert!(refused.contains("503") && refused.contains("log-nearly-full"), "{refused}");
    assert!(refused.contains("give stream DEPLOYMENTS more max_bytes"), "{refused}");
    rehearsal.go(one, "hold").await?;
    rehearsal.succeeded(one).await;

    log::resize(&operator, used * 20).await?;
    let next = wait::until("there is room again", || async {
        rehearsal.ask(&rehearsal.stack.admin, "again").await.map_err(|error| error.to_string())
    })
    .await;
    rehearsal.count(1);
    rehearsal.running(next.id, "hold", 1).await;
    rehearsal.go(next.id, "hold").await?;
    rehearsal.succeeded(next.id).await;
    rehearsal.judge().await?;
    Ok(())
}

#[tokio::test]
async fn a_log_without_any_room_holds_everybody_up_and_loses_nothing() -> Result<()> {
    let mut rehearsal =
        Rehearsal::start(&steps(), QUICK, Wanted { planners: 2, executors: 2, ..Wanted::default() }).await?;
    let one = rehearsal.deploy().await?.id;
    rehearsal.running(one, "hold", 1).await;
    let operator = operator(&rehearsal.stack).await?;
    rehearsal.go(one, "hold").await?;
    rehearsal.running(one, "pause", 1).await;
    let used = log::size(&operator).await?;
    log::resize(&operator, used).await?;
    said(&rehearsal.stack, "stream DEPLOYMENTS is full").await;
    let (code, text) = rehearsal.stack.cli(&rehearsal.stack.admin, &["deployment", "cancel", &one.to_string()]).await?;
    assert!(code != 0 && text.contains("is full"), "{code}: {text}");
    // Nobody has forgotten anything when there is no room for a while, not even those who are started meanwhile.
    for victim in ["planner", "release"] {
        rehearsal.stack.kill(victim).await?;
        rehearsal.stack.restart(victim)?;
        rehearsal.stack.service_ready(victim).await;
    }
    log::resize(&operator, used * 20).await?;
    rehearsal.succeeded(one).await;
    rehearsal.judge().await?;
    Ok(())
}

/// A file system of some megabytes, in memory.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    async fn mount(megabytes: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let size = format!("size={megabytes}m");
        let path = folder.path().display().to_string();
        machine::run("mount", &["-t", "tmpfs", "-o", &size, "slipway-small-disk", &path]).await?;
        Ok(Self(folder))
    }

    /// Takes all the room there is.
    fn fill(&self) -> Result<()> {
        use std::io::Write;
        let mut file = std::fs::File::create(self.0.path().join("ballast"))?;
        for size in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.path().join("ballast"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_everything_goes_on_when_there_is_room() -> Result<()> {
    let disk = SmallDisk::mount(256).await?;
    let store = Some(disk.0.path().join("jetstream"));
    let mut rehearsal = Rehearsal::start(&steps(), QUICK, Wanted { nats_store: store, ..Wanted::default() }).await?;
    let one = rehearsal.deploy().await?.id;
    rehearsal.running(one, "hold", 1).await;
    disk.fill()?;
    // It may be taken or not; that somebody was told so decides whether it counts.
    let told = rehearsal.go(one, "hold").await;
    said(&rehearsal.stack, "no space left on device").await;
    said(&rehearsal.stack, "outcome of an append is unknown").await;
    disk.make_room()?;
    rehearsal.stack.kill("nats").await?;
    rehearsal.stack.restart("nats")?;
    rehearsal.stack.ready().await;
    if told.is_err() {
        rehearsal.running(one, "hold", 1).await;
        wait::until("it is told", || rehearsal.go(one, "hold")).await;
    }
    rehearsal.succeeded(one).await;
    rehearsal.judge().await?;
    // Not before NATS has ended.
    drop(rehearsal);
    Ok(())
}
