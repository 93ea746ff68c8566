//! Measures, in one run: a bare JetStream handoff, a step of a deployment through all services, and their ratio.
//!
//! Handoff: publish with ack, deliver, publish with ack, deliver, on a limits stream in a file with
//! `sync_interval: always`; the least that handing work to somebody and hearing back can cost on this
//! machine. Step: one of a chain of no-op steps, each waiting for the one before. A figure of one machine
//! means little; the ratio says what Slipway adds.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_nats::jetstream::{
    self,
    consumer::{DeliverPolicy, pull::OrderedConfig},
    stream::{Config, StorageType},
};
use futures::StreamExt;
use slipway_domain::api::{Accepted, DeploymentView, Status};
use slipway_integration_tests::{ports, process::Process, settings, stack::Stack, wait};

const HANDOFFS: usize = 500;
const STEPS: u32 = 100;

#[tokio::main]
async fn main() -> Result<()> {
    let handoffs = handoffs().await?;
    let p50 = handoffs[handoffs.len() / 2];
    let p95 = handoffs[handoffs.len() * 95 / 100];
    let mut out = std::io::stdout();
    writeln!(out, "bare JetStream handoff   p50 {:.2} ms, p95 {:.2} ms ({HANDOFFS} handoffs)", ms(p50), ms(p95))?;
    let chain = chain().await?;
    let step = chain / STEPS;
    writeln!(
        out,
        "step of a deployment     {:.2} ms ({STEPS} steps in a chain, {:.0} ms in all)",
        ms(step),
        ms(chain)
    )?;
    writeln!(out, "ratio                    {:.1}", step.as_secs_f64() / p50.as_secs_f64())?;
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Durations of bare handoffs, sorted.
async fn handoffs() -> Result<Vec<Duration>> {
    let (folder, port) = (tempfile::tempdir()?, ports::reserve()?);
    let config = folder.path().join("nats.conf");
    let store = folder.path().join("store");
    std::fs::write(
        &config,
        format!(
            "listen: \"{}\"\njetstream {{ store_dir: \"{}\", sync_interval: always }}\n",
            port.address(),
            store.display()
        ),
    )?;
    let mut server = Process::new("nats-bare", settings::nats_server(), folder.path()).arg("-c").arg(config);
    server.start()?;
    let client = wait::until("NATS answers", || async_nats::connect(format!("nats://{}", port.address()))).await;
    let jetstream = jetstream::new(client);
    let stream = jetstream
        .create_stream(Config {
            name: "HANDOFF".into(),
            subjects: vec!["to.*".into()],
            storage: StorageType::File,
            ..Config::default()
        })
        .await?;
    let listen = async |subject: &str| -> Result<_> {
        let config = OrderedConfig {
            filter_subject: subject.into(),
            deliver_policy: DeliverPolicy::All,
            ..OrderedConfig::default()
        };
        Ok(stream.create_consumer(config).await?.messages().await?)
    };
    let (mut at_worker, mut at_asker) = (listen("to.worker").await?, listen("to.asker").await?);
    let answering = jetstream.clone();
    let worker = tokio::spawn(async move {
        while let Some(Ok(message)) = at_worker.next().await {
            let stored = answering.publish("to.asker", message.payload.clone()).await;
            if stored.is_err() {
                break;
            }
        }
    });
    let mut took = Vec::with_capacity(HANDOFFS);
    for n in 0..HANDOFFS + 50 {
        let begun = Instant::now();
        jetstream.publish("to.worker", n.to_string().into()).await?.await?;
        at_asker.next().await.context("the answer")??;
        // The first ones warm up.
        if n >= 50 {
            took.push(begun.elapsed());
        }
    }
    worker.abort();
    took.sort();
    Ok(took)
}

/// How long a chain of no-op steps takes from its start to its end, by the log's own clock.
async fn chain() -> Result<Duration> {
    let stack = Stack::start().await?;
    let project = stack.name("chain");
    let mut manifests = format!(
        "kind: Environment\nname: test\n---\nkind: Lifecycle\nname: short\nphases:\n  - {{name: Test, environments: [test]}}\n\
         ---\nkind: Project\nname: {project}\nlifecycle: short\nsteps:\n  - {{name: step-0, wait: 0s}}\n"
    );
    for n in 1..STEPS {
        manifests.push_str(&format!("  - {{name: step-{n}, needs: [step-{}], wait: 0s}}\n", n - 1));
    }
    stack.apply(&manifests).await?;
    let release = serde_json::json!({ "version": "1.0.0" });
    stack.admin.post::<serde_json::Value>(&format!("/api/v1/projects/{project}/releases"), &release).await?;
    let body = serde_json::json!({ "project": project, "version": "1.0.0", "environment": "test" });
    let accepted: Accepted = stack.admin.post("/api/v1/deployments", &body).await?;
    let path = format!("/api/v1/deployments/{}", accepted.id);
    let view = wait::until_within(Duration::from_secs(300), "the chain is over", || async {
        let view: DeploymentView = stack.admin.get(&path).await?;
        anyhow::ensure!(view.summary.status == Status::Finished, "{:?}", view.summary);
        Ok(view)
    })
    .await;
    anyhow::ensure!(view.summary.outcome == Some(slipway_domain::event::Outcome::Succeeded), "{:#?}", view.summary);
    let (started, finished) = (view.summary.started_at, view.summary.finished_at);
    let took = finished.context("its end")? - started.context("its start")?;
    Ok(took.to_std()?)
}
