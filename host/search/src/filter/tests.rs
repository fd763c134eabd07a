#![allow(clippy::unwrap_used, reason = "tests")]

use larder_oracle::filter::{
    attr, exists, field, in_list, is_in, list, not, not_in, or, untyped,
};
use larder_proto::storage::v2::any_value::Value;
use larder_proto::storage::v2::{
    AnyValue, FindSpansRequest, FindTracesRequest, KeyValue, KeyValueList, SpanQueryParameters,
    TraceQueryParameters,
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
fn depth_is_seen_in_the_bytes_of_a_span_search_too() {
    let request = |filter| {
        let query = SpanQueryParameters {
            filter: Some(filter),
            ..SpanQueryParameters::default()
        };
        FindSpansRequest { query: Some(query) }.encode_to_vec()
    };
    assert_eq!(refusal_in(&request(nested(20))), None);
    assert_eq!(
        refusal_in(&request(nested(500))),
        Some("filter nests calls more than 20 deep".to_owned())
    );
}

/// An attribute has the number in a query of traces that a filter has in one of spans.
#[test]
fn attributes_are_no_filter() {
    let mut value = AnyValue {
        value: Some(Value::StringValue("v".to_owned())),
    };
    for _ in 0..30 {
        let values = vec![KeyValue {
            key: "k".to_owned(),
            value: Some(value),
        }];
        value = AnyValue {
            value: Some(Value::KvlistValue(KeyValueList { values })),
        };
    }
    let query = TraceQueryParameters {
        attributes: vec![KeyValue {
            key: "k".to_owned(),
            value: Some(value),
        }],
        ..TraceQueryParameters::default()
    };
    let request = FindTracesRequest { query: Some(query) };
    assert_eq!(refusal_in(&request.encode_to_vec()), None);
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

fn refusal(filter: proto::Call) -> String {
    predicate(filter).unwrap_err()
}

#[test]
fn a_list_is_refused_for_the_first_fault() {
    for (filter, expected) in [
        (
            is_in(untyped("a"), list("float", [])),
            r#"operator "in" takes a reference, got an untyped constant"#,
        ),
        (
            is_in(attr("k"), untyped("a")),
            r#"operator "in" takes a list as its second argument, got an untyped constant"#,
        ),
        (
            not_in(attr("k"), list("float", [])),
            r#"operator "not_in" takes a list with at least one element"#,
        ),
        (
            is_in(attr("k"), list("float", ["x"])),
            r#"unknown filter value type "float""#,
        ),
    ] {
        assert_eq!(refusal(filter), expected);
    }
}

/// A key that stands for a field is an attribute: the words of the field are not asked of it, in a list of any length.
#[test]
fn an_untyped_list_beside_a_key_of_a_field_takes_any_text() {
    for count in [1, 5000] {
        let values: Vec<String> = (0..count).map(|value| value.to_string()).collect();
        let values = values.iter().map(String::as_str);
        let filter = in_list(attr("span.kind"), "", values.clone());
        assert!(predicate(filter).is_ok(), "{count}");
        let of_field = in_list(field("span", "kind"), "", values);
        assert!(predicate(of_field).is_err(), "{count}");
    }
}
