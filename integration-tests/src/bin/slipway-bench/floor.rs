//! The floor: what handing work to somebody and hearing back costs on bare JetStream.
//!
//! A handoff is publish with ack, deliver, publish with ack, deliver, on a limits stream in a file with
//! `sync_interval: always`, as the log of deployments is.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::jetstream::{
    self,
    consumer::{DeliverPolicy, pull},
    stream::{Config, StorageType},
};
use futures::{StreamExt, stream::FuturesUnordered};
use slipway_integration_tests::{
    ports::{self, Port},
    process::Process,
    settings, wait,
};
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    load::{ms, percentile},
    say,
};

/// Handoffs that warm up before those that are measured.
const WARM_UP: usize = 50;
const HANDOFFS: usize = 2_000;
/// So many handoffs are under way at a time.
const AT_ONCE: [usize; 6] = [1, 4, 16, 64, 200, 1_000];

/// A NATS server that nobody else uses, with somebody at the other end who hands everything back.
pub struct Floor {
    jetstream: jetstream::Context,
    at_asker: pull::Ordered,
    _worker: AbortOnDropHandle<()>,
    _server: Process,
    _folder: TempDir,
    _port: Port,
}

/// Handoffs one after the other, and with ever more of them at once.
pub async fn run() -> Result<()> {
    let mut floor = Floor::start().await?;
    let took = floor.one_by_one(HANDOFFS).await?;
    say(&format!("one by one: p50 {:.2} ms, p95 {:.2} ms", ms(percentile(&took, 50)), ms(percentile(&took, 95))))?;
    for at_once in AT_ONCE {
        let took = floor.at_once(HANDOFFS, at_once).await?;
        say(&format!("{at_once} at once: {:.0} handoffs/s", HANDOFFS as f64 / took.as_secs_f64()))?;
    }
    Ok(())
}

impl Floor {
    /// Starts both.
    pub async fn start() -> Result<Self> {
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
        let url = format!("nats://{}", port.address());
        let (asker, worker) =
            (wait::until("NATS answers", || async_nats::connect(&url)).await, async_nats::connect(&url).await?);
        let (jetstream, answering) = (jetstream::new(asker), jetstream::new(worker));
        let stream = Config {
            name: "HANDOFF".into(),
            subjects: vec!["to.*".into()],
            storage: StorageType::File,
            ..Config::default()
        };
        jetstream.create_stream(stream).await?;
        let (mut at_worker, at_asker) = (listen(&answering, "to.worker").await?, listen(&jetstream, "to.asker").await?);
        let worker = async move {
            let mut answers = FuturesUnordered::new();
            loop {
                tokio::select! {
                    Some(Ok(message)) = at_worker.next() => {
                        match answering.publish("to.asker", message.payload.clone()).await {
                            Ok(ack) => answers.push(ack.into_future()),
                            Err(_) => break,
                        }
                    }
                    Some(_) = answers.next() => {}
                    else => break,
                }
            }
        };
        let worker = AbortOnDropHandle::new(tokio::spawn(worker));
        Ok(Self { jetstream, at_asker, _worker: worker, _server: server, _folder: folder, _port: port })
    }

    /// How long each of so many handoffs took, one after the other; sorted.
    pub async fn one_by_one(&mut self, handoffs: usize) -> Result<Vec<Duration>> {
        let mut took = Vec::with_capacity(handoffs);
        for n in 0..handoffs + WARM_UP {
            let begun = Instant::now();
            self.jetstream.publish("to.worker", n.to_string().into()).await?.await?;
            self.at_asker.next().await.context("the answer")??;
            if n >= WARM_UP {
                took.push(begun.elapsed());
            }
        }
        took.sort();
        Ok(took)
    }

    /// How long so many handoffs take with `at_once` of them under way at any time.
    pub async fn at_once(&mut self, handoffs: usize, at_once: usize) -> Result<Duration> {
        let begun = Instant::now();
        let mut acks = FuturesUnordered::new();
        let (mut asked, mut answered) = (0, 0);
        while answered < handoffs {
            while asked < handoffs && asked - answered < at_once {
                acks.push(self.jetstream.publish("to.worker", asked.to_string().into()).await?.into_future());
                asked += 1;
            }
            tokio::select! {
                Some(ack) = acks.next() => drop(ack?),
                answer = self.at_asker.next() => {
                    answer.context("the answer")??;
                    answered += 1;
                }
            }
        }
        Ok(begun.elapsed())
    }
}

async fn listen(jetstream: &jetstream::Context, subject: &str) -> Result<pull::Ordered> {
    let config = pull::OrderedConfig {
        filter_subject: subject.into(),
        deliver_policy: DeliverPolicy::All,
        ..pull::OrderedConfig::default()
    };
    Ok(jetstream.get_stream("HANDOFF").await?.create_consumer(config).await?.messages().await?)
}
