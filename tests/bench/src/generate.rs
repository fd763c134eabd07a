//! Realistic spans from a seed: requests as a collector's batch processor sends them, about 470 bytes and twelve attributes a span.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

/// How many services there are.
pub(crate) const SERVICES: usize = 60;
/// How many operations each service has.
const OPERATIONS: usize = 12;
/// One trace in so many carries the rare attribute.
const RARE: u64 = 5_000;
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
/// The first span's start: 2026-01-01T00:00:00Z.
const EPOCH: u64 = 1_767_225_600_000_000_000;
/// Time between the starts of two traces.
const STEP: u64 = 2_000_000;

/// The whole data set, made request by request so that it need not fit in memory.
#[derive(Debug, Clone)]
pub(crate) struct Corpus {
    seed: u64,
    spans: u64,
    request_spans: u64,
}

/// One Export and what is in it.
pub(crate) struct Request {
    /// The encoded `ExportTraceServiceRequest`.
    pub(crate) bytes: bytes::Bytes,
    /// How many spans it holds.
    pub(crate) spans: u64,
}

impl Corpus {
    /// `spans` in requests of `request_spans`.
    pub(crate) fn new(seed: u64, spans: u64, request_spans: u64) -> Self {
        Self {
            seed,
            spans,
            request_spans: request_spans.max(1),
        }
    }

    /// How many requests there are.
    pub(crate) fn requests(&self) -> u64 {
        self.spans.div_ceil(self.request_spans)
    }

    /// The earliest and latest start of a span, with room to spare.
    pub(crate) fn window(&self) -> (u64, u64) {
        (EPOCH, EPOCH + self.spans * STEP + 60_000_000_000)
    }

