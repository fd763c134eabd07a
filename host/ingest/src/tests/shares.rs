//! A request that is cut by what its resources say.

use std::collections::BTreeSet;

use larder_proto::testing::{mutated_traces, traces};
use larder_proto::wire::Fields;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use proptest::prelude::*;

use super::build::{attribute, request, resource_spans, scope_spans, span, text};
use super::{LIMITS, fragments};
use crate::{Ingest, Ingested, Said, Share, split};

/// One span of a trace, of a resource with these attributes beside its service.
fn resource(trace: u8, attributes: &[(&str, Option<&str>)]) -> ResourceSpans {
    let mut spans = resource_spans("shop", vec![scope_spans("lib", vec![span(trace, 1)])]);
    let resource = spans.resource.as_mut().unwrap();
    for (key, value) in attributes {
        resource.attributes.push(attribute(key, value.map(text)));
    }
    spans
}

/// What the resources of a request say, in order.
fn said(request: &[u8]) -> Vec<Said<'_>> {
    let mut all = Vec::new();
    split(request, "tenant", |said| {
        all.push(said);
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

/// A share as a request of its own.
fn alone(share: &Share<'_>) -> Vec<u8> {
    let mut request = Vec::new();
    for raw in share.resource_spans() {
        prost::encoding::bytes::encode(1, &raw.to_vec(), &mut request);
    }
    request
}

/// All that is stored of it.
fn all(ingested: &Ingested) -> Vec<String> {
    let fragments = fragments(ingested).into_iter();
    fragments.map(|fragment| format!("{fragment:?}")).collect()
}

#[test]
fn a_resource_says_it_by_one_text_of_that_name() {
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
        said(&request),
        [
            Said::Text("a"),
            Said::Nothing,
            Said::Text(""),
            Said::Twice,
            Said::NoText,
            Said::Twice,
            Said::Nothing,
            Said::NoText,
        ]
    );
}

/// protobuf merges a field that is sent twice: what stands behind the spans counts as well.
#[test]
fn a_resource_that_is_sent_in_two_halves_says_what_both_say() {
    let (one, other) = (
        resource(1, &[("tenant", Some("a"))]),
        resource(2, &[("tenant", Some("b"))]),
    );
    let joined = [
        prost::Message::encode_to_vec(&one),
        prost::Message::encode_to_vec(&other),
    ];
    let mut request = Vec::new();
    prost::encoding::bytes::encode(1, &joined.concat(), &mut request);
    assert_eq!(said(&request), [Said::Twice]);
}

#[test]
fn a_fault_is_told_where_it_is_in_the_whole_request() {
    let mut request = request(vec![
        resource(1, &[("tenant", Some("a"))]),
        resource(2, &[("tenant", Some("b"))]),
    ]);
    let whole = request.len();
    // A resource whose scope is one byte that is no message.
    request.extend([0x0a, 3, 0x12, 1, 0xff]);
    let shares = split(&request, "tenant", |said| {
        usize::from(said != Said::Text("a"))
    })
    .unwrap();
    let mut ingest = Ingest::new(LIMITS);
    assert_eq!(ingest.walk_share(&request, &shares[0]).unwrap().spans, 1);
    let malformed = ingest.walk_share(&request, &shares[1]).unwrap_err();
    assert_eq!(malformed, ingest.walk(&request).unwrap_err());
    assert!(malformed.offset() >= whole, "{malformed}");
    // In the resource itself, which is read to cut it.
    request.truncate(whole);
    request.extend([0x0a, 3, 0x0a, 1, 0xff]);
    let malformed = split(&request, "tenant", |_| 0).unwrap_err();
    assert!(malformed.offset() >= whole, "{malformed}");
}

#[test]
fn a_refused_span_is_told_as_one_of_its_share() {
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
    /// By a number that the resource's service leads to, as a tenant would.
    #[test]
    fn the_shares_together_are_the_request_as_sent(
        request in prop_oneof![traces(true), mutated_traces()],
        owners in 1..5_usize,
    ) {
        let mut ingest = Ingest::new(LIMITS);
        let Ok(whole) = ingest.walk(&request) else {
            return Ok(());
        };
        let mut places = Vec::new();
        let shares = split(&request, "service.name", |said| {
            let place = format!("{said:?}").len() % owners;
            places.push(place);
            place
        });
        let shares = shares.unwrap();
        let mut left: Vec<_> = shares.iter().map(|share| share.resource_spans().iter()).collect();
        let again: Vec<&[u8]> = places.iter().map(|place| *left[*place].next().unwrap()).collect();
        prop_assert!(left.iter_mut().all(|left| left.next().is_none()));
        prop_assert_eq!(again, pieces(&request));

        let mut spans = (0, 0);
        let mut traces = BTreeSet::new();
        for share in &shares {
            let walked = ingest.walk_share(&request, share).unwrap();
            let encoded = alone(share);
            let same = ingest.walk(&encoded).unwrap();
            prop_assert_eq!(all(&walked), all(&same));
            spans.0 += walked.spans;
            spans.1 += walked.refused.total();
            traces.extend(fragments(&walked).iter().map(|fragment| fragment.facts.trace_id));
        }
        prop_assert_eq!(spans, (whole.spans, whole.refused.total()));
        let wanted: BTreeSet<_> = fragments(&whole).iter().map(|it| it.facts.trace_id).collect();
        prop_assert_eq!(traces, wanted);
    }
}
