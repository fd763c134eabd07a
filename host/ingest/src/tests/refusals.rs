//! Refused spans and their messages.

use larder_model::terms;
use larder_proto::testing::bytes_field;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use super::build::{attribute, request, resource_spans, scope_spans, shop, span, text, walk};
use super::{LIMITS, fragments};
use crate::{Ingest, Limits, Reason, split};

/// Replaces the text `from`, which occurs once, by bytes of the same length.
fn replace(bytes: &[u8], from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    for at in 0..bytes.len() - 3 {
        if bytes[at..at + 4] == from {
            bytes[at..at + 4].copy_from_slice(&to);
            found += 1;
        }
    }
    assert_eq!(found, 1, "the text is there once");
    bytes
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

fn with_link(trace_id: &[u8], span_id: &[u8]) -> Span {
    Span {
        links: vec![Link {
            trace_id: trace_id.to_vec(),
            span_id: span_id.to_vec(),
            ..Link::default()
        }],
        ..span(1, 1)
    }
}

fn under(parent: &[u8]) -> Span {
    Span {
        parent_span_id: parent.to_vec(),
        ..span(1, 1)
    }
}

#[test]
fn a_span_with_a_parent_or_link_that_jaeger_cannot_decode_is_refused_alone() {
    for length in 0..=40 {
        let is_refused = |span: Span, reason: Reason| {
            let ingested = walk(&shop(vec![super::build::span(1, 7), span]));
            let by_reason: Vec<_> = ingested.refused.by_reason().collect();
            match ingested.spans {
                1 => assert_eq!(by_reason, [(reason, 1)]),
                spans => assert_eq!((spans, by_reason), (2, Vec::new())),
            }
            ingested.spans == 1
        };
        for byte in [0, 1] {
            let id = vec![byte; length];
            let parent = is_refused(under(&id), Reason::ParentSpanId);
            assert_eq!(parent, ![0, 8].contains(&length));
            let trace_id = is_refused(with_link(&id, &[1; 8]), Reason::LinkId);
            assert_eq!(trace_id, ![0, 16].contains(&length));
            let span_id = is_refused(with_link(&[1; 16], &id), Reason::LinkId);
            assert_eq!(span_id, ![0, 8].contains(&length));
        }
    }
}

#[test]
fn a_refused_parent_and_a_refused_link_are_described() {
    let refused = |span: Span| walk(&shop(vec![span])).refused.to_string();
    assert_eq!(
        refused(under(&[1; 9])),
        "refused 1 span with a parent span id that is neither empty nor 8 bytes; \
         the first: span 0 of the request (name \"span 1\", trace id 01010101010101010101010101010101, \
         span id 0101010101010101) has a parent span id that is neither empty nor 8 bytes in it"
    );
    let told = "a link whose trace id is neither empty nor 16 bytes, or whose span id is neither empty nor 8 bytes";
    for span in [with_link(&[1; 8], &[]), with_link(&[], &[1; 4])] {
        let text = refused(span);
        assert!(
            text.starts_with(&format!("refused 1 span with {told};")),
            "{text}"
        );
    }
}

/// A request of these encoded spans.
fn encoded(spans: &[Vec<u8>]) -> Vec<u8> {
    let spans: Vec<u8> = spans.iter().flat_map(|span| bytes_field(2, span)).collect();
    bytes_field(1, &bytes_field(2, &spans))
}

#[test]
fn an_id_that_a_later_one_replaces_has_to_be_decodable_too() {
    let good = span(1, 1).encode_to_vec();
    for (number, reason) in [
        (1, Reason::TraceId),
        (2, Reason::SpanId),
        (4, Reason::ParentSpanId),
    ] {
        let mut ends = bytes_field(number, &[1; 3]);
        ends.extend(bytes_field(
            number,
            &vec![1; if number == 1 { 16 } else { 8 }],
        ));
        let bad = [&bytes_field(number, &[1; 3])[..], &good, &ends].concat();
        let ingested = walk(&encoded(&[bad, good.clone()]));
        let by_reason: Vec<_> = ingested.refused.by_reason().collect();
        assert_eq!((ingested.spans, by_reason), (1, vec![(reason, 1)]));
    }
    let link = [bytes_field(1, &[1; 8]), bytes_field(1, &[1; 16])].concat();
    let ingested = walk(&encoded(&[[good, bytes_field(13, &link)].concat()]));
    let by_reason: Vec<_> = ingested.refused.by_reason().collect();
    assert_eq!(by_reason, [(Reason::LinkId, 1)]);
}

/// A group numbered 1001, with a varint in it.
const GROUP: &[u8] = b"\xcb\x3e\x08\x01\xcc\x3e";

#[test]
fn a_group_refuses_the_spans_inside_and_around_it() {
    let good = span(1, 1).encode_to_vec();
    let with = |more: Vec<u8>| [good.clone(), more].concat();
    for bad in [
        GROUP.to_vec(),
        bytes_field(9, GROUP),
        bytes_field(9, &bytes_field(2, GROUP)),
        bytes_field(11, GROUP),
        bytes_field(11, &bytes_field(3, GROUP)),
        bytes_field(13, GROUP),
        bytes_field(13, &bytes_field(4, GROUP)),
        bytes_field(15, GROUP),
    ] {
        // Twice, because a repeated header is parsed only once.
        let ingested = walk(&encoded(&[with(bad.clone()), good.clone(), with(bad)]));
        assert_eq!(ingested.spans, 1);
        let text = ingested.refused.to_string();
        assert!(
            text.starts_with("refused 2 spans with a field that Jaeger cannot decode;"),
            "{text}"
        );
        assert!(text.ends_with("in it"), "{text}");
    }
    let scope = [bytes_field(2, &good), bytes_field(2, &good)].concat();
    let in_scope =
        |header: Vec<u8>| bytes_field(1, &bytes_field(2, &[header, scope.clone()].concat()));
    let in_resource = |header: Vec<u8>| bytes_field(1, &[header, bytes_field(2, &scope)].concat());
    for (bad, place) in [
        (in_scope(GROUP.to_vec()), "its scope"),
        (in_scope(bytes_field(1, GROUP)), "its scope"),
        (
            in_scope(bytes_field(1, &bytes_field(3, GROUP))),
            "its scope",
        ),
        (in_resource(GROUP.to_vec()), "its resource"),
        (in_resource(bytes_field(1, GROUP)), "its resource"),
        (
            in_resource(bytes_field(1, &bytes_field(1, GROUP))),
            "its resource",
        ),
        (
            in_resource(bytes_field(1, &bytes_field(3, GROUP))),
            "its resource",
        ),
    ] {
        let ingested = walk(&[bad, encoded(std::slice::from_ref(&good))].concat());
        let by_reason: Vec<_> = ingested.refused.by_reason().collect();
        assert_eq!(
            (ingested.spans, by_reason),
            (1, vec![(Reason::Undecodable, 2)])
        );
        let text = ingested.refused.to_string();
        assert!(text.ends_with(place), "{text}");
    }
}

/// A value of `levels` maps or arrays within each other, encoded.
fn nested(levels: usize, is_map: bool) -> Vec<u8> {
    (0..levels).fold(bytes_field(1, b"core"), |value, _| {
        if is_map {
            bytes_field(6, &bytes_field(1, &bytes_field(2, &value)))
        } else {
            bytes_field(5, &bytes_field(1, &value))
        }
    })
}

#[test]
fn a_value_of_more_than_64_levels_refuses_the_spans_that_hold_it() {
    let good = span(1, 1).encode_to_vec();
    let two = [bytes_field(2, &good), bytes_field(2, &good)].concat();
    for is_map in [true, false] {
        for levels in [1, 32, 33, 48, 63, 64, 65, 66, 100, 1000] {
            let attribute = bytes_field(2, &nested(levels, is_map));
            let in_span = |more: Vec<u8>| encoded(&[[good.clone(), more].concat()]);
            let cases = [
                (in_span(bytes_field(9, &attribute)), 1, "it"),
                (
                    in_span(bytes_field(11, &bytes_field(3, &attribute))),
                    1,
                    "it",
                ),
                (
                    in_span(bytes_field(13, &bytes_field(4, &attribute))),
                    1,
                    "it",
                ),
                (
                    bytes_field(
                        1,
                        &bytes_field(
                            2,
                            &[bytes_field(1, &bytes_field(3, &attribute)), two.clone()].concat(),
                        ),
                    ),
                    2,
                    "its scope",
                ),
                (
                    bytes_field(
                        1,
                        &[
                            bytes_field(1, &bytes_field(1, &attribute)),
                            bytes_field(2, &two),
                        ]
                        .concat(),
                    ),
                    2,
                    "its resource",
                ),
            ];
            for (bad, spans, place) in cases {
                let ingested = walk(&[&bad[..], &encoded(std::slice::from_ref(&good))].concat());
                let by_reason: Vec<_> = ingested.refused.by_reason().collect();
                if levels <= 64 {
                    assert_eq!((ingested.spans, by_reason), (spans + 1, vec![]));
                    continue;
                }
                assert_eq!(by_reason, [(Reason::Nesting, spans)]);
                assert_eq!(ingested.spans, 1);
                let text = ingested.refused.to_string();
                let told = format!("a value of more than 64 nested arrays and maps in {place}");
                assert!(text.ends_with(&told), "{text}");
            }
        }
    }
}

#[test]
fn spans_in_the_old_field_are_read_where_the_new_one_is_absent() {
    let good = |id| span(1, id).encode_to_vec();
    let resource = bytes_field(1, b"");
    let scope = |id| [bytes_field(1, b""), bytes_field(2, &good(id))].concat();
    let old = bytes_field(1000, &scope(1));
    let new = bytes_field(2, &scope(2));

    let ingested = walk(&bytes_field(1, &[&old[..], &resource].concat()));
    assert_eq!((ingested.spans, ingested.refused.total()), (1, 0));
    let migrated = bytes_field(1, &[&resource[..], &bytes_field(2, &scope(1))].concat());
    assert_eq!(fragments(&ingested)[0].otlp, migrated);

    for both in [[&old[..], &new].concat(), [&new[..], &old].concat()] {
        let ingested = walk(&bytes_field(1, &[&resource[..], &both].concat()));
        let by_reason: Vec<_> = ingested.refused.by_reason().collect();
        assert_eq!(by_reason, [(Reason::Superseded, 1)]);
        // The header does not have the old field.
        let kept = bytes_field(1, &[&resource[..], &new].concat());
        assert_eq!(fragments(&ingested)[0].otlp, kept);
        let text = ingested.refused.to_string();
        assert!(
            text.ends_with("instrumentation_library_spans beside scope_spans in its resource"),
            "{text}"
        );
    }
    // Something else in the old field is malformed like something else in the new one.
    for malformed in [&b"\xc0\x3e\x01"[..], &bytes_field(1000, b"\x12\x05")] {
        let request = bytes_field(1, &[malformed, &new].concat());
        assert!(Ingest::new(LIMITS).walk(&request).is_err());
    }
}

#[test]
fn a_bad_string_anywhere_in_a_span_is_replaced() {
    let nested = |value: Value| AnyValue { value: Some(value) };
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
        with_value(array(bad())),
        with_value(array(array(bad()))),
        with_value(map("bad!", AnyValue::default())),
        with_value(map("k", bad())),
        with_value(map("k", array(bad()))),
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
        let spoilt = replace(&good, *b"bad!", *b"\xffad!");
        check_repaired(&spoilt, 3);
    }
}

