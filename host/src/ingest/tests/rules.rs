//! Each rule of ingest by an example.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;

use super::{LIMITS, fragments};
use crate::digest::{self, Parent};
use crate::ingest::{Ingest, Ingested, Limits};
use crate::storage::TraceId;
use crate::terms::{AttributeKey, Level};

fn text(text: impl Into<String>) -> Option<AnyValue> {
    let value = Some(Value::StringValue(text.into()));
    Some(AnyValue { value })
}

fn attribute(key: &str, value: Option<AnyValue>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    }
}

fn span(trace: u8, id: u8) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        name: format!("span {id}"),
        ..Span::default()
    }
}

fn scope_spans(name: &str, spans: Vec<Span>) -> ScopeSpans {
    ScopeSpans {
        scope: Some(InstrumentationScope {
            name: name.to_owned(),
            ..InstrumentationScope::default()
        }),
        spans,
        schema_url: format!("schema of {name}"),
    }
}

fn resource_spans(service: &str, scope_spans: Vec<ScopeSpans>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![attribute("service.name", text(service))],
            ..Resource::default()
        }),
        scope_spans,
        schema_url: format!("schema of {service}"),
    }
}

fn request(resource_spans: Vec<ResourceSpans>) -> Vec<u8> {
    TracesData { resource_spans }.encode_to_vec()
}

fn shop(spans: Vec<Span>) -> Vec<u8> {
    request(vec![resource_spans(
        "shop",
        vec![scope_spans("lib", spans)],
    )])
}

fn walk(request: &[u8]) -> Ingested {
    Ingest::new(LIMITS).walk(request).unwrap()
}

/// What is stored of a request, decoded fragment by fragment.
fn stored(ingested: &Ingested) -> Vec<TracesData> {
    fragments(ingested)
        .iter()
        .map(|fragment| TracesData::decode(fragment.otlp).unwrap())
        .collect()
}

/// Replaces the text `from` by bytes of the same length.
fn replace(bytes: &[u8], from: &[u8; 4], to: &[u8; 4]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    for at in 0..bytes.len() - 3 {
        if bytes[at..at + 4] == *from {
            bytes[at..at + 4].copy_from_slice(to);
            found += 1;
        }
    }
    assert_eq!(found, 1, "the text is there once");
    bytes
}

#[test]
fn each_trace_has_a_fragment_of_its_own() {
    let ingested = walk(&shop(vec![span(2, 1), span(1, 2), span(2, 3)]));
    let ids: Vec<_> = fragments(&ingested)
        .iter()
        .map(|fragment| (fragment.facts.trace_id, fragment.facts.span_count))
        .collect();
    let id = |byte| TraceId(u128::from_be_bytes([byte; 16]));
    assert_eq!(ids, [(id(2), 2), (id(1), 1)]);
    assert_eq!(ingested.spans, 3);
    assert!(ingested.refused.is_empty());
}

#[test]
fn consecutive_spans_of_one_scope_share_its_header() {
    let sent = vec![
        resource_spans(
            "shop",
            vec![
                scope_spans("a", vec![span(1, 1), span(2, 9), span(1, 2)]),
                scope_spans("b", vec![span(1, 3)]),
            ],
        ),
        resource_spans("shop", vec![scope_spans("b", vec![span(1, 4)])]),
        resource_spans("cart", vec![scope_spans("a", vec![span(1, 5)])]),
        resource_spans("shop", vec![scope_spans("b", vec![span(1, 6)])]),
    ];
    let wanted = TracesData {
        resource_spans: vec![
            resource_spans(
                "shop",
                vec![
                    scope_spans("a", vec![span(1, 1), span(1, 2)]),
                    scope_spans("b", vec![span(1, 3), span(1, 4)]),
                ],
            ),
            resource_spans("cart", vec![scope_spans("a", vec![span(1, 5)])]),
            resource_spans("shop", vec![scope_spans("b", vec![span(1, 6)])]),
        ],
    };
    assert_eq!(stored(&walk(&request(sent)))[0], wanted);
}

#[test]
fn an_empty_request_makes_no_batch() {
    assert!(walk(b"").batches.is_empty());
    assert!(walk(&shop(vec![])).batches.is_empty());
    assert!(walk(&shop(vec![Span::default()])).batches.is_empty());
}