    /// Request number `index`, the same at every call.
    pub(crate) fn request(&self, index: u64) -> Request {
        let mut random =
            fastrand::Rng::with_seed(self.seed ^ (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let wanted = self
            .request_spans
            .min(self.spans - index * self.request_spans);
        let mut by_service: Vec<Vec<Span>> = vec![Vec::new(); SERVICES];
        let mut made = 0;
        let mut trace = 0;
        while made < wanted {
            let number = index * self.request_spans + trace;
            made += self.trace(&mut random, number, wanted - made, &mut by_service);
            trace += 1;
        }
        let resource_spans = by_service
            .into_iter()
            .enumerate()
            .filter(|(_, spans)| !spans.is_empty())
            .map(|(service, spans)| resource_spans(service, spans))
            .collect();
        let request = ExportTraceServiceRequest { resource_spans };
        Request {
            bytes: request.encode_to_vec().into(),
            spans: made,
        }
    }

    /// The id of trace number `number`.
    pub(crate) fn trace_id(&self, number: u64) -> [u8; 16] {
        let mut random = fastrand::Rng::with_seed(
            self.seed
                .wrapping_add(number)
                .wrapping_mul(0xD134_2543_DE82_EF95),
        );
        random.u128(1..).to_be_bytes()
    }

    fn trace(
        &self,
        random: &mut fastrand::Rng,
        number: u64,
        most: u64,
        by_service: &mut [Vec<Span>],
    ) -> u64 {
        let trace_id = self.trace_id(number).to_vec();
        let count = random.u64(2..=12).min(most);
        let mut start = EPOCH + number * STEP + random.u64(0..STEP);
        let mut parents: Vec<(Vec<u8>, usize)> = Vec::new();
        for place in 0..count {
            let (parent, service) = if parents.is_empty() {
                (Vec::new(), random.usize(0..SERVICES))
            } else {
                let (id, service) = parents
                    .get(random.usize(0..parents.len()))
                    .cloned()
                    .unwrap_or_default();
                (
                    id,
                    if random.u8(0..3) == 0 {
                        (service * 7 + 1 + random.usize(0..3)) % SERVICES
                    } else {
                        service
                    },
                )
            };
            start += random.u64(1_000..400_000);
            let span_id = random.u64(1..).to_be_bytes().to_vec();
            let rare = place == 0 && number.is_multiple_of(RARE);
            let span = span(random, &trace_id, span_id.clone(), parent, start, rare);
            parents.push((span_id, service));
            if let Some(spans) = by_service.get_mut(service) {
                spans.push(span);
            }
        }
        count
    }
}

/// The name of service number `service`.
pub(crate) fn service_name(service: usize) -> String {
    format!(
        "{}-service-{service:02}",
        pick(
            ["cart", "checkout", "payment", "catalog", "search"],
            service
        )
    )
}

/// The name of operation number `operation`.
pub(crate) fn operation_name(operation: usize) -> String {
    format!(
        "{} /api/v1/{}/{{id}}",
        pick(METHODS, operation),
        pick(["items", "orders", "users", "carts"], operation)
    )
}

fn pick<const N: usize>(words: [&'static str; N], number: usize) -> &'static str {
    words.get(number % N).copied().unwrap_or_default()
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of the field")]
fn text(value: impl Into<String>) -> Option<AnyValue> {
    Some(AnyValue {
        value: Some(any_value::Value::StringValue(value.into())),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of the field")]
fn int(value: i64) -> Option<AnyValue> {
    Some(AnyValue {
        value: Some(any_value::Value::IntValue(value)),
    })
}

fn attribute(key: &str, value: Option<AnyValue>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    }
}

fn resource_spans(service: usize, spans: Vec<Span>) -> ResourceSpans {
    let resource = Resource {
        attributes: vec![
            attribute("service.name", text(service_name(service))),
            attribute("service.namespace", text("shop")),
            attribute("service.version", text(format!("1.{}.0", service % 9))),
            attribute(
                "service.instance.id",
                text(format!(
                    "pod-{service:02}-7c9f8d6b5-x{:03}",
                    service * 31 % 997
                )),
            ),
            attribute("deployment.environment.name", text("production")),
            attribute("telemetry.sdk.language", text("go")),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp".to_owned(),
        version: "0.61.0".to_owned(),
        ..InstrumentationScope::default()
    };
    ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans {
            scope: Some(scope),
            spans,
            schema_url: String::new(),
        }],
        schema_url: "https://opentelemetry.io/schemas/1.26.0".to_owned(),
    }
}

fn span(
    random: &mut fastrand::Rng,
    trace_id: &[u8],
    span_id: Vec<u8>,
    parent_span_id: Vec<u8>,
    start: u64,
    rare: bool,
) -> Span {
    let operation = random.usize(0..OPERATIONS);
    let failed = random.u8(0..50) == 0;
    let status = if failed {
        500
    } else {
        200 + i64::from(random.u8(0..4))
    };
    let mut attributes = vec![
        attribute("http.request.method", text(pick(METHODS, operation))),
        attribute("http.response.status_code", int(status)),
        attribute("http.route", text(operation_name(operation))),
        attribute(
            "url.path",
            text(format!("/api/v1/items/{}", random.u32(0..100_000))),
        ),
        attribute("server.address", text("api.shop.example.com")),
        attribute("server.port", int(8080)),
        attribute(
            "client.address",
            text(format!(
                "10.{}.{}.{}",
                random.u8(0..4),
                random.u8(..),
                random.u8(..)
            )),
        ),
        attribute(
            "user_agent.original",
            text("Mozilla/5.0 (X11; Linux x86_64) shop/2.1"),
        ),
        attribute("network.protocol.version", text("1.1")),
        attribute(
            "enduser.id",
            text(format!("user-{:05}", random.u32(0..20_000))),
        ),
        attribute("thread.id", int(i64::from(random.u8(1..64)))),
        attribute(
            "cache.hit",
            Some(AnyValue {
                value: Some(any_value::Value::BoolValue(random.bool())),
            }),
        ),
    ];
    if rare {
        attributes.push(attribute("feature.flag", text("beta-checkout")));
    }
    Span {
        trace_id: trace_id.to_vec(),
        span_id,
        parent_span_id,
        name: operation_name(operation),
        // An operation has one kind, as instrumented code does.
        kind: [2, 3, 1, 2, 5, 4]
            .get(operation % 6)
            .copied()
            .unwrap_or_default(),
        start_time_unix_nano: start,
        // Durations spread over five decades, as real ones do.
        end_time_unix_nano: start + 10u64.pow(random.u32(4..9)) * random.u64(1..10),
        attributes,
        status: failed.then(|| Status {
            message: "upstream failed".to_owned(),
            code: 2,
        }),
        ..Span::default()
    }
}
