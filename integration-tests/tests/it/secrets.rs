//! Secrets reach the container and nothing else; NATS lets nobody in without a credential, and nobody beyond it.

use anyhow::{Result, ensure};
use async_nats::{ConnectOptions, jetstream};
use slipway_integration_tests::{
    log,
    otlp::Collector,
    shop,
    stack::{REGISTRY_SECRET, Stack, Wanted},
};

const CANARY: &str = "canary-4711-only-the-container-may-know";

#[tokio::test]
async fn a_planted_secret_is_in_no_stream_table_log_or_trace() -> Result<()> {
    let (collector, endpoint) = Collector::start().await?;
    let variables =
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint), ("SLIPWAY_LOG".to_owned(), "debug".to_owned())];
    // The container prints its greeting and shows it on its page: a secret used as greeting is all over its output.
    let edit = |manifests: String| {
        manifests.replace(
            "{name: Greeting, value: HELLO, scope: {environment: production}}",
            "{name: Greeting, secret: canary, scope: {environment: production}}",
        )
    };
    let mut secret_set = false;
    shop::with(Wanted { variables, ..Wanted::default() }, edit, async |shop| {
        shop.stack.secret("canary", CANARY).await?;
        secret_set = true;
        shop.push("1.0.0", &[]).await?;
        let production = shop.deployment("1.0.0", "production").await;
        shop.waiting(&production).await;
        shop.approve(&production).await?;
        shop.succeeded(&production).await;
        ensure!(shop.page(1).await?.contains(CANARY), "the container has the value");
        let logs = shop.logs(&production).await?;
        ensure!(logs.contains("starts, greeting:") && !logs.contains(CANARY), "masked in the output: {logs}");

        let token = shop.webhook.rsplit('/').next().unwrap_or_default().to_owned();
        let (registry, ana) = (REGISTRY_SECRET.trim_start_matches("Bearer "), shop.ana.token().unwrap_or_default());
        for secret in [CANARY, registry, &token, ana] {
            nowhere(&shop.stack, &collector, secret).await?;
        }
        Ok(())
    })
    .await
}

/// Looks for the text in every stream, in every file of the database, in every log and in every trace.
pub async fn nowhere(stack: &Stack, collector: &Collector, secret: &str) -> Result<()> {
    ensure!(secret.len() > 10, "a secret worth looking for");
    let client = log::connect(&stack.nats_url(), &stack.seed("operator")).await?;
    let messages = log::everything(&client).await?;
    ensure!(messages.iter().any(|message| message.stream == "DEPLOYMENTS"), "the streams were read");
    for message in messages {
        let (stream, seq, subject) = (&message.stream, message.seq, &message.subject);
        ensure!(!holds(&message.bytes, secret), "in stream {stream}, message {seq}, {subject}");
    }
    for entry in std::fs::read_dir(stack.folder.path())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let checked = name.starts_with("release.db") || (name.ends_with(".log") && name != "registry.log");
        ensure!(!(checked && holds(&std::fs::read(&path)?, secret)), "in {name}");
    }
    ensure!(!collector.spans().is_empty(), "traces arrived");
    ensure!(!holds(&collector.raw(), secret), "in a trace");
    Ok(())
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn nats_lets_nobody_in_without_a_credential() -> Result<()> {
    let stack = Stack::start().await?;
    let refused = ConnectOptions::new().connect(stack.nats_url()).await;
    let error = refused.expect_err("an anonymous client is refused").to_string();
    ensure!(error.contains("authorization"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_executor_can_not_write_plans_gates_or_votes() -> Result<()> {
    let stack = Stack::start().await?;
    let seed = std::fs::read_to_string(stack.seed("executor-1"))?.trim().to_owned();
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let client = ConnectOptions::with_nkey(seed)
        .custom_inbox_prefix("_INBOX_executor_executor-1")
        .event_callback(move |event| {
            let events = events.clone();
            async move {
                let _ = events.send(event.to_string());
            }
        })
        .connect(stack.nats_url())
        .await?;
    let id = uuid::Uuid::now_v7();
    let forbidden = [
        format!("deployment.{id}.plan"),
        format!("deployment.{id}.gate.sign-off.all"),
        format!("deployment.{id}.task.somebody-elses-host.web"),
        "push.distribution".to_owned(),
        "secret.somebody".to_owned(),
        "$JS.API.STREAM.DELETE.DEPLOYMENTS".to_owned(),
        "$JS.API.STREAM.PURGE.DEPLOYMENTS".to_owned(),
    ];
    for subject in &forbidden {
        client.publish(subject.clone(), "{}".into()).await?;
        client.flush().await?;
        let wanted = subject.to_lowercase();
        let denied = async {
            while let Some(event) = heard.recv().await {
                if event.to_lowercase().contains("permissions violation") && event.to_lowercase().contains(&wanted) {
                    return;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), denied)
            .await
            .map_err(|_| anyhow::anyhow!("the server did not refuse {subject}"))?;
    }
    let release = log::connect(&stack.nats_url(), &stack.seed("operator")).await?;
    let deployments = jetstream::new(release).get_stream("DEPLOYMENTS").await?;
    ensure!(deployments.cached_info().state.messages == 0, "something got through");
    Ok(())
}