#[test]
fn spans_without_proper_ids_are_refused_alone() {
    let with = |trace_id: &[u8], span_id: &[u8]| Span {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        name: "odd".to_owned(),
        ..Span::default()
    };
    let ingested = walk(&shop(vec![
        with(&[1; 15], &[1; 8]),
        span(1, 1),
        with(&[0; 16], &[1; 8]),
        with(&[1; 17], &[0; 8]),
        with(&[], &[]),
        with(&[1; 16], &[0; 8]),
        with(&[1; 16], &[1; 9]),
    ]));
    assert_eq!(ingested.spans, 1);
    assert_eq!(ingested.refused.total(), 6);
    assert_eq!(
        ingested.refused.to_string(),
        "refused 4 spans with a trace id that is not 16 bytes or all zero, \
         2 spans with a span id that is not 8 bytes or all zero; \
         the first: span 0 of the request (name \"odd\", trace id 010101010101010101010101010101, \
         span id 0101010101010101) has a trace id that is not 16 bytes or all zero in it"
    );
}

#[test]
fn a_bad_string_anywhere_in_a_span_refuses_that_span() {
    let nested = |value: Value| Some(AnyValue { value: Some(value) });
    let bad = || text("bad!");
    let array = |value| {
        let values = vec![AnyValue::default(), value];
        nested(Value::ArrayValue(
            opentelemetry_proto::tonic::common::v1::ArrayValue { values },
        ))
    };
    let map = |key: &str, value| {
        let values = vec![attribute(key, value)];
        nested(Value::KvlistValue(
            opentelemetry_proto::tonic::common::v1::KeyValueList { values },
        ))
    };
    let event = |event: Event| Span {
        events: vec![event],
        ..span(1, 1)
    };
    let link = |link: Link| Span {
        links: vec![link],
        ..span(1, 1)
    };
    let with_value = |value| Span {
        attributes: vec![attribute("k", value)],
        ..span(1, 1)
    };
    let status = opentelemetry_proto::tonic::trace::v1::Status {
        message: "bad!".to_owned(),
        code: 2,
    };
    let cases = [
        Span {
            name: "bad!".to_owned(),
            ..span(1, 1)
        },
        Span {
            trace_state: "bad!".to_owned(),
            ..span(1, 1)
        },
        Span {
            status: Some(status),
            ..span(1, 1)
        },
        Span {
            attributes: vec![attribute("bad!", None)],
            ..span(1, 1)
        },
        with_value(bad()),
        with_value(array(bad().unwrap())),
        with_value(array(array(bad().unwrap()).unwrap())),
        with_value(map("bad!", None)),
        with_value(map("k", bad())),
        with_value(map("k", array(bad().unwrap()))),
        event(Event {
            name: "bad!".to_owned(),
            ..Event::default()
        }),
        event(Event {
            attributes: vec![attribute("bad!", None)],
            ..Event::default()
        }),
        link(Link {
            trace_state: "bad!".to_owned(),
            ..Link::default()
        }),
        link(Link {
            attributes: vec![attribute("k", bad())],
            ..Link::default()
        }),
    ];
    for case in cases {
        let good = shop(vec![span(1, 7), case.clone(), span(1, 8)]);
        assert_eq!(walk(&good).spans, 3);
        let ingested = walk(&replace(&good, b"bad!", b"\xffad!"));
        assert_eq!(ingested.spans, 2, "{case:?}");
        let text = ingested.refused.to_string();
        assert!(
            text.contains("1 span with a string that is not valid UTF-8"),
            "{text}"
        );
        assert!(text.ends_with("that is not valid UTF-8 in it"), "{text}");
    }
}

