//! Pushes are kept as they came.

use slipway_bus::StoredPush;

use crate::nats::{Nats, soon};

#[tokio::test]
async fn a_push_is_kept_byte_for_byte_and_read_again() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let push = StoredPush {
        webhook: "local-pushes".into(),
        content_type: "application/vnd.docker.distribution.events.v1+json".into(),
        body: vec![0, 255, b'{', 10],
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    };
    let seq = bus.store_push("distribution", &push).await?;
    let mut reader = bus.pushes(0);
    let (read_seq, _, read) = soon("the push", reader.next()).await;
    assert_eq!((read_seq, read), (seq, push.clone()));
    let second = bus.store_push("distribution", &push).await?;
    assert_eq!(soon("the second push", reader.next()).await.0, second);
    assert_eq!(soon("the second push", bus.pushes(second).next()).await.0, second);
    Ok(())
}
