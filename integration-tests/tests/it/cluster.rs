//! NATS as a cluster of three: a server that dies, the leader of the log above all, costs nothing.

use std::time::Duration;

use anyhow::{Context, Result};
use slipway_domain::{
    api::{Accepted, CreateDeployment, DeploymentView},
    event::Outcome,
    name::EnvironmentName,
};
use slipway_integration_tests::{
    chaos::Simulate,
    log, machine,
    rehearsal::Rehearsal,
    settings,
    stack::{Stack, Wanted},
    wait,
};

const STEPS: usize = 30;

/// The server that leads the log, by the name of its process.
async fn leader(stack: &Stack) -> Result<String> {
    let client = log::connect(&stack.nats_url(), &stack.seed("operator")).await?;
    let stream = async_nats::jetstream::new(client).get_stream("DEPLOYMENTS").await?;
    let info = stream.cached_info().clone();
    anyhow::ensure!(info.config.num_replicas == 3, "{:?}", info.config);
    let leader = info.cluster.and_then(|cluster| cluster.leader).context("the log has no leader")?;
    Ok(if leader == "nats-1" { "nats".to_owned() } else { leader })
}

async fn view(stack: &Stack, one: &Accepted) -> Result<DeploymentView> {
    stack.admin.get(&format!("/api/v1/deployments/{}", one.id)).await
}

fn done(view: &DeploymentView) -> usize {
    view.steps.iter().flat_map(|step| &step.tasks).filter(|task| task.finished_at.is_some()).count()
}

#[tokio::test]
async fn the_leader_of_the_log_dies_in_the_middle_and_later_another_server() -> Result<()> {
    let mut stack = Stack::start_with(Wanted { cluster: true, planners: 2, ..Wanted::default() }).await?;
    let project = stack.name("chain");
    let steps: String = (1..=STEPS)
        .map(|n| match n {
            1 => "  - {name: s1, wait: 50ms}\n".to_owned(),
            n => format!("  - {{name: s{n}, needs: [s{}], wait: 50ms}}\n", n - 1),
        })
        .collect();
    stack
        .apply(&format!(
            "kind: Environment\nname: live\n---\nkind: Lifecycle\nname: l\nphases: [{{name: Live, environments: [live]}}]\n\
             ---\nkind: Project\nname: {project}\nlifecycle: l\nsteps:\n{steps}"
        ))
        .await?;
    let (code, text) = stack.cli(&stack.admin, &["release", "create", &project, "--version", "1.0.0"]).await?;
    assert_eq!(code, 0, "{text}");
    let body = CreateDeployment::new(project.parse()?, "1.0.0", EnvironmentName::new("live")?);
    let one: Accepted = stack.admin.post("/api/v1/deployments", &body).await?;

    for (n, victim) in [(5, None), (15, Some("nats-2"))] {
        wait::until(&format!("{n} steps are done"), async || {
            let view = view(&stack, &one).await?;
            anyhow::ensure!(done(&view) >= n, "{view:#?}");
            anyhow::Ok(())
        })
        .await;
        let victim = match victim {
            Some(victim) => victim.to_owned(),
            None => wait::until("the leader of the log", async || leader(&stack).await).await,
        };
        stack.kill(&victim).await?;
        stack.restart(&victim)?;
    }
    let view = wait::until_within(2 * wait::PATIENCE, "the end", async || {
        let view = view(&stack, &one).await?;
        anyhow::ensure!(view.summary.outcome.is_some(), "{}\n{}", done(&view), stack.tails());
        anyhow::Ok(view)
    })
    .await;
    assert_eq!(view.summary.outcome, Some(Outcome::Succeeded), "{view:#?}");
    let attempts: Vec<u32> = view.steps.iter().flat_map(|step| &step.tasks).map(|task| task.attempt).collect();
    assert_eq!(attempts, vec![1; STEPS], "nothing was done twice");
    Ok(())
}

/// What one step after the other does.
const PARTS: &str =
    "  - {name: migrate, sql: {database: 'sqlite:///nowhere', files: {001.sql: 'create table t (x int)'}}}
  - {name: job, needs: [migrate], docker-job: {package: app}}
  - {name: hold, needs: [job], demo: {message: lose two servers}}
  - {name: web, needs: [hold], targets: {role: web}, rolling: {window: 1}, docker-run: {package: app}}";

