#![allow(clippy::unwrap_used, reason = "tests")]

use larder_proto::storage::v2::{FindTracesRequest, TraceQueryParameters};
use prost::Message as _;

use super::*;

/// So many calls, each in the one before it, and in all of them one thing.
fn nested(calls: usize) -> proto::Call {
    let attribute = proto::expression::Term::Attr(proto::AttributeReference {
        key: "k".to_owned(),
        level: String::new(),
    });
    let mut call = proto::Call {
        op: "exists".to_owned(),
        args: vec![proto::Expression {
            term: Some(attribute),
        }],
    };
    for _ in 1..calls {
        call = proto::Call {
            op: "not".to_owned(),
            args: vec![proto::Expression {
                term: Some(proto::expression::Term::Call(call)),
            }],
        };
    }
    call
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
    assert_eq!(refusal_in(&request(nested(20))), None);
    let deep = request(nested(500));
    assert!(FindTracesRequest::decode(deep.as_slice()).is_err());
    assert_eq!(
        refusal_in(&deep),
        Some("filter nests calls more than 20 deep".to_owned())
    );
    assert_eq!(refusal_in(b"\xff\xff"), None);
}

#[test]
fn a_filter_has_so_many_calls_and_no_more() {
    let many = |calls| proto::Call {
        op: "or".to_owned(),
        args: (1..calls)
            .map(|_| proto::Expression {
                term: Some(proto::expression::Term::Call(nested(1))),
            })
            .collect(),
    };
    assert!(predicate(many(10_000)).is_ok());
    let refusal = predicate(many(10_001)).unwrap_err();
    assert!(
        refusal.starts_with("filter has more than 10000 calls"),
        "{refusal}"
    );
}
