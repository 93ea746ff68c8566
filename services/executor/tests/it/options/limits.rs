//! How much a container may have.

use anyhow::Result;

use super::inside;
use crate::stage::Stage;

#[tokio::test]
async fn memory_processors_processes_and_files_are_limited() -> Result<()> {
    let stage = Stage::start().await?;
    let (ask, seen) = stage
        .run_with(
            "memory: 64m\nmemory-swap: 128m\ncpus: 0.5\npids: 50\nshm-size: 8m\nulimits: {nofile: 100:200, nproc: 60}",
        )
        .await?;
    let host = &seen["HostConfig"];
    assert_eq!(host["Memory"], 64 << 20);
    assert_eq!(host["MemorySwap"], 128 << 20);
    assert_eq!(host["NanoCpus"], 500_000_000);
    assert_eq!(host["PidsLimit"], 50);
    assert_eq!(host["ShmSize"], 8 << 20);
    let files = inside(&ask, "/bin/busybox grep 'open files' /proc/1/limits").await?;
    assert_eq!(files.split_whitespace().collect::<Vec<_>>(), ["Max", "open", "files", "100", "200", "files"]);
    assert!(inside(&ask, "/bin/busybox mount | /bin/busybox grep /dev/shm").await?.contains("size=8192k"));
    Ok(())
}

#[tokio::test]
async fn a_container_that_takes_too_much_memory_is_killed() -> Result<()> {
    let stage = Stage::start().await?;
    let mut ask =
        stage.with("memory: 8m\nmemory-swap: 8m\nhealth: {exec: [/bin/busybox, 'false'], within: 20s}").await?;
    let image = stage.script("hungry", "x=x; while :; do x=$x$x; done").await?;
    if let slipway_domain::order::Work::DockerRun(run) = &mut ask.order.work {
        run.image = image;
    }
    let failure = stage.fail(&ask).await?;
    // Why it was killed an engine learns at its leisure, and this is not always before it is asked.
    assert!(failure.message.contains("ended with exit code 137"), "{}", failure.message);
    Ok(())
}
