//! What holds deployments back although nothing is wrong with them, and how people see it.

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use slipway_domain::api::{Accepted, AcceptedDeployment, DeploymentSummary, Status};
use slipway_integration_tests::{
    stack::{Stack, Wanted},
    wait,
};

/// Projects without images, so that nothing but the rules decides: `ask` waits for a person, `aside` for a person
/// while others pass, `quick` for nothing.
struct House {
    stack: Stack,
}

impl House {
    async fn start(manifests: &str) -> Result<Self> {
        let stack = Stack::start_with(Wanted::default()).await?;
        let [ask, quick, aside] = ["ask", "quick", "aside"].map(|name| stack.name(name));
        let text = format!(
            "{manifests}---\nkind: Lifecycle\nname: short\nphases: [{{name: Test, environments: [test]}}]\n---\n\
             kind: Project\nname: {ask}\nlifecycle: short\nsteps: [{{name: sign-off, approval: {{}}}}]\n---\n\
             kind: Project\nname: {quick}\nlifecycle: short\nsteps: [{{name: pause, wait: 10ms}}]\n---\n\
             kind: Project\nname: {aside}\nlifecycle: short\nsteps:\n  - {{name: sign-off, approval: {{blocks: false}}}}\n\
             \x20 - {{name: pause, needs: [sign-off], wait: 10ms}}\n"
        );
        stack.apply(&text).await?;
        let release = serde_json::json!({ "version": "1.0.0" });
        for project in [&ask, &quick, &aside] {
            stack.admin.post::<serde_json::Value>(&format!("/api/v1/projects/{project}/releases"), &release).await?;
        }
        Ok(Self { stack })
    }

    async fn deploy(&self, project: &str) -> Result<Accepted> {
        let project = self.stack.name(project);
        let body = serde_json::json!({ "project": project, "version": "1.0.0", "environment": "test" });
        self.stack.admin.post("/api/v1/deployments", &body).await
    }

    async fn until(&self, one: &Accepted, status: Status) -> DeploymentSummary {
        wait::until(&format!("deployment {} is {}", one.id, status.as_str()), async || {
            let summary: DeploymentSummary = self.stack.admin.get(&format!("/api/v1/deployments/{}", one.id)).await?;
            anyhow::ensure!(summary.status == status, "{summary:#?}");
            anyhow::Ok(summary)
        })
        .await
    }

    /// Waits until `slipway deployment why` says this.
    async fn says(&self, one: &Accepted, words: &str) {
        let id = one.id.to_string();
        wait::until(&format!("why says {words}"), async || {
            let (code, text) = self.stack.cli(&self.stack.admin, &["deployment", "why", &id]).await?;
            anyhow::ensure!(code == 0 && text.contains(words), "{code} {text}");
            anyhow::Ok(())
        })
        .await;
    }
}

#[tokio::test]
async fn limits_hold_deployments_back_until_there_is_room_or_the_limit_is_raised() -> Result<()> {
    let house = House::start("kind: Environment\nname: test\nparallelism: 1\n").await?;
    let first = house.deploy("ask").await?;
    house.until(&first, Status::WaitingForPerson).await;
    let second = house.deploy("quick").await?;
    house.says(&second, "a place in its environment, which has room for 1 deployment at a time").await;

    // Another limit takes its place at once, and is told as itself.
    house.stack.apply("kind: Environment\nname: test\n---\nkind: Limits\nname: all\ndeployments: 1\n").await?;
    house.says(&second, "over all environments").await;
    house.stack.apply("kind: Limits\nname: all\ndeployments: 2\n").await?;
    house.until(&second, Status::Finished).await;

    // Without any limit any number runs.
    house.stack.apply("kind: Limits\nname: all\ndeployments: 1\n").await?;
    let third = house.deploy("quick").await?;
    house.says(&third, "over all environments").await;
    let delete = house.stack.admin.request(reqwest::Method::DELETE, "/api/v1/limits/all");
    assert!(delete.send().await?.status().is_success());
    house.until(&third, Status::Finished).await;
    Ok(())
}

