#![allow(clippy::unwrap_used, reason = "tests")]

use larder_oracle::filter::{attr, exists, not, or};
use larder_proto::storage::v2::{
    FindSpansRequest, FindTracesRequest, SpanQueryParameters, TraceQueryParameters,
};
use prost::Message as _;

use super::*;

/// So many calls, each in the one before it.
fn nested(calls: usize) -> proto::Call {
    (1..calls).fold(exists(attr("k")), |inner, _| not(inner))
}

fn request(filter: proto::Call) -> Vec<u8> {
    let query = TraceQueryParameters {
        filter: Some(filter),
        ..TraceQueryParameters::default()
    };
    FindTracesRequest { query: Some(query) }.encode_to_vec()
}

#[test]
fn calls_may_nest_twenty_deep() {
    assert!(predicate(nested(20)).is_ok());
    assert_eq!(
        predicate(nested(21)),
        Err("filter nests calls more than 20 deep".to_owned())
    );
}

#[test]
fn depth_is_seen_in_bytes_that_do_not_decode() {
    assert_eq!(refusal_in(&request(nested(20)), FILTER_OF_TRACES), None);
    let deep = request(nested(500));
    assert!(FindTracesRequest::decode(deep.as_slice()).is_err());
    assert_eq!(
        refusal_in(&deep, FILTER_OF_TRACES),
        Some("filter nests calls more than 20 deep".to_owned())
    );
    let query = SpanQueryParameters {
        filter: Some(nested(500)),
        ..SpanQueryParameters::default()
    };
    let deep = FindSpansRequest { query: Some(query) }.encode_to_vec();
    assert!(FindSpansRequest::decode(deep.as_slice()).is_err());
    assert!(refusal_in(&deep, FILTER_OF_SPANS).is_some());
    assert_eq!(refusal_in(b"\xff\xff", FILTER_OF_TRACES), None);
}

#[test]
fn a_filter_has_so_many_calls_and_no_more() {
    let many = |calls| or((1..calls).map(|_| nested(1)));
    assert!(predicate(many(10_000)).is_ok());
    let refusal = predicate(many(10_001)).unwrap_err();
    assert!(
        refusal.starts_with("filter has more than 10000 calls"),
        "{refusal}"
    );
}
