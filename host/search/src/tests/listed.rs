//! Searches over values that are listed read what they match, and nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder_oracle::filter::{attr_at, gt, int, phrase, regex, string};
use larder_proto::expression::v1::{Call, Expression};
use larder_proto::storage::v2::TraceQueryParameters;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use super::super::Explained;
use super::super::testing::{Memory, limits, of, op, run, searcher};

/// Exports of one span each, of which every fourth is the only one whose values are listed along with words.
fn exports() -> Vec<Vec<ResourceSpans>> {
    let one = |number: u64| {
        let text = format!("order {} shipped", number % 3);
        let span = op(number.into(), 1, number, number + 1).attribute("text", text.as_str());
        let code = i64::try_from(number % 5).unwrap();
        vec![of("s", span.attribute("code", code))]
    };
    // The first and the last of four list their values.
    (0..40).map(|number| one(number / 4 + 1)).collect()
}

fn filtered(filter: Call) -> TraceQueryParameters {
    TraceQueryParameters {
        filter: Some(filter),
        ..TraceQueryParameters::default()
    }
}

fn text() -> Expression {
    attr_at("span", "text")
}

#[test]
fn what_no_listed_value_matches_is_not_read() {
    let listed: Vec<_> = exports().into_iter().step_by(4).collect();
    let store = |exports: &[Vec<ResourceSpans>]| {
        let memory = Memory::of_listed(&[], 100);
        for export in exports {
            // Only every fourth export lists its values with words.
            memory.export(export.clone());
            for _ in 0..3 {
                memory.export(Vec::new());
            }
        }
        Arc::new(memory)
    };
    let memory = store(&listed);
    let search = |filter: Call, is_known: bool| {
        let reads = memory.reads.load(Ordering::Relaxed);
        let snapshot = memory.snapshot().filter(|_| is_known);
        let searcher = searcher(&memory, limits()).with_snapshot(snapshot);
        let found = run(searcher.find_trace_ids(filtered(filter))).unwrap();
        let reads = memory.reads.load(Ordering::Relaxed) - reads;
        (found.trace_ids.len(), reads > 0)
    };
    for (filter, count) in [
        (regex(text(), string("order [3-9]")), 0),
        (regex(text(), string("shipped [a-z]")), 0),
        (phrase(text(), ["2", "order"]), 0),
        (phrase(text(), ["1", "shipped"]), 4),
        (regex(text(), string("1 s")), 4),
        (gt(attr_at("span", "code"), int(4)), 0),
        (gt(attr_at("span", "code"), int(3)), 2),
    ] {
        assert_eq!(
            search(filter.clone(), true),
            (count, count > 0),
            "{filter:?}"
        );
        assert_eq!(search(filter.clone(), false), (count, true), "{filter:?}");
    }
}

#[test]
fn a_store_that_is_listed_in_part_is_searched_in_all() {
    let memory = Arc::new(Memory::of_listed(&exports(), 2));
    for filter in [
        regex(text(), string("order [12]")),
        phrase(text(), ["order", "2"]),
        gt(attr_at("span", "code"), int(2)),
    ] {
        let known = searcher(&memory, limits()).with_snapshot(memory.snapshot());
        let unknown = searcher(&memory, limits());
        let found = run(known.find_trace_ids(filtered(filter.clone()))).unwrap();
        assert!(!found.trace_ids.is_empty());
        assert_eq!(
            found,
            run(unknown.find_trace_ids(filtered(filter))).unwrap()
        );
    }
}

#[test]
fn an_explanation_tells_what_listed_values_did() {
    let memory = Arc::new(Memory::of_listed(&exports(), 2));
    let explain = |is_known: bool| {
        let filter = regex(text(), string("order 1"));
        let snapshot = memory.snapshot().filter(|_| is_known);
        let searcher = searcher(&memory, limits()).with_snapshot(snapshot);
        run(searcher.explain(Explained::Traces(filtered(filter)))).unwrap()
    };
    let told = explain(true);
    let values = &told.plan.parts[0].values;
    assert_eq!(values.len(), 1);
    assert_eq!((values[0].looked_at, values[0].matching), (2, 1));
    assert_eq!((values[0].is_complete, &values[0].unused), (false, &None));
    let line = "1 of 2 listed values match, others are not listed]";
    assert!(told.to_string().contains(line), "{told}");

    let values = &explain(false).plan.parts[0].values;
    let unused = values[0].unused.as_deref();
    assert_eq!(unused, Some("the listed values are not known"));
}
