#![allow(clippy::unwrap_used, reason = "tests")]

use larder_oracle::filter::{
    and, attr, attr_at, call, eq, exists, field, gt, in_list, int, list, not, not_in, or, regex,
    some, string,
};
use larder_oracle::strategies::{Place, Window, filtered, legacy};
use larder_oracle::{Query, timestamp, unset_duration, unset_timestamp};
use larder_proto::storage::v2::Pagination;
use proptest::prelude::*;

use super::*;
use crate::testing::respelled;

/// The fingerprint of a search for traces.
fn of(query: &Query) -> u64 {
    of_traces(&query.0).unwrap()
}

fn by(filter: Call) -> u64 {
    of(&Query::default().filter(filter))
}

fn a() -> Call {
    eq(attr("a"), "1")
}

fn b() -> Call {
    gt(attr("b"), int(2))
}

fn c() -> Call {
    exists(attr("c"))
}

fn words(op: &str, kind: &str, words: [&'static str; 2]) -> u64 {
    by(call(op, [attr("msg"), list(kind, words)]))
}

#[test]
fn operands_are_in_any_order_at_any_depth() {
    let nested = not(or([and([a(), b()]), c()]));
    let turned = not(or([c(), and([b(), a()])]));
    assert_eq!(by(nested.clone()), by(turned.clone()));
    let in_events = |inner| some("event", inner);
    assert_eq!(by(in_events(nested.clone())), by(in_events(turned)));
    assert_eq!(by(and([a(), b(), c(), b()])), by(and([b(), c(), b(), a()])));
    assert_ne!(by(nested), by(not(and([or([a(), b()]), c()]))));
    assert_ne!(by(and([a(), b()])), by(or([a(), b()])));
    assert_ne!(by(and([a(), b()])), by(and([a(), c()])));
    // Only those of `and` and `or`.
    assert_ne!(by(gt(attr("a"), attr("b"))), by(gt(attr("b"), attr("a"))));
}

#[test]
fn lists_are_in_any_order_but_the_words_of_a_phrase() {
    for kind in ["", "string", "int"] {
        for op in ["in", "not_in", "fulltext"] {
            assert_eq!(
                words(op, kind, ["1", "2"]),
                words(op, kind, ["2", "1"]),
                "{op} {kind}"
            );
            assert_ne!(words(op, kind, ["1", "2"]), words(op, kind, ["1", "3"]));
        }
        assert_ne!(
            words("phrase", kind, ["out", "timed"]),
            words("phrase", kind, ["timed", "out"])
        );
    }
    assert_ne!(words("in", "", ["1", "2"]), words("not_in", "", ["1", "2"]));
    // Where a value ends counts.
    assert_ne!(
        words("in", "string", ["ab", "c"]),
        words("in", "string", ["a", "bc"])
    );
}

#[test]
fn a_constant_beside_a_field_is_text_with_a_type_and_without() {
    let name = || field("span", "name");
    assert_eq!(by(eq(name(), "x")), by(eq(name(), string("x"))));
    assert_eq!(by(eq("x", name())), by(eq(string("x"), name())));
    assert_eq!(
        by(in_list(name(), "", ["x", "y"])),
        by(in_list(name(), "string", ["y", "x"]))
    );
    assert_eq!(
        by(not_in(name(), list("", ["x"]))),
        by(not_in(name(), list("string", ["x"])))
    );
    assert_ne!(by(eq(name(), "x")), by(eq(name(), "y")));
    // Beside an attribute a constant without a type is read as the type of each value.
    assert_ne!(by(eq(attr("k"), "5")), by(eq(attr("k"), string("5"))));
    assert_ne!(by(eq(attr("k"), "5")), by(eq(attr("k"), int(5))));
    assert_ne!(
        words("in", "", ["1", "2"]),
        words("in", "string", ["1", "2"])
    );
    // Some operators take nothing but text.
    assert_eq!(by(regex(attr("k"), "x")), by(regex(attr("k"), string("x"))));
    for op in ["phrase", "fulltext"] {
        assert_eq!(words(op, "", ["x", "y"]), words(op, "string", ["x", "y"]));
    }
}

#[test]
fn each_part_of_a_reference_counts() {
    let references = [
        attr("k"),
        attr("other"),
        attr_at("span", "k"),
        attr_at("resource", "k"),
        field("span", "k"),
        field("resource", "k"),
        field("k", "span"),
    ];
    for (at, one) in references.iter().enumerate() {
        for other in references.iter().skip(at + 1) {
            assert_ne!(by(exists(one.clone())), by(exists(other.clone())));
        }
    }
    assert_ne!(by(some("event", a())), by(some("link", a())));
}

#[test]
fn attributes_are_in_any_order_and_the_last_of_a_key_counts() {
    let query = Query::default().attribute("a", "1").attribute("b", "2");
    let turned = Query::default().attribute("b", "2").attribute("a", "1");
    assert_eq!(of(&query), of(&turned));
    let twice = Query::default().attribute("a", "0");
    let twice = twice.attribute("b", "2").attribute("a", "1");
    assert_eq!(of(&query), of(&twice));
    let first = Query::default().attribute("a", "1");
    let first = first.attribute("b", "2").attribute("a", "0");
    assert_ne!(of(&query), of(&first));
    // One without a value is ignored, and replaces none.
    let none = query.clone().raw_attribute("a", None);
    let empty = none.raw_attribute("c", Some(AnyValue { value: None }));
    assert_eq!(of(&query), of(&empty));
    let swapped = Query::default().attribute("a", "2").attribute("b", "1");
    assert_ne!(of(&query), of(&swapped));
    assert_ne!(
        of(&Query::default().attribute("a", "")),
        of(&Query::default())
    );
}

#[test]
fn times_and_durations_that_are_unset_are_absent() {
    let mut unset = Query::default();
    unset.0.start_time_min = Some(unset_timestamp());
    unset.0.start_time_max = Some(unset_timestamp());
    unset.0.duration_min = Some(unset_duration());
    unset.0.duration_max = Some(unset_duration());
    assert_eq!(of(&unset), of(&Query::default()));
    // The epoch is a time, and each bound counts by itself.
    let bounds = [
        Query::default(),
        Query::default().not_before(0),
        Query::default().not_after(0),
        Query::default().not_before(1),
        Query::default().at_least(1),
        Query::default().at_most(1),
        Query::default().at_least(-1),
        Query::default().window(0, 1),
    ];
    for (at, one) in bounds.iter().enumerate() {
        for other in bounds.iter().skip(at + 1) {
            assert_ne!(of(one), of(other), "{one:?} and {other:?}");
        }
    }
}

#[test]
fn each_field_counts_and_the_page_does_not() {
    let texts = [
        Query::default(),
        Query::default().service("x"),
        Query::default().operation("x"),
        Query::default().service("x").operation("x"),
        Query::default().service("xx"),
        Query::default().filter(Call::default()),
        Query::default().filter(a()),
    ];
    for (at, one) in texts.iter().enumerate() {
        for other in texts.iter().skip(at + 1) {
            assert_ne!(of(one), of(other), "{one:?} and {other:?}");
        }
        assert_eq!(of(one), of(&one.clone().page(7, "token")));
    }
}

#[test]
fn a_search_for_spans_is_its_window_its_filter_and_its_ordering() {
    let query = |from, filter| SpanQueryParameters {
        start_time_min: Some(timestamp(from)),
        start_time_max: Some(timestamp(9)),
        filter,
        ..SpanQueryParameters::default()
    };
    let of = |query: &SpanQueryParameters, ordering: &[u8]| of_spans(query, ordering).unwrap();
    let one = query(1, Some(and([a(), b()])));
    let paged = SpanQueryParameters {
        pagination: Some(Pagination {
            page_size: 7,
            page_token: "token".to_owned(),
        }),
        filter: Some(and([b(), a()])),
        ..one.clone()
    };
    assert_eq!(of(&one, b"x"), of(&paged, b"x"));
    assert_ne!(of(&one, b"x"), of(&one, b"y"));
    assert_ne!(of(&one, b"x"), of(&query(2, one.filter.clone()), b"x"));
    assert_ne!(of(&one, b"x"), of(&query(1, None), b"x"));
    // The same question about traces is another search.
    let traces = TraceQueryParameters {
        start_time_min: one.start_time_min,
        start_time_max: one.start_time_max,
        filter: one.filter.clone(),
        ..TraceQueryParameters::default()
    };
    assert_ne!(of(&one, b""), of_traces(&traces).unwrap());
}

const PLACE: Place = Place {
    trace: 1,
    start: 1_700_000_000_000_000_000,
};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_query_that_is_respelled_is_the_same(
        question in prop_oneof![legacy(Window::Any), filtered(Window::Any)],
        by in 0..5_usize,
    ) {
        let query = question.at(PLACE);
        let other = respelled(&query, by);
        prop_assert_eq!(of_traces(&query).unwrap(), of_traces(&other).unwrap(), "{:?}", other);
        // Were all queries the same, this would not tell.
        let narrower = TraceQueryParameters { start_time_min: Some(timestamp(5)), ..other };
        prop_assert_ne!(of_traces(&query).unwrap(), of_traces(&narrower).unwrap());
    }
}