#[test]
fn a_bad_string_in_a_header_refuses_the_spans_under_it() {
    let scope = |scope: InstrumentationScope| ScopeSpans {
        scope: Some(scope),
        ..scope_spans("lib", vec![span(1, 1), span(1, 2)])
    };
    let in_scope = |scope_spans| {
        let good = self::scope_spans("lib", vec![span(1, 3)]);
        resource_spans("shop", vec![scope_spans, good])
    };
    let in_resource = |resource: Resource| ResourceSpans {
        resource: Some(resource),
        ..resource_spans(
            "shop",
            vec![scope_spans("lib", vec![span(1, 1), span(1, 2)])],
        )
    };
    let entity = opentelemetry_proto::tonic::common::v1::EntityRef {
        id_keys: vec!["bad!".to_owned()],
        ..Default::default()
    };
    let two = || vec![scope_spans("lib", vec![span(1, 1), span(1, 2)])];
    let cases = [
        (
            in_scope(scope_spans("bad!", vec![span(1, 1), span(1, 2)])),
            "its scope",
        ),
        (
            in_scope(scope(InstrumentationScope {
                version: "bad!".to_owned(),
                ..Default::default()
            })),
            "its scope",
        ),
        (
            in_scope(scope(InstrumentationScope {
                attributes: vec![attribute("bad!", None)],
                ..Default::default()
            })),
            "its scope",
        ),
        (
            in_scope(ScopeSpans {
                schema_url: "bad!".to_owned(),
                ..scope(InstrumentationScope::default())
            }),
            "its scope",
        ),
        (resource_spans("bad!", two()), "its resource"),
        (
            in_resource(Resource {
                attributes: vec![attribute("k", text("bad!"))],
                ..Resource::default()
            }),
            "its resource",
        ),
        (
            in_resource(Resource {
                entity_refs: vec![entity],
                ..Resource::default()
            }),
            "its resource",
        ),
        (
            ResourceSpans {
                schema_url: "bad!".to_owned(),
                ..resource_spans("shop", two())
            },
            "its resource",
        ),
    ];
    for (case, place) in cases {
        let mut case = case;
        // The same name twice is once too often for `replace`.
        if case.scope_spans[0].schema_url == "schema of bad!" {
            case.scope_spans[0].schema_url.clear();
        }
        if case.schema_url == "schema of bad!" {
            case.schema_url.clear();
        }
        let good = resource_spans("cart", vec![scope_spans("lib", vec![span(1, 9)])]);
        let sent = request(vec![case.clone(), good]);
        let all = walk(&sent).spans;
        let ingested = walk(&replace(&sent, b"bad!", b"\xffad!"));
        assert_eq!(ingested.refused.total(), 2, "{case:?}");
        assert_eq!(ingested.spans, all - 2);
        let text = ingested.refused.to_string();
        assert!(text.ends_with(place), "{text}");
    }
}

#[test]
fn a_span_that_fits_no_message_is_refused() {
    let limits = Limits {
        max_message_bytes: 1000,
        ..LIMITS
    };
    let with_length = |length: usize| {
        shop(vec![Span {
            name: "n".repeat(length),
            ..span(1, 1)
        }])
    };
    let overhead = with_length(900).len() - 900;
    let spans = |length| {
        let request = with_length(length);
        let ingested = Ingest::new(limits).walk(&request).unwrap();
        (request.len(), ingested.spans, ingested.refused.total())
    };
    assert_eq!(spans(1000 - overhead), (1000, 1, 0));
    assert_eq!(spans(1001 - overhead), (1001, 0, 1));
}

#[test]
fn fragments_are_cut_below_their_limit() {
    let limits = Limits {
        max_fragment_bytes: 10_000,
        ..LIMITS
    };
    let large = |id: u8, length: usize| Span {
        name: "n".repeat(length),
        ..span(1, id)
    };
    let mut spans: Vec<_> = (1..=100).map(|id| large(id, 300)).collect();
    spans.push(large(101, 20_000));
    spans.push(span(1, 102));
    let ingested = Ingest::new(limits).walk(&shop(spans.clone())).unwrap();
    let lengths: Vec<_> = fragments(&ingested)
        .iter()
        .map(|fragment| (fragment.facts.span_count, fragment.otlp.len()))
        .collect();
    // Filled as far as they go, the large one alone, and the rest.
    assert_eq!(lengths.iter().map(|(count, _)| count).sum::<u32>(), 102);
    assert_eq!(lengths.len(), 6);
    for (count, length) in &lengths[..3] {
        assert!(
            *count > 20 && (9_500..=10_000).contains(length),
            "{lengths:?}"
        );
    }
    assert_eq!(lengths[4].0, 1);
    assert!(lengths[4].1 > 20_000);
    let stored: Vec<_> = stored(&ingested)
        .into_iter()
        .flat_map(|traces| traces.resource_spans[0].scope_spans[0].spans.clone())
        .collect();
    assert_eq!(stored, spans);
}

#[test]
fn batches_are_cut_at_their_limit() {
    let limits = Limits {
        max_batch_bytes: 20_000,
        ..LIMITS
    };
    let spans = (1..=200)
        .map(|id| Span {
            name: "n".repeat(500),
            ..span(id, id)
        })
        .collect();
    let ingested = Ingest::new(limits).walk(&shop(spans)).unwrap();
    assert!(ingested.batches.len() > 4);
    let fragments: usize = ingested
        .batches
        .iter()
        .map(crate::storage::Batch::len)
        .sum();
    assert_eq!(fragments, 200);
    for batch in &ingested.batches {
        assert!(batch.weight() < 22_000, "{}", batch.weight());
        // Every batch lists the operation it has, and its fragments name it.
        assert_eq!(batch.operations().len(), 1);
        assert!(batch.fragments().all(|fragment| fragment.operations == [0]));
    }
}

