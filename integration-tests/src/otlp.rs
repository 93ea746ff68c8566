//! A collector that takes OTLP over HTTP and keeps the spans.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
};
use prost::Message;

/// A span as it arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// `service.name` of the process.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Trace id, hex.
    pub trace: String,
    /// Traces of its links, hex.
    pub links: Vec<String>,
    /// Attributes with text or number values.
    pub attributes: Vec<(String, String)>,
}

/// The collector; it listens until the test ends.
#[derive(Clone, Default)]
pub struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    raw: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    /// Starts one; the second value is for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub async fn start() -> Result<(Self, String)> {
        let collector = Self::default();
        let routes = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok((collector, endpoint))
    }

    /// The spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("no panic while held").clone()
    }

    /// Every byte that arrived.
    pub fn raw(&self) -> Vec<u8> {
        self.raw.lock().expect("no panic while held").clone()
    }
}

async fn take(State(collector): State<Collector>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body.clone()) else { return StatusCode::BAD_REQUEST };
    collector.raw.lock().expect("no panic while held").extend_from_slice(&body);
    let mut spans = collector.spans.lock().expect("no panic while held");
    for resource in request.resource_spans {
        let attributes = resource.resource.map(|r| texts(&r.attributes)).unwrap_or_default();
        let service = attributes.into_iter().find(|(key, _)| key == "service.name").map_or(String::new(), |(_, v)| v);
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                service: service.clone(),
                name: span.name,
                trace: hex(&span.trace_id),
                links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
                attributes: texts(&span.attributes),
            });
        }
    }
    StatusCode::OK
}

fn texts(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some((attribute.key.clone(), text.clone())),
        Value::IntValue(number) => Some((attribute.key.clone(), number.to_string())),
        _ => None,
    };
    attributes.iter().filter_map(text).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
