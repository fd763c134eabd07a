//! Ids that an older release stored and Jaeger's client cannot decode: they hide no other span.

use std::sync::Arc;

use larder_core::telemetry::Metrics;
use larder_oracle::otlp::{SpanRef, hex, key_value, spans_of};
use larder_proto::otlp::pdata;
use larder_proto::storage::v2::TraceQueryParameters;
use larder_proto::{TracesBytes, storage::v2::GetTracesRequest};
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, TracesData};
use prost::Message as _;

use super::super::testing::{Memory, all, limits, of, op, run};
use super::super::{Limits, Searcher};
use super::{by_id, by_service};

/// The only span of its trace, of the service "s".
fn stored(trace: u128, edit: impl FnOnce(&mut Span)) -> ResourceSpans {
    let mut stored = of("s", op(trace, 1, 10, 20));
    edit(the_span(&mut stored));
    stored
}

fn the_span(of: &mut ResourceSpans) -> &mut Span {
    &mut of.scope_spans[0].spans[0]
}

fn with_parent(trace: u128, parent: &[u8]) -> ResourceSpans {
    stored(trace, |span| span.parent_span_id = parent.to_vec())
}

fn with_link(trace: u128, trace_id: &[u8], span_id: &[u8]) -> ResourceSpans {
    let link = |trace_id: &[u8], span_id: &[u8]| Link {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        trace_state: "a=b".to_owned(),
        ..Link::default()
    };
    let links = vec![link(&[1; 16], &[1; 8]), link(trace_id, span_id)];
    stored(trace, |span| span.links = links)
}

/// A stored span as it is answered: without ids that Jaeger cannot decode, and marked where it had one.
fn answered(stored: &ResourceSpans) -> ResourceSpans {
    let mut stored = stored.clone();
    let span = the_span(&mut stored);
    let parent = std::mem::take(&mut span.parent_span_id);
    if matches!(parent.len(), 0 | 8) {
        span.parent_span_id = parent;
    } else {
        let mark = key_value("larder.dropped.parent_span_id", hex(&parent));
        span.attributes.push(mark);
    }
    let before = span.links.len();
    span.links.retain(|link| {
        matches!(link.trace_id.len(), 0 | 16) && matches!(link.span_id.len(), 0 | 8)
    });
    if span.links.len() < before {
        let dropped = i64::try_from(before - span.links.len()).unwrap();
        span.attributes
            .push(key_value("larder.dropped.links", dropped));
    }
    stored
}

fn encode(stored: &ResourceSpans) -> Vec<u8> {
    let resource_spans = vec![stored.clone()];
    TracesData { resource_spans }.encode_to_vec()
}

/// Asks in each way for traces; the answer, and the metrics afterwards.
struct Asking {
    searcher: Searcher,
    metrics: Arc<Metrics>,
}

impl Asking {
    fn of(stored: &[ResourceSpans], limits: Limits) -> Self {
        let metrics = Arc::new(Metrics::new());
        let memory = Arc::new(Memory::of_an_older_release(stored));
        Self {
            searcher: Searcher::new(memory, limits, Arc::clone(&metrics)),
            metrics,
        }
    }

    fn get(&self, request: GetTracesRequest) -> Vec<TracesBytes> {
        all(self.searcher.get_traces(request)).unwrap()
    }

    fn find(&self, query: TraceQueryParameters) -> Vec<TracesBytes> {
        all(self.searcher.find_traces(query)).unwrap()
    }

    fn counted(&self, reason: &str) -> u64 {
        let metrics = self.metrics.encode();
        let series = format!("larder_query_incomplete_spans_total{{reason=\"{reason}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

/// Each span alone, in the order of the messages.
fn spans(messages: &[TracesBytes]) -> Vec<ResourceSpans> {
    let mut spans = Vec::new();
    for message in messages {
        assert!(pdata::decodes(&message.0), "Jaeger cannot read it");
        let data = TracesData::decode(&message.0[..]).unwrap();
        spans.extend(spans_of(&data.resource_spans).map(SpanRef::alone));
    }
    spans
}

#[test]
fn a_span_whose_ids_do_not_fit_is_answered_without_them_beside_the_others() {
    let stored = [
        with_parent(1, &[7; 8]),
        with_parent(2, &[1, 2, 3]),
        with_parent(3, &[9; 9]),
        with_parent(4, &[9; 16]),
        with_link(5, &[8; 8], &[1; 8]),
        with_link(6, &[8; 16], &[1; 4]),
        with_parent(7, &[0; 8]),
        with_link(8, &[0; 16], &[0; 8]),
        with_link(9, &[], &[]),
    ];
    let asking = Asking::of(&stored, limits());
    let expected: Vec<ResourceSpans> = stored.iter().map(answered).collect();
    for number in [1, 7, 8, 9] {
        assert_eq!(expected[number - 1], stored[number - 1], "it is sound");
    }
    let everything = TraceQueryParameters::default();
    for found in [asking.find(by_service("s")), asking.find(everything)] {
        assert_eq!(spans(&found), expected);
    }
    assert_eq!(asking.counted("parent_span_id"), 6);
    assert_eq!(asking.counted("link_id"), 4);
    for (number, expected) in (1..).zip(&expected) {
        let found = asking.get(by_id(&[number]));
        assert_eq!(spans(&found), std::slice::from_ref(expected));
        if *expected == stored[usize::try_from(number).unwrap() - 1] {
            assert_eq!(found[0].0, encode(expected));
        }
    }
}

#[test]
fn sound_spans_are_not_counted() {
    let stored = [with_parent(1, &[]), with_link(2, &[0; 16], &[])];
    let asking = Asking::of(&stored, limits());
    assert_eq!(spans(&asking.find(by_service("s"))), stored);
    for reason in ["parent_span_id", "link_id"] {
        assert_eq!(asking.counted(reason), 0, "{reason}");
    }
}

#[test]
fn a_mark_never_makes_a_span_too_large_to_be_answered() {
    let stored = with_parent(1, &[1; 3]);
    let marked = answered(&stored);
    let stored_bytes = encode(&stored).len();
    let marked_bytes = encode(&marked).len();
    assert!(stored_bytes < marked_bytes);
    for (max_message_bytes, expected) in [
        (marked_bytes, marked),
        (marked_bytes - 1, with_parent(1, &[])),
        (stored_bytes, with_parent(1, &[])),
    ] {
        let limits = Limits {
            max_message_bytes,
            ..limits()
        };
        let asking = Asking::of(std::slice::from_ref(&stored), limits);
        assert_eq!(spans(&asking.get(by_id(&[1]))), [expected]);
        assert_eq!(asking.counted("parent_span_id"), 1);
    }
}

#[test]
fn ids_and_summaries_do_not_count_what_they_do_not_answer() {
    let asking = Asking::of(&[with_parent(1, &[1, 2, 3])], limits());
    let summaries = all(asking.searcher.find_trace_summaries(by_service("s"))).unwrap();
    assert_eq!(summaries[0].summaries.len(), 1);
    let ids = run(asking.searcher.find_trace_ids(by_service("s"))).unwrap();
    assert_eq!(ids.trace_ids.len(), 1);
    assert_eq!(asking.counted("parent_span_id"), 0);
}
