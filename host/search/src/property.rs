//! Random spans and random queries through a storage that pages as oddly as it may: the answers equal those of brute force.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use larder_model::storage::TraceId;
use larder_proto::storage::v2::{
    AnyValue as AskedValue, GetDependenciesRequest, GetTraceParams, GetTracesRequest,
    KeyValue as AskedAttribute, Pagination, TraceQueryParameters,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;
use prost_types::{Duration, Timestamp};

use super::testing::spans::{Row, array, attribute, decode, map, text};
use super::testing::{Memory, all, limits, naive, run, searcher};
use super::time::timestamp;

/// Times lie around this, so that windows, ties and spans that end before they start are common.
const NOON: u64 = 1_700_000_000_000_000_000;

/// Few keys, so that queries match; some are special in a query and literal on a span.
const KEYS: [&str; 9] = [
    "a",
    "b",
    "error",
    "span.kind",
    "span.status",
    "scope.name",
    "scope.version",
    "resource.a",
    "service.name",
];

/// Values of every kind, many of which share a form with another.
fn values() -> Vec<Option<Value>> {
    let int = |number| Some(Value::IntValue(number));
    let double = |number| Some(Value::DoubleValue(number));
    vec![
        None,
        text(""),
        text("x"),
        text("1"),
        int(1),
        text("true"),
        Some(Value::BoolValue(true)),
        Some(Value::BoolValue(false)),
        double(1.0),
        double(72.5),
        text("72.5"),
        double(1e21),
        double(f64::NAN),
        double(f64::INFINITY),
        Some(Value::BytesValue(vec![1, 2, 3])),
        text("AQID"),
        Some(Value::BytesValue(Vec::new())),
        Some(array(vec![text("x"), int(1), None])),
        text("[\"x\",1,null]"),
        Some(array(Vec::new())),
        Some(array(vec![double(f64::NAN)])),
        Some(map(vec![("b", int(1)), ("a", text("x"))])),
        text("{\"a\":\"x\",\"b\":1}"),
        text("error"),
        text("Ok"),
        text("unset"),
        text("SERVER"),
        text("client"),
        text("unspecified"),
        text("s1"),
        text("f"),
    ]
}

fn a_value() -> impl Strategy<Value = Option<Value>> {
    proptest::sample::select(values())
}

fn a_key() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        3 => proptest::sample::select(&KEYS[..2]),
        1 => proptest::sample::select(&KEYS[..]),
    ]
}

fn a_service() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["", "s1", "s2", "s3"][..])
}

fn a_name() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["", "op", "x"][..])
}

/// Attributes as a client sends them; a key may repeat.
fn attributes() -> impl Strategy<Value = Vec<(&'static str, Option<Value>)>> {
    vec((a_key(), a_value()), 0..3)
}

fn a_resource() -> impl Strategy<Value = Resource> {
    (a_service(), attributes()).prop_map(|(service, more)| {
        let mut attributes = Vec::new();
        if !service.is_empty() {
            attributes.push(attribute("service.name", text(service)));
        }
        attributes.extend(more.into_iter().map(|(key, value)| attribute(key, value)));
        Resource {
            attributes,
            ..Resource::default()
        }
    })
}

fn a_scope() -> impl Strategy<Value = InstrumentationScope> {
    let word = || proptest::sample::select(&["", "x", "1"][..]);
    (word(), word(), attributes()).prop_map(|(name, version, attributes)| InstrumentationScope {
        name: name.to_owned(),
        version: version.to_owned(),
        attributes: attributes
            .into_iter()
            .map(|(k, v)| attribute(k, v))
            .collect(),
        ..InstrumentationScope::default()
    })
}

fn a_span() -> impl Strategy<Value = Span> {
    let parent = prop_oneof![
        2 => (1_u64..6).prop_map(|id| id.to_be_bytes().to_vec()),
        1 => Just(Vec::new()),
        1 => Just(vec![0; 8]),
        1 => Just(vec![1, 2, 3]),
    ];
    (
        (1_u128..7, 1_u64..6, parent),
        (a_name(), 0..6_i32, option::of(0..3_i32)),
        (0_u64..12, -3_i64..12),
        attributes(),
        vec(attributes(), 0..3),
        vec(attributes(), 0..2),
    )
        .prop_map(|(ids, what, when, own, events, links)| {
            let own = own.into_iter().map(|(k, v)| attribute(k, v)).collect();
            let start = NOON + when.0;
            Span {
                trace_id: ids.0.to_be_bytes().to_vec(),
                span_id: ids.1.to_be_bytes().to_vec(),
                parent_span_id: ids.2,
                name: what.0.to_owned(),
                kind: what.1,
                status: what.2.map(|code| Status {
                    code,
                    ..Status::default()
                }),
                start_time_unix_nano: start,
                end_time_unix_nano: start.saturating_add_signed(when.1),
                attributes: own,
                events: events
                    .into_iter()
                    .map(|attributes| span::Event {
                        attributes: attributes
                            .into_iter()
                            .map(|(k, v)| attribute(k, v))
                            .collect(),
                        ..span::Event::default()
                    })
                    .collect(),
                links: links
                    .into_iter()
                    .map(|attributes| span::Link {
                        attributes: attributes
                            .into_iter()
                            .map(|(k, v)| attribute(k, v))
                            .collect(),
                        ..span::Link::default()
                    })
                    .collect(),
                ..Span::default()
            }
        })
}

