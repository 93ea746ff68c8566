//! `docker-network`: there once, kept, and never changed under containers that are on it.

use anyhow::Result;
use slipway_domain::order::{MakeNetwork, Work};
use slipway_integration_tests::machine;
use uuid::Uuid;

use crate::stage::Stage;

/// A network with a range of its own; removed when the test ends.
struct Network(MakeNetwork);

impl Network {
    fn new() -> Self {
        let id = Uuid::new_v4();
        let third = id.as_bytes()[0];
        Self(MakeNetwork {
            name: format!("test-{}", &id.simple().to_string()[..8]),
            driver: "bridge".into(),
            driver_options: [].into(),
            subnet: Some(format!("10.214.{third}.0/24")),
            ip_range: Some(format!("10.214.{third}.128/25")),
            gateway: Some(format!("10.214.{third}.1")),
            internal: true,
            labels: [("shop.team".to_owned(), "web".to_owned())].into(),
        })
    }

    async fn show(&self, format: &str) -> Result<String> {
        Ok(machine::run("docker", &["network", "inspect", "--format", format, &self.0.name]).await?.trim().to_owned())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let docker = slipway_integration_tests::settings::docker();
        let mut remove = std::process::Command::new("docker");
        let _ = remove.args(["network", "rm", &self.0.name]).env("DOCKER_HOST", docker).output();
    }
}

#[tokio::test]
async fn a_network_is_made_once_as_it_is_written_and_kept() -> Result<()> {
    let network = Network::new();
    let stage = Stage::start().await?;
    let outputs = stage.succeed(&stage.ask("net", Work::DockerNetwork(network.0.clone()))).await?;
    assert_eq!((&outputs["created"], &outputs["name"]), (&true.into(), &network.0.name.clone().into()));
    assert_eq!(outputs["network_id"], network.show("{{.Id}}").await?);
    let range = network.show(
        "{{(index .IPAM.Config 0).Subnet}} {{(index .IPAM.Config 0).IPRange}} {{(index .IPAM.Config 0).Gateway}}",
    );
    let (subnet, ip_range, gateway) = (&network.0.subnet, &network.0.ip_range, &network.0.gateway);
    let wanted = [subnet, ip_range, gateway].map(|text| text.clone().unwrap_or_default()).join(" ");
    assert_eq!(range.await?, wanted);
    assert_eq!(network.show("{{.Internal}} {{.Driver}}").await?, "true bridge");
    let labels = network.show("{{json .Labels}}").await?;
    assert!(labels.contains("\"shop.team\":\"web\"") && labels.contains("\"slipway.step\":\"net\""), "{labels}");

    let again = stage.succeed(&stage.ask("net", Work::DockerNetwork(network.0.clone()))).await?;
    assert_eq!((&again["created"], &again["network_id"]), (&false.into(), &outputs["network_id"]));
    let less = MakeNetwork { subnet: None, ip_range: None, gateway: None, labels: [].into(), ..network.0.clone() };
    let again = stage.succeed(&stage.ask("other", Work::DockerNetwork(less))).await?;
    assert_eq!(again["subnet"], outputs["subnet"], "who says nothing about addresses takes those that are there");
    Ok(())
}

#[tokio::test]
async fn a_network_that_is_another_is_left_alone_and_every_difference_is_named() -> Result<()> {
    let network = Network::new();
    machine::run("docker", &["network", "create", "--label", "shop.team=ops", &network.0.name]).await?;
    let before = network.show("{{.Id}}").await?;
    let stage = Stage::start().await?;
    let failure = stage.fail(&stage.ask("net", Work::DockerNetwork(network.0.clone()))).await?;
    for words in [
        "is another: subnet is ",
        "and not 10.214.",
        "internal is false and not true",
        "label shop.team is ops and not web",
    ] {
        assert!(failure.message.contains(words), "{words}: {}", failure.message);
    }
    assert_eq!(network.show("{{.Id}}").await?, before);
    Ok(())
}

#[tokio::test]
async fn who_makes_a_network_at_the_same_time_ends_up_with_the_same_one() -> Result<()> {
    let network = Network::new();
    let stage = Stage::start().await?;
    let wanted = MakeNetwork { subnet: None, ip_range: None, gateway: None, ..network.0.clone() };
    let asks: Vec<_> = ["a", "b", "c"].map(|step| stage.ask(step, Work::DockerNetwork(wanted.clone()))).into();
    let all = futures::future::join_all(asks.iter().map(|ask| stage.succeed(ask))).await;
    let ids: Vec<_> = all.into_iter().map(|outputs| Ok(outputs?["network_id"].clone())).collect::<Result<_>>()?;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let name = format!("name=^{}$", network.0.name);
    let list = machine::run("docker", &["network", "ls", "-q", "--filter", &name]).await?;
    assert_eq!(list.lines().count(), 1);
    Ok(())
}
