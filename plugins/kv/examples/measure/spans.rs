//! Traces like those of the benchmark program: about 500 bytes and twelve attributes a span, seven spans a trace.

use std::collections::{BTreeSet, HashMap};

use larder_plugin::terms::{self, Level, StatusCode};
use larder_plugin::testing::{FragmentBuilder, fragment};
use larder_plugin::{SpanKind, Term};

const SERVICES: u64 = 60;
const OPERATIONS: u64 = 12;
const EPOCH: u64 = 1_767_225_600_000_000_000;
/// From one trace's start to the next's.
const STEP: u64 = 2_000_000;
/// One trace in so many has the rare attribute.
pub(crate) const RARE: u64 = 5_000;

/// Numbers without end.
pub(crate) struct Random(pub(crate) u64);

struct Span {
    id: u64,
    parent: Option<u64>,
    service: u64,
    name: String,
    kind: SpanKind,
    start: u64,
    nanos: u64,
    failed: bool,
    attributes: Vec<(&'static str, String)>,
}

/// The id of a trace by its number.
pub(crate) fn trace_id(number: u64) -> u128 {
    let mut random = Random(number.wrapping_mul(0xd134_2543_de82_ef95));
    u128::from(random.next()) << 64 | u128::from(random.next())
}

/// One trace's fragment, and how many spans it has.
pub(crate) fn trace(number: u64) -> (FragmentBuilder, u64) {
    let mut random = Random(number + 1);
    let count = random.below(11) + 2;
    let mut start = EPOCH + number * STEP + random.below(STEP);
    let mut spans: Vec<Span> = Vec::new();
    for place in 0..count {
        let above = spans.get(usize::try_from(random.below(place.max(1))).unwrap_or(0));
        let parent = above.map(|it| it.id);
        let service = match above.map(|it| it.service) {
            None => random.below(SERVICES),
            Some(service) if random.below(3) == 0 => (service * 7 + 1 + random.below(3)) % SERVICES,
            Some(service) => service,
        };
        start += random.below(400_000) + 1000;
        let rare = place == 0 && number.is_multiple_of(RARE);
        spans.push(span(&mut random, service, parent, start, rare));
    }
    let id = trace_id(number);
    let starts = spans.iter().map(|it| it.start);
    let durations = spans.iter().map(|it| it.nanos);
    let mut built = fragment(id)
        .starts(
            EPOCH.max(starts.clone().min().unwrap_or(0)),
            starts.max().unwrap_or(0),
        )
        .durations(
            durations.clone().min().unwrap_or(0),
            durations.max().unwrap_or(0),
        )
        .spans(u32::try_from(count).unwrap_or(1))
        .terms(terms_of(&spans))
        .digest(digest(&spans))
        .otlp(otlp(id, &spans));
    for span in &spans {
        built = built.operation(&service_name(span.service), &span.name, span.kind);
    }
    (built, count)
}

pub(crate) fn service_name(service: u64) -> String {
    let kinds = ["cart", "checkout", "payment", "catalog", "search"];
    format!("{}-service-{service:02}", of(&kinds, service))
}

pub(crate) fn operation_name(operation: u64) -> String {
    let method = of(&["GET", "POST", "PUT"], operation);
    let what = of(&["items", "orders", "users", "carts"], operation);
    format!("{method} /api/v1/{what}/{{id}}")
}

fn of(words: &[&'static str], number: u64) -> &'static str {
    let place = usize::try_from(number).unwrap_or(0) % words.len();
    words.get(place).copied().unwrap_or_default()
}

fn span(random: &mut Random, service: u64, parent: Option<u64>, start: u64, rare: bool) -> Span {
    let operation = random.below(OPERATIONS);
    let failed = random.below(50) == 0;
    let status = if failed { 500 } else { 200 + random.below(4) };
    let b = |random: &mut Random, n| random.below(n);
    let mut attributes = vec![
        (
            "http.request.method",
            of(&["GET", "POST", "PUT"], operation).to_owned(),
        ),
        ("http.response.status_code", status.to_string()),
        ("http.route", operation_name(operation)),
        ("url.path", format!("/api/v1/items/{}", b(random, 100_000))),
        ("server.address", "api.shop.example.com".to_owned()),
        ("server.port", "8080".to_owned()),
        (
            "client.address",
            format!("10.{}.{}.{}", b(random, 4), b(random, 256), b(random, 256)),
        ),
        (
            "user_agent.original",
            "Mozilla/5.0 (X11; Linux x86_64) shop/2.1".to_owned(),
        ),
        ("network.protocol.version", "1.1".to_owned()),
        ("enduser.id", format!("user-{:05}", b(random, 20_000))),
        ("thread.id", (1 + b(random, 63)).to_string()),
        ("cache.hit", (b(random, 2) == 0).to_string()),
    ];
    if rare {
        attributes.push(("feature.flag", "beta-checkout".to_owned()));
    }
    let kinds = [SpanKind::Server, SpanKind::Client, SpanKind::Internal];
    let kind = kinds
        .get(usize::try_from(operation % 3).unwrap_or(0))
        .copied();
    let scale = u32::try_from(random.below(5)).unwrap_or(0) + 4;
    Span {
        id: random.next(),
        parent,
        service,
        name: operation_name(operation),
        kind: kind.unwrap_or(SpanKind::Unspecified),
        start,
        nanos: 10_u64.pow(scale) * (1 + random.below(9)),
        failed,
        attributes,
    }
}

fn resource(service: u64) -> Vec<(&'static str, String)> {
    vec![
        ("service.name", service_name(service)),
        ("service.namespace", "shop".to_owned()),
        ("service.version", format!("1.{}.0", service % 9)),
        (
            "service.instance.id",
            format!("pod-{service:02}-7c9f8d6b5-x{:03}", service * 31 % 997),
        ),
        ("deployment.environment.name", "production".to_owned()),
        ("telemetry.sdk.language", "go".to_owned()),
    ]
}

const SCOPE: &str = "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp";

fn terms_of(spans: &[Span]) -> BTreeSet<Term> {
    let mut all = BTreeSet::new();
    all.extend([terms::scope_name(SCOPE), terms::scope_version("0.61.0")]);
    for span in spans {
        let service = service_name(span.service);
        let status = if span.failed {
            StatusCode::Error
        } else {
            StatusCode::Unset
        };
        all.extend([
            terms::service(&service),
            terms::span_name(&span.name),
            terms::service_and_span_name(&service, &span.name),
            terms::kind(span.kind),
            terms::status(status),
        ]);
        if span.failed {
            all.insert(terms::service_with_error(&service));
        }
        let resource = resource(span.service);
        let levels = [
            (Level::Span, &span.attributes),
            (Level::Resource, &resource),
        ];
        for (level, attributes) in levels {
            for (key, value) in attributes {
                all.insert(terms::attribute_present(level, key));
                all.insert(terms::attribute(level, key, value));
            }
        }
    }
    all
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn bytes(out: &mut Vec<u8>, tag: u64, value: &[u8]) {
    varint(out, tag << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn fixed(out: &mut Vec<u8>, tag: u64, value: u64) {
    varint(out, tag << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn attributes(out: &mut Vec<u8>, tag: u64, attributes: &[(&str, String)]) {
    for (key, value) in attributes {
        let (mut one, mut any) = (Vec::new(), Vec::new());
        bytes(&mut any, 1, value.as_bytes());
        bytes(&mut one, 1, key.as_bytes());
        bytes(&mut one, 2, &any);
        bytes(out, tag, &one);
    }
}

fn otlp(id: u128, spans: &[Span]) -> Vec<u8> {
    let mut services: Vec<u64> = spans.iter().map(|it| it.service).collect();
    services.sort_unstable();
    services.dedup();
    let mut out = Vec::new();
    for service in services {
        let (mut scoped, mut scope) = (Vec::new(), Vec::new());
        bytes(&mut scope, 1, SCOPE.as_bytes());
        bytes(&mut scope, 2, b"0.61.0");
        bytes(&mut scoped, 1, &scope);
        for span in spans.iter().filter(|it| it.service == service) {
            let mut one = Vec::new();
            bytes(&mut one, 1, &id.to_be_bytes());
            bytes(&mut one, 2, &span.id.to_be_bytes());
            if let Some(parent) = span.parent {
                bytes(&mut one, 4, &parent.to_be_bytes());
            }
            bytes(&mut one, 5, span.name.as_bytes());
            varint(&mut one, 6 << 3);
            varint(&mut one, span.kind as u64);
            fixed(&mut one, 7, span.start);
            fixed(&mut one, 8, span.start + span.nanos);
            attributes(&mut one, 9, &span.attributes);
            bytes(&mut scoped, 2, &one);
        }
        let (mut of_resource, mut resource_bytes) = (Vec::new(), Vec::new());
        attributes(&mut resource_bytes, 1, &resource(service));
        bytes(&mut of_resource, 1, &resource_bytes);
        bytes(&mut of_resource, 2, &scoped);
        bytes(
            &mut of_resource,
            3,
            b"https://opentelemetry.io/schemas/1.26.0",
        );
        bytes(&mut out, 1, &of_resource);
    }
    out
}

fn digest(spans: &[Span]) -> Vec<u8> {
    let mut strings: HashMap<String, u64> = HashMap::new();
    let (mut names, mut rest) = (Vec::new(), Vec::new());
    let mut number = |string: &str| {
        let next = strings.len() as u64;
        *strings.entry(string.to_owned()).or_insert_with(|| {
            varint(&mut names, string.len() as u64);
            names.extend_from_slice(string.as_bytes());
            next
        })
    };
    let mut before = 0;
    for span in spans {
        rest.push(u8::from(span.parent.is_some()) << 5 | span.kind as u8);
        rest.extend_from_slice(&span.id.to_be_bytes());
        rest.extend(span.parent.iter().flat_map(|it| it.to_be_bytes()));
        varint(&mut rest, (span.start - before) << 1);
        varint(&mut rest, span.nanos);
        varint(&mut rest, number(&service_name(span.service)));
        varint(&mut rest, number(&span.name));
        before = span.start;
    }
    let mut out = vec![1];
    varint(&mut out, strings.len() as u64);
    out.extend(names);
    varint(&mut out, spans.len() as u64);
    out.extend(rest);
    out
}

// === impl Random ===

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
