//! Requests for secrets reach a release service, in one's own name only.

use slipway_domain::{
    name::{HolderName, SecretName},
    secret::{SecretAnswer, SecretRef, SecretRequest},
};

use crate::{
    deployment,
    nats::{Nats, soon},
    task,
};

#[tokio::test]
async fn a_request_is_answered_or_nobody_is_there() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let request = SecretRequest {
        deployment: deployment(),
        task: task("migrate", "worker"),
        epoch: 12,
        holder: HolderName::new("executor-1")?,
        secrets: vec![SecretRef { name: SecretName::new("shop-db")?, version: 1 }],
    };
    assert!(bus.ask_secrets(&request).await?.is_none());
    let mut requests = bus.secret_requests().await?;
    let raw = async_nats::connect(nats.url()).await?;
    let impostor = serde_json::to_vec(&request)?;
    raw.publish_with_reply("secret.executor-2", "reply", impostor.into()).await?;
    raw.flush().await?;
    let (heard, answer) = soon("the request", async {
        tokio::join!(
            async {
                let (request, replier) = requests.next().await.unwrap();
                replier.answer(&SecretAnswer::Later).await;
                request
            },
            bus.ask_secrets(&request)
        )
    })
    .await;
    assert_eq!((heard.epoch, heard.holder), (12, request.holder));
    assert!(matches!(answer?, Some(SecretAnswer::Later)));
    Ok(())
}
