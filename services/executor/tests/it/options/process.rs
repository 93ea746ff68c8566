//! Who runs in a container and what it may do.

use anyhow::Result;
use slipway_domain::order::Work;

use super::{Own, inside, inspect, job, work};
use crate::stage::Stage;

#[tokio::test]
async fn user_folder_host_name_entry_point_and_signals_are_the_containers() -> Result<()> {
    let stage = Stage::start().await?;
    let (ask, seen) = stage
        .run_with(
            "user: 1234:77\nworkdir: /www\nhostname: shop-1\ninit: true\nstop-signal: SIGUSR1\nstop-grace: 1500ms\n\
             labels: {traefik.enable: true, com.shop.team: web}\nentrypoint: [/bin/sh, -c]\n\
             command: [\"trap 'exit 0' USR1; while :; do /bin/busybox sleep 60 & wait; done\"]",
        )
        .await?;
    assert_eq!(
        inside(&ask, "/bin/busybox id -u; /bin/busybox id -g; pwd; /bin/busybox hostname").await?,
        "1234\n77\n/www\nshop-1"
    );
    assert!(inside(&ask, "/bin/busybox cat /proc/1/cmdline").await?.contains("init"), "an init is the first process");
    assert_eq!(seen["Config"]["StopSignal"], "SIGUSR1");
    assert_eq!(seen["Config"]["StopTimeout"], 2, "never less than was said");
    assert_eq!(seen["Config"]["Entrypoint"], serde_json::json!(["/bin/sh", "-c"]));
    let labels = &seen["Config"]["Labels"];
    assert_eq!((&labels["traefik.enable"], &labels["com.shop.team"]), (&"true".into(), &"web".into()));
    assert_eq!(labels["slipway.step"], "web", "beside Slipway's own");
    Ok(())
}

#[tokio::test]
async fn what_root_may_do_is_what_the_step_says() -> Result<()> {
    let stage = Stage::start().await?;
    let (ask, seen) = stage
        .run_with("cap-drop: [ALL]\ncap-add: [NET_BIND_SERVICE]\nsecurity-opt: [no-new-privileges]\ndevices: [\"/dev/null:/dev/shop:r\"]")
        .await?;
    let status = inside(&ask, "/bin/busybox grep -E 'CapBnd|NoNewPrivs' /proc/1/status").await?;
    assert!(status.contains("0000000000000400") && status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(inside(&ask, "/bin/busybox ls -l /dev/shop").await?.starts_with('c'), "a device");
    assert_eq!(seen["HostConfig"]["Privileged"], false);

    // Started by an engine that may do all of it itself, which the one of the tests may not.
    let (_, seen) = stage.run_with("privileged: true\ncreate-only: true").await?;
    assert_eq!(seen["HostConfig"]["Privileged"], true);
    Ok(())
}

#[tokio::test]
async fn the_output_goes_where_the_step_says() -> Result<()> {
    let stage = Stage::start().await?;
    let (_, seen) = stage.run_with("log: {driver: local, options: {max-size: 1m, max-file: 3}}").await?;
    let log = &seen["HostConfig"]["LogConfig"];
    assert_eq!(
        (&log["Type"], &log["Config"]["max-size"], &log["Config"]["max-file"]),
        (&"local".into(), &"1m".into(), &"3".into())
    );
    let failure = stage.fail(&stage.with("log: {driver: nowhere}").await?).await?;
    assert!(failure.message.contains("nowhere"), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn an_image_for_another_platform_is_not_started() -> Result<()> {
    let stage = Stage::start().await?;
    let (ask, _) = stage.run_with("platform: linux/amd64").await?;
    let failure = stage.fail(&stage.with("platform: linux/arm64").await?).await?;
    assert!(failure.message.contains("is for linux/amd64, and not for linux/arm64"), "{}", failure.message);
    assert_eq!(inspect(&ask.name("shop-web")).await?["State"]["Running"], true, "the old one still serves");
    Ok(())
}

#[tokio::test]
async fn secrets_in_labels_and_options_are_in_no_output() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.script("web", super::STAY).await?;
    let (reference, marker) = stage.secret("token", "canary-hunter2-canary");
    let mut run = work(image, "entrypoint: [/bin/sh, -c]\nlog: {driver: json-file, options: {tag: x}}");
    run.command = Some(vec![super::STAY.to_owned()]);
    run.options.labels.insert("shop.token".into(), format!("<{marker}>"));
    if let Some(log) = &mut run.options.log {
        log.options.insert("tag".into(), marker.clone());
    }
    run.options.entrypoint.iter_mut().for_each(|words| words.push(format!("{STAY} # {marker}", STAY = super::STAY)));
    run.command = None;
    let mut ask = stage.ask("web", Work::DockerRun(run));
    ask.order.secrets.push(reference);
    let outputs = stage.succeed(&ask).await?;
    let seen = inspect(&ask.name("shop-web")).await?;
    assert_eq!(seen["Config"]["Labels"]["shop.token"], "<canary-hunter2-canary>");
    assert_eq!(seen["HostConfig"]["LogConfig"]["Config"]["tag"], "canary-hunter2-canary");
    assert!(seen["Config"]["Entrypoint"].to_string().contains("hunter2"));
    let told = format!("{}{}", serde_json::to_string(&outputs)?, stage.executor.output());
    assert!(!told.contains("hunter2"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_job_takes_the_same_options() -> Result<()> {
    let volume = Own::name();
    let network = Own::network(&[]).await?;
    let stage = Stage::start().await?;
    let image = stage.script("tool", "exit 9").await?;
    let options = format!(
        "user: 1234\nread-only: true\nmemory: 64m\ntmpfs: {{/scratch: {{mode: '1777'}}}}\nvolumes: [{}:/data:ro]\n\
         networks: [{}]\nlabels: {{shop.kind: job}}",
        volume.0, network.0
    );
    let script =
        "/bin/busybox id -u; touch /x 2>&1; echo y > /scratch/y && echo scratch; echo z 2>&1 > /data/z; exit 0";
    let ask = stage.ask("job", job(image, script, &options));
    stage.succeed(&ask).await?;
    stage.until_printed(&ask, "1234").await;
    stage.until_printed(&ask, "scratch").await;
    let seen = inspect(&ask.name("job")).await?;
    assert_eq!(seen["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(seen["HostConfig"]["ReadonlyRootfs"], true);
    assert_eq!(seen["Config"]["Labels"]["shop.kind"], "job");
    assert_eq!(seen["Mounts"][0]["RW"], false);
    assert!(seen["NetworkSettings"]["Networks"][&network.0].is_object());
    assert_eq!(seen["HostConfig"]["RestartPolicy"]["Name"], "", "the engine never starts it again");
    Ok(())
}