fn a_row() -> impl Strategy<Value = Row> {
    (a_resource(), a_scope(), a_span()).prop_map(|(resource, scope, span)| Row {
        resource,
        scope,
        span,
    })
}

fn batches() -> impl Strategy<Value = Vec<Vec<Row>>> {
    vec(vec(a_row(), 1..8), 0..6)
}

fn a_time() -> impl Strategy<Value = Option<Timestamp>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(Timestamp { seconds: -62_135_596_800, nanos: 0 })),
        1 => Just(Some(Timestamp { seconds: -1, nanos: 0 })),
        1 => Just(Some(Timestamp { seconds: 253_402_300_799, nanos: 0 })),
        4 => (0_u64..14).prop_map(|nanos| Some(timestamp(NOON + nanos))),
    ]
}

fn a_duration() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![
        3 => Just(None),
        1 => (-4..14_i32).prop_map(|nanos| Some(Duration { seconds: 0, nanos })),
    ]
}

fn a_query() -> impl Strategy<Value = TraceQueryParameters> {
    let attributes = prop_oneof![
        2 => Just(Vec::new()),
        3 => vec((a_key(), a_value()), 1..2),
        1 => vec((a_key(), a_value()), 2..4),
    ];
    (
        prop_oneof![2 => Just(""), 1 => a_service()],
        prop_oneof![2 => Just(""), 1 => a_name()],
        attributes,
        (a_time(), a_time()),
        (a_duration(), a_duration()),
        -1..5_i32,
    )
        .prop_map(|(service, name, attributes, times, durations, depth)| {
            TraceQueryParameters {
                service_name: service.to_owned(),
                operation_name: name.to_owned(),
                attributes: attributes
                    .into_iter()
                    .map(|(key, value)| AskedAttribute {
                        key: key.to_owned(),
                        value: value.map(asked),
                    })
                    .collect(),
                start_time_min: times.0,
                start_time_max: times.1,
                duration_min: durations.0,
                duration_max: durations.1,
                search_depth: depth,
                filter: None,
                pagination: None,
            }
        })
}

/// The two messages are the same on the wire.
fn asked(value: Value) -> AskedValue {
    let value = AnyValue { value: Some(value) };
    AskedValue::decode(value.encode_to_vec().as_slice()).unwrap()
}

