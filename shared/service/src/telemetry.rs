//! Logs to stderr, spans to an OpenTelemetry collector, and the trace context that travels in
//! messages.
//!
//! Spans of Slipway's own crates exist for OpenTelemetry whatever the log filter says, so that a
//! quiet log does not cut a trace.

use std::collections::HashMap;

use opentelemetry::{
    propagation::TextMapPropagator as _,
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, Targets, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

const TRACEPARENT: &str = "traceparent";
const DEFAULT_FILTER: &str = "info,async_nats=warn,hyper=warn,sqlx=warn,opentelemetry=warn";

/// Keeps the exporter alive. Call [`Telemetry::shutdown`] last, so that the last spans get out.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// Sends what is still in memory. Blocks for at most a few seconds.
    pub fn shutdown(self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "the last spans may be lost");
        }
    }
}

/// Sets up logs (`SLIPWAY_LOG`, `SLIPWAY_LOG_FORMAT=json`) and traces (`OTEL_EXPORTER_OTLP_ENDPOINT`, http/protobuf).
/// Once per process; later calls leave the first set-up in place.
pub fn init(service_name: &'static str) -> Telemetry {
    crate::crypto::install();
    let (provider, export_error) = provider(service_name);
    let filter = std::env::var("SLIPWAY_LOG").unwrap_or_else(|_| DEFAULT_FILTER.to_owned());
    let json = std::env::var("SLIPWAY_LOG_FORMAT").is_ok_and(|format| format == "json");
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json { lines.json().boxed() } else { lines.with_ansi(false).boxed() };
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("slipway"))
        .with_filter(Targets::new().with_target("slipway", LevelFilter::INFO));
    let wanted = EnvFilter::new(filter).and(filter_fn(|line| may_be_logged(line.target(), *line.level())));
    let installed = tracing_subscriber::registry().with(spans).with(lines.with_filter(wanted)).try_init();
    if installed.is_ok()
        && let Some(error) = export_error
    {
        tracing::warn!(%error, "traces are not exported; check OTEL_EXPORTER_OTLP_ENDPOINT");
    }
    Telemetry { provider }
}

/// Whatever the filter says: libraries that log the bodies they send are kept quiet, because bodies carry secrets.
fn may_be_logged(target: &str, level: tracing::Level) -> bool {
    const QUOTE_BODIES: [&str; 3] = ["bollard", "hyper", "h2"];
    let root = target.split("::").next().unwrap_or_default();
    !QUOTE_BODIES.contains(&root) || level <= tracing::Level::WARN
}

fn provider(service_name: &'static str) -> (SdkTracerProvider, Option<opentelemetry_otlp::ExporterBuildError>) {
    let resource = Resource::builder().with_service_name(service_name).build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let wanted = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| !value.is_empty()));
    if !wanted {
        return (builder.build(), None);
    }
    match opentelemetry_otlp::SpanExporter::builder().with_http().build() {
        Ok(exporter) => (builder.with_batch_exporter(exporter).build(), None),
        Err(error) => (builder.build(), Some(error)),
    }
}

/// W3C `traceparent` of the current span; none outside of spans.
pub fn traceparent() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8()))
}

/// Makes a span the child of the remote one that a `traceparent` names. Without one, or with an
/// unreadable one, the span stays what it is. Call before the span is entered.
pub fn continue_from(span: &tracing::Span, traceparent: Option<&str>) {
    let Some(parent) = traceparent else { return };
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), parent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    if context.span().span_context().is_valid()
        && let Err(error) = span.set_parent(context)
    {
        tracing::debug!(?error, "a span could not continue its remote parent");
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_that_log_bodies_are_quiet_at_any_filter() {
        assert!(!may_be_logged("bollard::docker", Level::DEBUG));
        assert!(!may_be_logged("bollard", Level::INFO));
        assert!(may_be_logged("bollard::docker", Level::WARN));
        assert!(may_be_logged("slipway_executor::task", Level::TRACE));
    }
}
