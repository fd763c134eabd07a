#![allow(clippy::unwrap_used, reason = "tests")]

use larder_oracle::filter::{
    attr, attr_at, call, exists, field, in_list, is_in, list, nested as collection, not, not_in,
    or, string, untyped,
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

/// The first fault in the order of the rows is told.
#[test]
fn words_are_refused_for_the_first_fault() {
    let long = "a".repeat(256);
    for op in ["phrase", "fulltext"] {
        let with = |subject, words| refusal(call(op, [subject, words]));
        let takes = |rest: &str| format!("operator {op:?} takes {rest}");
        let one = || list("", ["a"]);

        let none = refusal(call(op, []));
        assert_eq!(none, takes("2 argument(s), got 0"));
        let three = refusal(call(op, [field("x", "y"), one(), one()]));
        assert_eq!(three, takes("2 argument(s), got 3"));

        // The second argument is wrong as well.
        for (subject, what) in [
            (field("span", "name"), "a field reference"),
            (field("galaxy", ""), "a field reference"),
            (string("a"), "a string constant"),
            (one(), "a list"),
        ] {
            let text = format!("an attribute reference as its first argument, got {what}");
            assert_eq!(with(subject, untyped("a")), takes(&text));
        }
        assert_eq!(
            with(collection("event"), untyped("a")),
            "a collection reference is only the first argument of \"some\""
        );
        assert_eq!(
            with(attr_at("galaxy", ""), untyped("a")),
            "unknown filter level \"galaxy\""
        );
        assert_eq!(
            with(attr(""), untyped("a")),
            "attribute reference has no key"
        );

        let refused = |words| with(attr("k"), words);
        assert_eq!(
            refused(untyped("a")),
            takes("a list as its second argument, got an untyped constant")
        );
        assert_eq!(
            refused(list("float", [])),
            takes("a list with at least one element")
        );
        assert_eq!(
            refused(list("float", ["a b"])),
            "unknown filter value type \"float\""
        );
        for kind in ["int", "double", "bool"] {
            assert_eq!(
                refused(list(kind, ["a b"])),
                takes(&format!("a list of words, got a list of {kind}"))
            );
        }
        for word in ["", "a-b", "a b", "a_b", "\u{1F600}", " a", "$"] {
            let kinds = "words of letters, digits and combining marks, got";
            assert_eq!(
                refused(list("string", [long.as_str(), word])),
                takes(&format!("{kinds} \"{word}\""))
            );
        }
        assert_eq!(
            refused(list("", ["a", long.as_str()])),
            takes("words of at most 255 UTF-16 code units, got one of 256")
        );
    }
}

#[test]
fn a_word_is_measured_in_utf_16() {
    for word in [
        "a".repeat(255),
        // Two code units each.
        "\u{1D7D8}".repeat(127),
        "e\u{301}".to_owned(),
        "½".to_owned(),
    ] {
        let words = || list("string", [word.as_str()]);
        assert!(predicate(call("phrase", [attr("k"), words()])).is_ok());
        assert!(predicate(call("fulltext", [attr_at("link", "k"), words()])).is_ok());
    }
    let long = "\u{1D7D8}".repeat(128);
    assert_eq!(
        refusal(call("phrase", [attr("k"), list("", [long.as_str()])])),
        "operator \"phrase\" takes words of at most 255 UTF-16 code units, got one of 256"
    );
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