/// The rows of each message, which is about one trace; messages about the same trace are one item.
fn rows_by_trace(messages: &[larder_proto::TracesBytes]) -> Vec<(TraceId, Vec<Row>)> {
    let mut traces: Vec<(TraceId, Vec<Row>)> = Vec::new();
    for message in messages {
        let rows = decode(&message.0);
        let id = rows[0].trace_id();
        match traces.last_mut() {
            Some((last, known)) if *last == id => known.extend(rows),
            _ => traces.push((id, rows)),
        }
    }
    traces
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn searches_answer_as_brute_force_does(batches in batches(), queries in vec(a_query(), 1..6), seed: u64) {
        let rows: Vec<Row> = batches.concat();
        let memory = Arc::new(Memory::of(&batches).odd(seed));
        let searcher = searcher(&memory, super::Limits { max_message_bytes: 1500, ..limits() });
        let traces = naive::by_trace(&rows);
        for query in queries {
            let expected = naive::find(&rows, &query);

            let found = run(searcher.find_trace_ids(query.clone())).unwrap().trace_ids;
            let ids: Vec<_> = found.iter().map(|found| TraceId::from_query(&found.trace_id)).collect();
            prop_assert_eq!(&ids, &expected, "{:?}", query);
            for (id, found) in ids.iter().zip(&found) {
                prop_assert_eq!(found.start, Some(timestamp(naive::start(&traces[id]))));
                prop_assert_eq!(found.end, Some(timestamp(naive::end(&traces[id]))));
            }

            let messages = all(searcher.find_traces(query.clone())).unwrap();
            let whole: Vec<(TraceId, Vec<Row>)> = expected
                .iter()
                .map(|id| (*id, traces[id].iter().map(|row| (*row).clone()).collect()))
                .collect();
            prop_assert_eq!(rows_by_trace(&messages).len(), whole.len());
            for ((id, rows), (expected_id, expected)) in rows_by_trace(&messages).iter().zip(&whole) {
                prop_assert_eq!(id, expected_id);
                prop_assert_eq!(format!("{rows:?}"), format!("{expected:?}"));
            }

            let messages = all(searcher.find_trace_summaries(query)).unwrap();
            let summaries: Vec<_> = messages.into_iter().flat_map(|message| message.summaries).collect();
            let expected: Vec<_> = expected.iter().map(|id| naive::summary(*id, &traces[id])).collect();
            prop_assert_eq!(summaries, expected);
        }
        prop_assert!(memory.reports.lock().unwrap().is_empty());
    }

    #[test]
    fn pages_joined_are_the_whole_answer(batches in batches(), query in a_query(), size in 1_u32..4, seed: u64) {
        let memory = Arc::new(Memory::of(&batches).odd(seed));
        let searcher = searcher(&memory, super::Limits { max_message_bytes: 1500, ..limits() });
        let whole = naive::find(&batches.concat(), &TraceQueryParameters { search_depth: 1000, ..query.clone() });
        let mut token = String::new();
        let mut joined = Vec::new();
        loop {
            let query = TraceQueryParameters {
                search_depth: 0,
                pagination: Some(Pagination { page_size: size, page_token: token }),
                ..query.clone()
            };
            let page = run(searcher.find_trace_ids(query.clone())).unwrap();
            let ids: Vec<_> = page.trace_ids.iter().map(|found| TraceId::from_query(&found.trace_id)).collect();

            let messages = all(searcher.find_trace_summaries(query)).unwrap();
            let last_token = messages.last().map_or("", |message| &message.next_page_token);
            prop_assert_eq!(last_token, &page.next_page_token);
            let summaries = messages.iter().flat_map(|message| &message.summaries);
            let summarized: Vec<_> = summaries.map(|summary| TraceId::from_query(&summary.trace_id)).collect();
            prop_assert_eq!(&summarized, &ids);

            // Every page but the last is full.
            prop_assert!(page.next_page_token.is_empty() || ids.len() == size as usize);
            joined.extend(ids);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        prop_assert_eq!(joined, whole);
        prop_assert!(memory.reports.lock().unwrap().is_empty());
    }

    #[test]
    fn dependencies_answer_as_brute_force_does(
        batches in batches(),
        start in 0_u64..8,
        length in option::of(0_u64..12),
        seed: u64,
    ) {
        let rows: Vec<Row> = batches.concat();
        let memory = Arc::new(Memory::of(&batches).odd(seed));
        let request = GetDependenciesRequest {
            start_time: Some(timestamp(NOON + start)),
            end_time: length.map(|length| timestamp(NOON + start + length)),
        };
        let found = run(searcher(&memory, limits()).dependencies(request)).unwrap();
        let end = length.map_or(u64::MAX, |length| NOON + start + length);
        prop_assert_eq!(found, naive::dependencies(&rows, NOON + start, end));
        prop_assert!(memory.reports.lock().unwrap().is_empty());
    }

    #[test]
    fn traces_come_back_whole_in_the_order_asked(batches in batches(), ids in vec(0_u128..9, 0..12), seed: u64) {
        let rows: Vec<Row> = batches.concat();
        let memory = Arc::new(Memory::of(&batches).odd(seed));
        let searcher = searcher(&memory, super::Limits { max_message_bytes: 1500, ..limits() });
        let request = GetTracesRequest {
            query: ids
                .iter()
                .map(|id| GetTraceParams { trace_id: id.to_be_bytes().to_vec(), ..GetTraceParams::default() })
                .collect(),
        };
        let messages = all(searcher.get_traces(request)).unwrap();
        let traces = naive::by_trace(&rows);
        let mut expected: Vec<(TraceId, Vec<&Row>)> = Vec::new();
        for id in ids {
            if let Some(rows) = traces.get(&TraceId(id))
                && !expected.iter().any(|(known, _)| *known == TraceId(id))
            {
                expected.push((TraceId(id), rows.clone()));
            }
        }
        prop_assert!(messages.iter().all(|message| message.0.len() <= 1500));
        prop_assert_eq!(format!("{:?}", rows_by_trace(&messages)), format!("{expected:?}"));
    }
}
