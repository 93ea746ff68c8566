//! Where a container can be found, and what it finds.

use anyhow::Result;
use slipway_domain::{event::TaskEvent, order::Work};

use super::{Own, inside, inspect, job, work};
use crate::stage::Stage;

#[tokio::test]
async fn an_alias_is_found_by_others_of_the_network_and_outputs_have_the_addresses() -> Result<()> {
    let (front, back) = (Own::network(&[]).await?, Own::network(&[]).await?);
    let stage = Stage::start().await?;
    let image = stage.page("web", "hello", true).await?;
    let options = format!("networks: {{{}: {{aliases: [shop, store]}}, {}: {{aliases: [behind]}}}}", front.0, back.0);
    let ask = stage.ask("web", Work::DockerRun(work(image.clone(), &options)));
    let outputs = stage.succeed(&ask).await?;
    let seen = inspect(&ask.name("shop-web")).await?;
    for network in [&front.0, &back.0] {
        let address = &seen["NetworkSettings"]["Networks"][network]["IPAddress"];
        assert_eq!(&outputs["networks"][network], address);
        assert!(!address.as_str().unwrap_or_default().is_empty(), "{outputs:#?}");
    }
    assert!(seen["NetworkSettings"]["Networks"]["bridge"].is_null(), "and no other network");
    for (network, name) in [(&front.0, "shop"), (&front.0, "store"), (&back.0, "behind")] {
        let look = format!("/bin/busybox wget -q -O - http://{name}/; code=$?; echo; exit $code");
        let asking = stage.ask("ask", job(image.clone(), &look, &format!("networks: [{network}]")));
        stage.succeed(&asking).await?;
        stage.until_printed(&asking, "hello").await;
    }
    let stranger = stage.ask("stranger", job(image, "/bin/busybox wget -q -O - http://shop/", "dns: [127.0.0.1]"));
    assert!(matches!(stage.perform(&stranger).await?, TaskEvent::Failed { .. }), "nobody else finds it");
    Ok(())
}

#[tokio::test]
async fn a_network_that_is_not_there_fails_before_anything_is_changed() -> Result<()> {
    let stage = Stage::start().await?;
    let (old, _) = stage.run_with("init: true").await?;
    let failure = stage.fail(&stage.with("networks: [shop-nowhere]").await?).await?;
    assert!(failure.message.contains("no network `shop-nowhere`"), "{}", failure.message);
    assert!(failure.message.contains("docker network create shop-nowhere"), "{}", failure.message);
    assert_eq!(stage.containers().await?.len(), 1);
    assert_eq!(inspect(&old.name("shop-web")).await?["State"]["Running"], true);
    let failure = stage.fail(&stage.with("network-mode: container:shop-nobody").await?).await?;
    assert!(failure.message.contains("no container `shop-nobody` runs"), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn a_fixed_address_goes_from_the_old_container_to_the_new_one_and_back() -> Result<()> {
    let third = uuid::Uuid::new_v4().as_bytes()[0];
    let network = Own::network(&["--subnet", &format!("10.213.{third}.0/24")]).await?;
    let stage = Stage::start().await?;
    let ip = format!("10.213.{third}.77");
    let options = format!("networks: {{{}: {{ipv4: {ip}}}}}", network.0);
    let (first, seen) = stage.run_with(&options).await?;
    let address = |seen: &serde_json::Value| seen["NetworkSettings"]["Networks"][&network.0]["IPAddress"].clone();
    assert_eq!(address(&seen), ip.as_str());

    let bad = stage.with(&format!("{options}\nhealth: {{exec: [/bin/busybox, 'false'], within: 1s}}")).await?;
    let failure = stage.fail(&bad).await?;
    assert!(failure.message.contains("serves again"), "{}", failure.message);
    assert_eq!(address(&inspect(&first.name("shop-web")).await?), ip.as_str());

    let (second, seen) = stage.run_with(&options).await?;
    assert_eq!(address(&seen), ip.as_str());
    stage.until_printed(&second, "to free its address").await;
    Ok(())
}

#[tokio::test]
async fn a_container_has_the_hosts_network_no_network_or_that_of_another_one() -> Result<()> {
    let stage = Stage::start().await?;
    let port = slipway_integration_tests::ports::reserve()?;
    let script = format!("trap 'exit 0' TERM; /bin/busybox httpd -f -p {} -h /www & wait", port.number());
    let image = stage
        .image(
            "web",
            &[("/www/healthz", "ok")],
            &[&format!("CMD {}", serde_json::to_string(&["/bin/sh", "-c", &script])?)],
        )
        .await?;
    let health = format!("health: {{http: {{port: {}, path: /healthz}}, within: 10s}}", port.number());
    let host = || work(image.clone(), &format!("network-mode: host\n{health}"));
    let first = stage.ask("web", Work::DockerRun(host()));
    stage.succeed(&first).await?;
    // The second could not listen while the first one does.
    let second = stage.ask("web", Work::DockerRun(host()));
    stage.succeed(&second).await?;
    stage.until_printed(&second, "to free its ports in the host's network").await;

    let beside = format!("network-mode: container:{}", second.name("shop-web"));
    let look = format!("/bin/busybox wget -q -O - http://127.0.0.1:{}/healthz && echo same network", port.number());
    let asking = stage.ask("beside", job(image.clone(), &look, &beside));
    stage.succeed(&asking).await?;
    stage.until_printed(&asking, "same network").await;

    let alone = stage.ask("alone", job(image, "/bin/busybox ls /sys/class/net", "network-mode: none"));
    stage.succeed(&alone).await?;
    stage.until_printed(&alone, "lo").await;
    let lines: Vec<_> = stage.logs(&alone).await.into_iter().map(|line| line.text).collect();
    assert!(!lines.iter().any(|line| line.contains("eth0")), "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn hosts_and_name_servers_are_those_of_the_step() -> Result<()> {
    let stage = Stage::start().await?;
    let (ask, _) = stage.run_with("extra-hosts: [\"db:10.9.8.7\", \"up:host-gateway\"]\ndns: [10.1.2.3]").await?;
    let hosts = inside(&ask, "/bin/busybox cat /etc/hosts").await?;
    assert!(hosts.contains("10.9.8.7\tdb"), "{hosts}");
    let gateway = hosts.lines().find(|line| line.ends_with("\tup")).unwrap_or_default();
    assert!(!gateway.is_empty() && !gateway.contains("host-gateway"), "{hosts}");
    assert!(inside(&ask, "/bin/busybox cat /etc/resolv.conf").await?.contains("nameserver 10.1.2.3"));
    Ok(())
}
