//! Each rule about accepted spans, by example.

use larder_model::digest::{self, Parent};
use larder_model::storage::TraceId;
use larder_model::terms::{AttributeKey, Level};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use prost::Message;

use super::build::{
    attribute, request, resource_spans, scope_spans, shop, span, stored, text, walk,
};
use super::{LIMITS, fragments};
use crate::{Ingest, Limits};

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
    // Full fragments, the large span alone, and the rest.
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
        .map(larder_model::storage::Batch::len)
        .sum();
    assert_eq!(fragments, 200);
    for batch in &ingested.batches {
        assert!(batch.weight() < 22_000, "{}", batch.weight());
        // Every batch lists its operation, and its fragments refer to it.
        assert_eq!(batch.operations().len(), 1);
        assert!(batch.fragments().all(|fragment| fragment.operations == [0]));
    }
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
fn parents_and_links_of_zeros_and_links_to_nothing_are_kept() {
    let link = |trace_id: &[u8], span_id: &[u8]| Link {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        ..Link::default()
    };
    let odd = Span {
        parent_span_id: vec![0; 8],
        links: vec![
            link(&[0; 16], &[0; 8]),
            link(&[], &[8; 8]),
            link(&[9; 16], &[]),
        ],
        ..span(1, 1)
    };
    let sent = shop(vec![odd]);
    let ingested = walk(&sent);
    let fragments = fragments(&ingested);
    assert_eq!(stored(&ingested), [TracesData::decode(&sent[..]).unwrap()]);
    let digest = digest::decode(fragments[0].digest).unwrap();
    let span = digest.spans().next().unwrap().unwrap();
    assert_eq!(span.parent, Parent::Id([0; 8]));
}

#[test]
fn spans_without_a_service_or_a_name_are_listed_and_stored_as_sent() {
    let nameless = Span {
        name: String::new(),
        ..span(1, 1)
    };
    let mut sent = resource_spans("", vec![scope_spans("lib", vec![nameless])]);
    let number = attribute("service.name", None);
    let with_number = Resource {
        attributes: vec![number],
        ..Resource::default()
    };
    for (resource, service) in [
        (sent.resource.take(), "empty-service-name"),
        (None, "missing-service-name"),
        (Some(with_number), "service-name-wrong-type"),
    ] {
        sent.resource = resource;
        let ingested = walk(&request(vec![sent.clone()]));
        let operations = ingested.batches[0].operations();
        assert_eq!(operations[0].service, service);
        assert_eq!(operations[0].name, "empty-span-name");
        assert_eq!(stored(&ingested)[0].resource_spans, [sent.clone()]);
    }
}

#[test]
fn the_resource_may_follow_the_spans() {
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
                let term = AttributeKey::new(b"k").with_value(level, b"v");
                fragment.terms.contains(&term)
            };
            (has(Level::Span), has(Level::Event))
        })
        .collect();
    assert_eq!(levels, [(true, false), (false, true)]);
}

#[test]
fn repeated_facts_are_found_among_thousands() {
    let spans = |round: u16| {
        (1..=3000).map(move |number: u16| {
            let mut trace_id = vec![1; 16];
            trace_id[..2].copy_from_slice(&number.to_be_bytes());
            Span {
                trace_id,
                span_id: [&[1; 6], &round.to_be_bytes()[..]].concat(),
                name: format!("name {number}"),
                attributes: vec![attribute(&format!("key {number}"), text("v"))],
                ..Span::default()
            }
        })
    };
    let ingested = walk(&shop(spans(1).chain(spans(2)).collect()));
    assert_eq!(ingested.batches.len(), 1);
    assert_eq!(ingested.batches[0].operations().len(), 3000);
    let fragments = fragments(&ingested);
    assert_eq!(fragments.len(), 3000);
    for fragment in fragments {
        assert_eq!(fragment.facts.span_count, 2);
        assert_eq!(fragment.operations.len(), 1);
        assert_eq!(digest::decode(fragment.digest).unwrap().len(), 2);
    }
}

#[test]
fn thousands_of_resources_and_scopes_are_kept_apart() {
    let sent: Vec<_> = (0..2000)
        .map(|number| {
            let number = number % 1000;
            let scope = scope_spans(&format!("lib {number}"), vec![span(1, 1)]);
            resource_spans(&format!("service {number}"), vec![scope])
        })
        .collect();
    let ingested = walk(&request(sent.clone()));
    assert_eq!(ingested.batches[0].operations().len(), 1000);
    let stored: Vec<_> = stored(&ingested)
        .into_iter()
        .flat_map(|traces| traces.resource_spans)
        .collect();
    assert_eq!(stored, sent);
}
