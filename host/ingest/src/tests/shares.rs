//! Tests of splitting requests by an attribute of their resources.

use std::collections::BTreeSet;

use larder_proto::testing::{bytes_field, mutated_traces, traces};
use larder_proto::wire::Fields;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use proptest::prelude::*;

use super::build::{attribute, request, resource_spans, scope_spans, span, text};
use super::{LIMITS, fragments};
use crate::{AttributeText, Ingest, Ingested, Share, split};

/// One span of a trace, with these attributes of its resource in addition to the service.
fn resource(trace: u8, attributes: &[(&str, Option<&str>)]) -> ResourceSpans {
    let mut spans = resource_spans("shop", vec![scope_spans("lib", vec![span(trace, 1)])]);
    let resource = spans.resource.as_mut().unwrap();
    for (key, value) in attributes {
        resource.attributes.push(attribute(key, value.map(text)));
    }
    spans
}

/// The attribute `tenant` of each resource of a request, in order.
fn tenants(request: &[u8]) -> Vec<AttributeText<'_>> {
    let mut all = Vec::new();
    split(request, "tenant", |text| {
        all.push(text);
        0
    })
    .unwrap();
    all
}

/// Every `ResourceSpans` of a well-formed request, as sent.
fn pieces(request: &[u8]) -> Vec<&[u8]> {
    let fields = Fields::new(request).map(Result::unwrap);
    let ours = fields.filter(|field| field.number == 1);
    ours.map(|field| field.bytes().unwrap()).collect()
}

/// Encodes a share as a separate request.
fn encode(share: &Share<'_>) -> Vec<u8> {
    let resource_spans = share.resource_spans().iter();
    resource_spans.flat_map(|raw| bytes_field(1, raw)).collect()
}

/// The fragments of a request, as text.
fn texts(ingested: &Ingested) -> Vec<String> {
    let fragments = fragments(ingested).into_iter();
    fragments.map(|fragment| format!("{fragment:?}")).collect()
}

#[test]
fn an_attribute_counts_if_it_occurs_once_as_text() {
    let mut not_text = resource(9, &[]);
    let attributes = &mut not_text.resource.as_mut().unwrap().attributes;
    attributes.push(attribute(
        "tenant",
        opentelemetry_proto::tonic::common::v1::AnyValue {
            value: Some(opentelemetry_proto::tonic::common::v1::any_value::Value::IntValue(7)),
        },
    ));
    let request = request(vec![
        resource(1, &[("tenant", Some("a"))]),
        resource(2, &[("tenants", Some("a")), ("Tenant", Some("a"))]),
        resource(3, &[("tenant", Some(""))]),
        resource(4, &[("tenant", Some("a")), ("tenant", Some("a"))]),
        resource(5, &[("tenant", None)]),
        resource(6, &[("tenant", None), ("tenant", Some("a"))]),
        ResourceSpans::default(),
        not_text,
    ]);
    assert_eq!(
        tenants(&request),
        [
            AttributeText::Text("a"),
            AttributeText::Missing,
            AttributeText::Text(""),
            AttributeText::Repeated,
            AttributeText::NotText,
            AttributeText::Repeated,
            AttributeText::Missing,
            AttributeText::NotText,
        ]
    );
}

/// protobuf merges a message that is sent twice, so the second half counts as well.
#[test]
fn a_resource_that_is_sent_in_two_halves_is_merged() {
    let (one, other) = (
        resource(1, &[("tenant", Some("a"))]),
        resource(2, &[("tenant", Some("b"))]),
    );
    let joined = [
        prost::Message::encode_to_vec(&one),
        prost::Message::encode_to_vec(&other),
    ];
    let request = bytes_field(1, &joined.concat());
    assert_eq!(tenants(&request), [AttributeText::Repeated]);
}

#[test]
fn an_offset_counts_from_the_start_of_the_whole_request() {
    let mut request = request(vec![
        resource(1, &[("tenant", Some("a"))]),
        resource(2, &[("tenant", Some("b"))]),
    ]);
    let whole = request.len();
    // A resource whose scope is one byte that is not a message.
    request.extend([0x0a, 3, 0x12, 1, 0xff]);
    let shares = split(&request, "tenant", |text| {
        usize::from(text != AttributeText::Text("a"))
    })
    .unwrap();
    let mut ingest = Ingest::new(LIMITS);
    assert_eq!(ingest.walk_share(&request, &shares[0]).unwrap().spans, 1);
    let malformed = ingest.walk_share(&request, &shares[1]).unwrap_err();
    assert_eq!(malformed, ingest.walk(&request).unwrap_err());
    assert!(malformed.offset() >= whole, "{malformed}");
    // In the resource itself, which `split` reads.
    request.truncate(whole);
    request.extend([0x0a, 3, 0x0a, 1, 0xff]);
    let malformed = split(&request, "tenant", |_| 0).unwrap_err();
    assert!(malformed.offset() >= whole, "{malformed}");
}

#[test]
fn a_refused_span_is_reported_by_its_position_in_the_share() {
    let mut bad = resource(1, &[]);
    bad.scope_spans[0].spans[0].trace_id.clear();
    let request = request(vec![resource(2, &[]), bad]);
    let shares = split(&request, "tenant", |_| 0).unwrap();
    let mut ingest = Ingest::new(LIMITS);
    let refused = ingest.walk_share(&request, &shares[0]).unwrap().refused;
    assert!(
        refused.to_string().contains("its tenant's share"),
        "{refused}"
    );
}

proptest! {
    /// Assigns each resource to an owner by its service.
    #[test]
    fn the_shares_together_are_the_request_as_sent(
        request in prop_oneof![traces(true), mutated_traces()],
        owners in 1..5_usize,
    ) {
        let mut ingest = Ingest::new(LIMITS);
        let Ok(whole) = ingest.walk(&request) else {
            return Ok(());
        };
        let mut indices = Vec::new();
        let shares = split(&request, "service.name", |text| {
            let index = format!("{text:?}").len() % owners;
            indices.push(index);
            index
        });
        let shares = shares.unwrap();
        let mut left: Vec<_> = shares.iter().map(|share| share.resource_spans().iter()).collect();
        let again: Vec<&[u8]> = indices.iter().map(|index| *left[*index].next().unwrap()).collect();
        prop_assert!(left.iter_mut().all(|left| left.next().is_none()));
        prop_assert_eq!(again, pieces(&request));

        let mut spans = (0, 0);
        let mut traces = BTreeSet::new();
        for share in &shares {
            let walked = ingest.walk_share(&request, share).unwrap();
            let encoded = encode(share);
            let same = ingest.walk(&encoded).unwrap();
            prop_assert_eq!(texts(&walked), texts(&same));
            spans.0 += walked.spans;
            spans.1 += walked.refused.total();
            traces.extend(fragments(&walked).iter().map(|fragment| fragment.facts.trace_id));
        }
        prop_assert_eq!(spans, (whole.spans, whole.refused.total()));
        let wanted: BTreeSet<_> = fragments(&whole).iter().map(|it| it.facts.trace_id).collect();
        prop_assert_eq!(traces, wanted);
    }
}