/// All spans of a request with one bad string are stored, and it is marked.
fn check_repaired(spoilt: &[u8], spans: u64) {
    let ingested = walk(spoilt);
    assert_eq!((ingested.spans, ingested.refused.total()), (spans, 0));
    let all = split(spoilt, "none", |_| 0).unwrap();
    let of_share = Ingest::new(LIMITS).walk_share(spoilt, &all[0]).unwrap();
    for ingested in [&ingested, &of_share] {
        let stored: Vec<u8> = fragments(ingested)
            .iter()
            .flat_map(|fragment| fragment.otlp.to_vec())
            .collect();
        let replaced = "\u{fffd}ad!".as_bytes();
        assert!(
            stored
                .windows(replaced.len())
                .any(|bytes| bytes == replaced)
        );
        assert_eq!(ingested.spans, spans);
    }
}

#[test]
fn a_bad_string_in_a_header_is_replaced() {
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
        in_scope(scope_spans("bad!", vec![span(1, 1), span(1, 2)])),
        in_scope(scope(InstrumentationScope {
            version: "bad!".to_owned(),
            ..Default::default()
        })),
        in_scope(scope(InstrumentationScope {
            attributes: vec![attribute("bad!", None)],
            ..Default::default()
        })),
        in_scope(ScopeSpans {
            schema_url: "bad!".to_owned(),
            ..scope(InstrumentationScope::default())
        }),
        resource_spans("bad!", two()),
        in_resource(Resource {
            attributes: vec![attribute("k", text("bad!"))],
            ..Resource::default()
        }),
        in_resource(Resource {
            entity_refs: vec![entity],
            ..Resource::default()
        }),
        ResourceSpans {
            schema_url: "bad!".to_owned(),
            ..resource_spans("shop", two())
        },
    ];
    for case in cases {
        let mut case = case;
        // `replace` needs the text to occur once.
        if case.scope_spans[0].schema_url == "schema of bad!" {
            case.scope_spans[0].schema_url.clear();
        }
        if case.schema_url == "schema of bad!" {
            case.schema_url.clear();
        }
        let good = resource_spans("cart", vec![scope_spans("lib", vec![span(1, 9)])]);
        let sent = request(vec![case.clone(), good]);
        let all = walk(&sent).spans;
        check_repaired(&replace(&sent, *b"bad!", *b"\xffad!"), all);
    }
}