#[test]
fn a_large_resource_is_not_repeated_without_end() {
    let limits = Limits {
        max_batch_bytes: 10_000,
        ..LIMITS
    };
    let mut sent = resource_spans(&"s".repeat(5000), vec![]);
    sent.scope_spans = vec![scope_spans(
        "lib",
        (1..=250).map(|id| span(id, id)).collect(),
    )];
    let ingested = Ingest::new(limits).walk(&request(vec![sent])).unwrap();
    let stored: usize = fragments(&ingested).iter().map(|f| f.otlp.len()).sum();
    assert!(stored < 32 * 10_000 + 12_000, "{stored}");
    assert!(ingested.spans > 25);
    assert_eq!(ingested.spans + ingested.refused.total(), 250);
    let text = ingested.refused.to_string();
    assert!(text.contains("repeated for each of its traces"), "{text}");
}

#[test]
fn a_malformed_request_says_where() {
    let mut broken = shop(vec![span(1, 1)]);
    let at = broken.len();
    broken.extend(b"\x0a\x04\x12\x02\x12\x05");
    let error = Ingest::new(LIMITS).walk(&broken).unwrap_err();
    assert_eq!(error.offset(), at + 6);
    assert_eq!(
        error.to_string(),
        format!(
            "the request is not a valid ExportTraceServiceRequest: a field is cut off at byte {}",
            at + 6
        )
    );
}

#[test]
fn ingest_goes_on_after_a_malformed_request() {
    let mut ingest = Ingest::new(LIMITS);
    let request = shop(vec![span(1, 1)]);
    assert!(ingest.walk(&request[..request.len() - 1]).is_err());
    let ingested = ingest.walk(&request).unwrap();
    assert_eq!(
        stored(&ingested),
        [TracesData::decode(&request[..]).unwrap()]
    );
}

#[test]
fn odd_parents_and_links_are_kept() {
    let odd = Span {
        parent_span_id: vec![7; 3],
        links: vec![Link {
            trace_id: vec![9; 2],
            span_id: vec![8; 30],
            ..Link::default()
        }],
        ..span(1, 1)
    };
    let sent = shop(vec![odd]);
    let ingested = walk(&sent);
    let fragments = fragments(&ingested);
    assert_eq!(stored(&ingested), [TracesData::decode(&sent[..]).unwrap()]);
    let digest = digest::decode(fragments[0].digest).unwrap();
    let span = digest.spans().next().unwrap().unwrap();
    assert_eq!(span.parent, Parent::Odd);
}

#[test]
fn a_span_without_a_service_has_no_operation() {
    let mut sent = resource_spans("", vec![scope_spans("lib", vec![span(1, 1)])]);
    for resource in [sent.resource.take(), None] {
        sent.resource = resource;
        let ingested = walk(&request(vec![sent.clone()]));
        assert!(ingested.batches[0].operations().is_empty());
        assert!(fragments(&ingested)[0].operations.is_empty());
    }
}

#[test]
fn the_service_may_stand_behind_the_spans() {
    let with_service = resource_spans("shop", vec![]).encode_to_vec();
    let mut without = resource_spans("", vec![scope_spans("lib", vec![span(1, 1)])]);
    without.resource = None;
    let joined = [without.encode_to_vec(), with_service].concat();
    let mut sent = vec![0x0a];
    prost::encoding::encode_varint(joined.len() as u64, &mut sent);
    sent.extend(joined);
    let ingested = walk(&sent);
    assert_eq!(ingested.batches[0].operations()[0].service, "shop");
}

#[test]
fn ends_before_starts_count_as_no_duration() {
    let timed = |id, start, end| Span {
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..span(1, id)
    };
    let ingested = walk(&shop(vec![
        timed(1, 100, 40),
        timed(2, 90, 290),
        timed(3, 95, 96),
    ]));
    let facts = fragments(&ingested)[0].facts;
    assert_eq!((facts.starts.start, facts.starts.end), (90, 100));
    assert_eq!(
        (facts.durations.shortest, facts.durations.longest),
        (0, 200)
    );
}

#[test]
fn attributes_of_equal_bytes_keep_their_levels_apart() {
    let same = || vec![attribute("k", text("v"))];
    let at_span = Span {
        attributes: same(),
        ..span(1, 1)
    };
    let at_event = Span {
        events: vec![Event {
            attributes: same(),
            ..Event::default()
        }],
        ..span(2, 2)
    };
    let ingested = walk(&shop(vec![at_span, at_event]));
    let levels: Vec<_> = fragments(&ingested)
        .iter()
        .map(|fragment| {
            let has = |level| {
                let term = AttributeKey::new(level, b"k").with_value(b"v");
                fragment.terms.contains(&term)
            };
            (has(Level::Span), has(Level::Event))
        })
        .collect();
    assert_eq!(levels, [(true, false), (false, true)]);
}
