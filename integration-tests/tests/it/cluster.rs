//! NATS as a cluster of three: a server that dies, the leader of the log above all, costs nothing.

use anyhow::{Context, Result};
use slipway_domain::{
    api::{Accepted, CreateDeployment, DeploymentView},
    event::Outcome,
    name::EnvironmentName,
};
use slipway_integration_tests::{
    log,
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