#[test]
fn a_span_over_the_limit_is_refused() {
    let limits = Limits {
        max_span_bytes: 1000,
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
        let told = ingested.refused.to_string();
        let names_the_limit = told.contains("has more than 1000 bytes");
        assert_eq!(names_the_limit, ingested.spans == 0, "{told}");
        (request.len(), ingested.spans, ingested.refused.total())
    };
    assert_eq!(spans(1000 - overhead), (1000, 1, 0));
    assert_eq!(spans(1001 - overhead), (1001, 0, 1));
}

/// The spans of a trace share a large resource, which otherwise would be stored once for each.
#[test]
fn a_large_resource_is_stored_once_for_many_spans() {
    let mut sent = resource_spans(&"s".repeat(1 << 20), vec![]);
    let spans = (1..=250).map(|id| span(1, id)).collect();
    sent.scope_spans = vec![scope_spans("lib", spans)];
    let ingested = Ingest::new(LIMITS).walk(&request(vec![sent])).unwrap();
    assert_eq!((ingested.spans, ingested.refused.total()), (250, 0));
    assert_eq!(fragments(&ingested).len(), 1);
}

/// No answer of `GetOperations` could hold such a name. Its span is stored, and found by the name.
#[test]
fn a_name_that_fits_no_message_is_not_listed() {
    let limits = Limits {
        max_listed_bytes: 1000,
        ..LIMITS
    };
    let named = |id, length: usize| Span {
        name: "n".repeat(length),
        ..span(id, id)
    };
    let sent = shop(vec![named(1, 990), named(2, 997)]);
    let ingested = Ingest::new(limits).walk(&sent).unwrap();
    let listed: Vec<_> = fragments(&ingested)
        .iter()
        .map(|fragment| {
            let name = terms::span_name("n".repeat(997).as_bytes());
            (fragment.operations.len(), fragment.terms.contains(&name))
        })
        .collect();
    assert_eq!(listed, [(1, false), (0, true)]);
}

#[test]
fn a_large_resource_is_not_repeated_without_limit() {
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
fn the_error_of_a_malformed_request_has_an_offset() {
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
