//! Builds one span, and the resource and scopes of a service's spans.

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::{
    METHODS, OPERATIONS, RARE_ATTRIBUTE, extras, operation_name, pick, service_name, user_name,
};
use crate::values::{IntoValue as _, key_value};

/// Builds the resource spans of a service in one request.
pub(super) fn resource_spans(service: usize, spans: Vec<Span>) -> ResourceSpans {
    let resource = Resource {
        attributes: vec![
            key_value("service.name", service_name(service)),
            key_value("service.namespace", "shop"),
            key_value("service.version", format!("1.{}.0", service % 9)),
            key_value(
                "service.instance.id",
                format!("pod-{service:02}-7c9f8d6b5-x{:03}", service * 31 % 997),
            ),
            key_value("deployment.environment.name", "production"),
            key_value("telemetry.sdk.language", "go"),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp".to_owned(),
        version: "0.61.0".to_owned(),
        ..InstrumentationScope::default()
    };
    let (with_extras, plain): (Vec<Span>, Vec<Span>) = spans.into_iter().partition(extras::are_in);
    let scope_spans = [(scope, plain), (extras::scope(), with_extras)]
        .into_iter()
        .filter(|(_, spans)| !spans.is_empty())
        .map(|(scope, spans)| ScopeSpans {
            scope: Some(scope),
            spans,
            schema_url: String::new(),
        })
        .collect();
    ResourceSpans {
        resource: Some(resource),
        scope_spans,
        schema_url: "https://opentelemetry.io/schemas/1.26.0".to_owned(),
    }
}

/// Renames the service of these spans.
pub(super) fn rename(resource_spans: &mut ResourceSpans, service: &str) {
    let attributes = resource_spans.resource.iter_mut();
    for attribute in attributes.flat_map(|resource| &mut resource.attributes) {
        if attribute.key == "service.name" {
            attribute.value = Some(service.into_value());
        }
    }
}

/// The position of a span in its trace and in time.
pub(super) struct SpanPosition<'a> {
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: u64,
    /// Empty for a root.
    pub(super) parent_span_id: Vec<u8>,
    /// Nanoseconds since the epoch.
    pub(super) start: u64,
}

/// Builds a span like those of HTTP instrumentation.
pub(super) fn span(random: &mut fastrand::Rng, place: SpanPosition<'_>, rare: bool) -> Span {
    let operation = random.usize(0..OPERATIONS);
    let failed = random.u8(0..50) == 0;
    let status = if failed {
        500
    } else {
        200 + i64::from(random.u8(0..4))
    };
    let mut attributes = vec![
        key_value("http.request.method", pick(METHODS, operation)),
        key_value("http.response.status_code", status),
        key_value("http.route", operation_name(operation)),
        key_value(
            "url.path",
            format!("/api/v1/items/{}", random.u32(0..100_000)),
        ),
        key_value("server.address", "api.shop.example.com"),
        key_value("server.port", 8080),
        key_value(
            "client.address",
            format!("10.{}.{}.{}", random.u8(0..4), random.u8(..), random.u8(..)),
        ),
        key_value(
            "user_agent.original",
            "Mozilla/5.0 (X11; Linux x86_64) shop/2.1",
        ),
        key_value("network.protocol.version", "1.1"),
        key_value("enduser.id", user_name(random.u32(0..20_000))),
        key_value("thread.id", i64::from(random.u8(1..64))),
        key_value("cache.hit", random.bool()),
    ];
    if rare {
        let (key, value) = RARE_ATTRIBUTE;
        attributes.push(key_value(key, value));
    }
    let start = place.start;
    let mut span = Span {
        trace_id: place.trace_id.to_vec(),
        span_id: place.span_id.to_be_bytes().to_vec(),
        parent_span_id: place.parent_span_id,
        name: operation_name(operation),
        // An operation has one kind, as in instrumented code.
        kind: [2, 3, 1, 2, 5, 4]
            .get(operation % 6)
            .copied()
            .unwrap_or_default(),
        start_time_unix_nano: start,
        // Durations spread over five decades, like real ones.
        end_time_unix_nano: start + 10u64.pow(random.u32(4..9)) * random.u64(1..10),
        attributes,
        status: failed.then(|| Status {
            message: "upstream failed".to_owned(),
            code: 2,
        }),
        ..Span::default()
    };
    extras::add(&mut span, place.span_id);
    span
}