#[tokio::test]
async fn the_leader_dies_while_another_server_is_gone_and_nothing_is_taken_until_one_is_back() -> Result<()> {
    let simulate = Simulate { duration: "200ms..400ms", failures: 0, seed: 5 };
    let wanted = Wanted { cluster: true, planners: 2, executors: 2, ..Wanted::default() };
    let mut rehearsal = Rehearsal::start(PARTS, simulate, wanted).await?;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(rehearsal.deploy().await?);
    }
    rehearsal.running(all[0].id, "hold", 1).await;
    let first = wait::until("the leader of the log", async || leader(&rehearsal.stack).await).await;
    let gone = ["nats", "nats-2", "nats-3"].into_iter().find(|name| *name != first).context("another server")?;
    rehearsal.stack.kill(gone).await?;
    // Two are enough.
    rehearsal.go(all[0].id, "hold").await?;
    wait::until("the next step begins", || async {
        let view = rehearsal.view(all[0].id).await.map_err(|error| error.to_string())?;
        let begun = view.steps.iter().filter(|step| step.name.as_str() == "web").flat_map(|step| &step.tasks);
        if begun.clone().any(|task| task.attempt > 0) { Ok(()) } else { Err(format!("{view:?}")) }
    })
    .await;
    let second = wait::until("the leader of the log", async || leader(&rehearsal.stack).await).await;
    rehearsal.stack.kill(&second).await?;
    let asked = tokio::time::timeout(Duration::from_secs(3), rehearsal.ask(&rehearsal.stack.admin, "alone"));
    assert!(!matches!(asked.await, Ok(Ok(_))), "one of three servers can promise nothing");
    rehearsal.stack.restart(gone)?;

    // What was asked for in vain may have been taken since; asked again with the same key it is the same one.
    let alone = wait::until("it is taken", || async {
        rehearsal.ask(&rehearsal.stack.admin, "alone").await.map_err(|error| error.to_string())
    })
    .await;
    rehearsal.count(1);
    all.push(alone);
    for (n, one) in all.iter().enumerate() {
        if n > 0 {
            rehearsal.running(one.id, "hold", 1).await;
            wait::until("it is told", || rehearsal.go(one.id, "hold")).await;
        }
        rehearsal.succeeded(one.id).await;
    }
    // A claim that was not answered in time may have been given up; nothing was done twice.
    rehearsal.judge().await?;
    Ok(())
}

/// A configuration without what is drawn anew for each installation.
fn plain(text: &str, dir: &str) -> Result<String> {
    let mut plain = String::new();
    for line in text.replace(dir, "/etc/slipway/nats").lines() {
        let key = line.trim_start().strip_prefix("{ nkey: ").and_then(|rest| rest.split(',').next());
        let password = line.split_once("password: \"").and_then(|(_, rest)| rest.split('"').next());
        let line = key.map_or(line.to_owned(), |key| line.replace(key, "KEY"));
        plain += &password.map_or(line.clone(), |password| line.replace(password, "PASSWORD"));
        plain.push('\n');
    }
    // The routes have it too.
    let route = text.split_once("//route:").and_then(|(_, rest)| rest.split('@').next()).context("a route")?;
    Ok(plain.replace(route, "PASSWORD"))
}

#[tokio::test]
async fn the_example_of_a_cluster_is_what_slipway_nats_init_writes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().display().to_string();
    let mut arguments = vec!["nats", "init", "--dir", &dir, "--store-dir", "/var/lib/nats", "--executor", "web=web-01"];
    for node in ["nats-1=10.0.0.1:4222", "nats-2=10.0.0.2:4222", "nats-3=10.0.0.3:4222"] {
        arguments.extend(["--node", node]);
    }
    machine::run(settings::own("slipway"), &arguments).await?;
    let examples = settings::workspace().join("deploy/nats");
    for name in ["nats-1.conf", "nats-2.conf", "nats-3.conf"] {
        let written = plain(&std::fs::read_to_string(folder.path().join(name))?, &dir)?;
        let example = std::fs::read_to_string(examples.join(name)).with_context(|| format!("{name}:\n{written}"))?;
        assert_eq!(example, written, "deploy/nats/{name}");
    }
    Ok(())
}
