//! One trace leads from the registry's webhook to the container.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use slipway_integration_tests::{otlp::Collector, shop, stack::Wanted, wait};

#[tokio::test]
async fn the_trace_of_the_webhook_reaches_planner_and_executor() -> Result<()> {
    let (collector, endpoint) = Collector::start().await?;
    let variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "200".to_owned()),
    ];
    shop::with(
        Wanted { variables, ..Wanted::default() },
        |m| m,
        async |shop| {
            shop.push("1.0.0", &[]).await?;
            let staging = shop.deployment("1.0.0", "staging").await;
            shop.succeeded(&staging).await;

            wait::until("a trace with all three services", || async {
                let mut traces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
                for span in collector.spans() {
                    for trace in [vec![span.trace], span.links].concat() {
                        traces.entry(trace).or_default().insert(span.service.clone());
                    }
                }
                let wanted = ["slipway-release", "slipway-planner", "slipway-executor"];
                match traces.values().any(|services| wanted.iter().all(|service| services.contains(*service))) {
                    true => Ok(()),
                    false => Err(traces),
                }
            })
            .await;

            let id = staging.id.to_string();
            let spans = collector.spans();
            let of_deployment: Vec<_> =
                spans.iter().filter(|span| span.attributes.iter().any(|(_, value)| *value == id)).collect();
            assert!(of_deployment.iter().any(|span| span.service == "slipway-executor"), "{spans:#?}");
            Ok(())
        },
    )
    .await
}