#[tokio::test]
async fn a_freeze_holds_deployments_until_it_opens_and_only_some_may_ignore_it_with_a_reason() -> Result<()> {
    let house = House::start("kind: Environment\nname: test\n---\nkind: Team\nname: ops\n").await?;
    let freeze = |until: chrono::DateTime<Utc>| {
        format!(
            "kind: Freeze\nname: moving\nenvironments: [test]\nfrom: 2020-01-01T00:00:00+01:00\nuntil: {}\n\
             ignorable-by: [ops]\n",
            until.to_rfc3339()
        )
    };
    let (code, text) = house.stack.try_apply("kind: Freeze\nname: f\nenvironments: [tset]\nschedule: x\n").await?;
    assert!(code != 0 && text.contains("either `from` and `until`"), "{text}");
    house.stack.apply(&freeze(Utc::now() + TimeDelta::hours(1))).await?;

    // The answer says what holds it, and so does why.
    let quick = house.stack.name("quick");
    let deploy = |more: &[&'static str]| {
        let arguments = ["deploy", &quick, "1.0.0", "--to", "test"].map(str::to_owned);
        arguments.into_iter().chain(more.iter().map(|word| (*word).to_owned())).collect::<Vec<_>>()
    };
    let cli = async |client: &slipway_integration_tests::client::Client, arguments: Vec<String>| {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        house.stack.cli(client, &words).await
    };
    let (code, text) = cli(&house.stack.admin, deploy(&[])).await?;
    assert!(code == 0 && text.contains("freeze moving holds it until"), "{code} {text}");
    let (code, text) = cli(&house.stack.admin, deploy(&["--output", "json"])).await?;
    let frozen: AcceptedDeployment = serde_json::from_str(&text)?;
    assert!(code == 0 && frozen.freeze.is_some_and(|freeze| freeze.name.as_str() == "moving"), "{text}");
    let frozen = frozen.accepted;
    house.until(&frozen, Status::Queued).await;

    // An emergency is for those whom the freeze names, and it is written down.
    let emergency = || deploy(&["--ignore-freeze", "the shop is on fire", "--watch"]);
    let (code, text) = cli(&house.stack.admin, emergency()).await?;
    assert!(code != 0 && text.contains("only ops may"), "{code} {text}");
    let ana = house.stack.person("ana", Some("ops")).await?;
    let (code, text) = cli(&ana, emergency()).await?;
    assert_eq!(code, 0, "it passes those that wait: {text}");
    house.until(&frozen, Status::Queued).await;
    let (code, text) = house.stack.cli(&house.stack.admin, &["audit"]).await?;
    assert!(code == 0 && text.contains("ignore-freeze") && text.contains("the shop is on fire"), "{text}");

    // It opens by itself.
    let until = Utc::now() + TimeDelta::seconds(3);
    house.stack.apply(&freeze(until)).await?;
    let first = house.until(&frozen, Status::Finished).await;
    assert!(
        first.started_at.is_some_and(|at| at >= until - TimeDelta::seconds(1)),
        "{first:#?} started before {until}"
    );
    Ok(())
}

#[tokio::test]
async fn an_approval_that_does_not_block_lets_the_next_deployment_pass() -> Result<()> {
    let house = House::start("kind: Environment\nname: test\nparallelism: 1\n").await?;
    let first = house.deploy("aside").await?;
    house.says(&first, "which it gave back").await;
    let second = house.deploy("aside").await?;
    house.says(&second, "which it gave back").await;
    let quick = house.deploy("quick").await?;
    house.until(&quick, Status::Finished).await;

    // Somebody takes the only place; who was approved waits for it.
    let ask = house.deploy("ask").await?;
    house.until(&ask, Status::WaitingForPerson).await;
    let approve = async |one: &Accepted| {
        let (code, text) = house.stack.cli(&house.stack.admin, &["approve", &one.id.to_string(), "sign-off"]).await?;
        assert_eq!(code, 0, "{text}");
        anyhow::Ok(())
    };
    approve(&first).await?;
    house.says(&first, "a place in its environment").await;
    house.until(&first, Status::Queued).await;
    approve(&ask).await?;
    house.until(&first, Status::Finished).await;
    house.until(&second, Status::WaitingForPerson).await;
    approve(&second).await?;
    house.until(&second, Status::Finished).await;
    Ok(())
}
