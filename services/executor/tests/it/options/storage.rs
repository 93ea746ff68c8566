//! What is mounted into a container, and what stays when it goes.

use anyhow::Result;
use slipway_integration_tests::machine;

use super::{Own, inside};
use crate::stage::Stage;

#[tokio::test]
async fn a_named_volume_outlives_the_containers_that_have_it() -> Result<()> {
    let volume = Own::name();
    let stage = Stage::start().await?;
    let options = format!("volumes: [{}:/var/lib/shop]", volume.0);
    let (first, _) = stage.run_with(&options).await?;
    inside(&first, "echo kept > /var/lib/shop/state").await?;
    let (second, seen) = stage.run_with(&options).await?;
    assert_eq!(stage.containers().await?.len(), 1, "the first one is gone");
    assert_eq!(inside(&second, "/bin/busybox cat /var/lib/shop/state").await?, "kept");
    assert_eq!(seen["Mounts"][0]["Type"], "volume");

    let (third, seen) = stage.run_with(&format!("volumes: [{}:/var/lib/shop:ro]", volume.0)).await?;
    assert_eq!(inside(&third, "echo x > /var/lib/shop/state || echo refused").await?, "refused");
    assert_eq!(seen["Mounts"][0]["RW"], false);
    Ok(())
}

#[tokio::test]
async fn what_an_image_has_is_copied_into_a_new_volume_unless_it_shall_not_be() -> Result<()> {
    let (copied, empty) = (Own::name(), Own::name());
    let stage = Stage::start().await?;
    let options = format!(
        "volumes:\n- {}:/bin2\n- {{source: {}, target: /bin3, no-copy: true, driver: local, driver-options: {{type: tmpfs, device: tmpfs}}}}",
        copied.0, empty.0
    );
    let mut ask = stage.with(&options).await?;
    let image = stage
        .image(
            "web",
            &[("/bin2/x", "x"), ("/bin3/x", "x")],
            &[&format!("CMD {}", serde_json::to_string(&["/bin/sh", "-c", super::STAY])?)],
        )
        .await?;
    if let slipway_domain::order::Work::DockerRun(run) = &mut ask.order.work {
        run.image = image;
    }
    stage.succeed(&ask).await?;
    assert_eq!(inside(&ask, "/bin/busybox ls /bin2; echo; /bin/busybox ls /bin3").await?, "x");
    let made = machine::run("docker", &["volume", "inspect", "--format", "{{.Options.type}}", &empty.0]).await?;
    assert_eq!(made.trim(), "tmpfs", "the driver was told");
    Ok(())
}

#[tokio::test]
async fn folders_of_the_host_are_mounted_and_a_missing_one_is_an_error() -> Result<()> {
    let stage = Stage::start().await?;
    let folder = stage.folder.path().join("shared");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("a"), "from the host")?;
    let (ask, _) = stage.run_with(&format!("volumes: [\"{}:/shared:ro\", /scratch]", folder.display())).await?;
    assert_eq!(inside(&ask, "/bin/busybox cat /shared/a").await?, "from the host");
    assert_eq!(inside(&ask, "echo x > /shared/b || echo refused").await?, "refused");
    inside(&ask, "echo x > /scratch/x").await?;

    let missing = stage.with(&format!("volumes: [\"{}/nothing:/shared\"]", folder.display())).await?;
    let failure = stage.fail(&missing).await?;
    assert!(failure.message.contains("bind source path does not exist"), "{}", failure.message);
    assert!(failure.message.contains("/shared/nothing"), "{}", failure.message);
    assert!(!folder.join("nothing").exists(), "no folder is made of a typing error");
    Ok(())
}

#[tokio::test]
async fn a_read_only_container_writes_to_memory_alone() -> Result<()> {
    let stage = Stage::start().await?;
    let (ask, seen) =
        stage.run_with("read-only: true\ntmpfs: {/scratch: {size: 1m, mode: '1750'}, /other: {}}").await?;
    assert_eq!(inside(&ask, "echo x > /www/x || echo refused").await?, "refused");
    inside(&ask, "echo x > /scratch/x && echo x > /other/x").await?;
    assert_eq!(inside(&ask, "/bin/busybox stat -c %a /scratch").await?, "1750");
    let mounted = inside(&ask, "/bin/busybox mount | /bin/busybox grep /scratch").await?;
    assert!(mounted.contains("tmpfs") && mounted.contains("size=1024k"), "{mounted}");
    assert_eq!(seen["HostConfig"]["ReadonlyRootfs"], true);
    Ok(())
}

#[tokio::test]
async fn a_secret_belongs_to_the_user_of_the_step_and_is_there_in_a_read_only_container() -> Result<()> {
    let stage = Stage::start().await?;
    let (reference, marker) = stage.secret("password", "canary-hunter2-canary");
    let mut ask = stage.with(&format!("user: 1234\nread-only: true\nsecrets: {{password: \"{}\"}}", "x")).await?;
    if let slipway_domain::order::Work::DockerRun(run) = &mut ask.order.work {
        run.secrets.insert("password".into(), marker);
    }
    ask.order.secrets.push(reference);
    stage.succeed(&ask).await?;
    assert_eq!(inside(&ask, "/bin/busybox cat /run/secrets/password").await?, "canary-hunter2-canary");
    assert_eq!(inside(&ask, "/bin/busybox stat -c '%u %a' /run/secrets/password").await?, "1234 400");
    Ok(())
}
