//! The minimal plugin keeps the contract.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use larder_minimal::Minimal;
use larder_plugin::testing::{Harness, batch, environment, fragment};
use larder_plugin::{DurationRange, Error, Plugin, Search, SpanKind, TimeRange, TraceId, Wanted};

fn starts(start: u64, end: u64) -> Search {
    Search {
        starts: TimeRange { start, end },
        ..Search::all()
    }
}

/// Writes traces 1 to 9. Trace n has a fragment of n spans that start from 10 n to 10 n + 5; even ones have a second fragment.
fn nine_traces() -> Harness<Minimal> {
    let mut harness = Harness::open(&[]).unwrap();
    for n in 1..=9_u32 {
        let at = u64::from(n) * 10;
        let first = fragment(n.into())
            .starts(at, at + 5)
            .durations(at, at + 5)
            .spans(n)
            .terms([1, at])
            .operation("shop", "GET /", SpanKind::Server);
        harness.write([first]);
        if n % 2 == 0 {
            let service = format!("stock-{n}");
            let second = fragment(n.into()).starts(at - 7, at).terms([2, at]);
            harness.write([second.operation(&service, "SELECT", SpanKind::Client)]);
        }
    }
    harness
}

#[test]
fn every_match_is_sighted_newest_first_whatever_the_page_size() {
    let mut harness = nine_traces();
    for limit in [1, 2, 3, 100] {
        let found = harness.find(&Search::all(), limit);
        assert_eq!(found.len(), 13);
        assert!(found.is_sorted_by(|a, b| a.newest >= b.newest));
    }
}

#[test]
fn ranges_and_clauses_narrow_a_search() {
    let mut harness = nine_traces();
    let ids = |harness: &mut Harness<Minimal>, search: &Search| -> Vec<u64> {
        let found = harness.find(search, 2);
        found.iter().map(|it| it.trace_id.low).collect()
    };
    assert_eq!(ids(&mut harness, &starts(35, 40)), [4, 4, 3]);
    let two_clauses = Search {
        clauses: vec![vec![2], vec![40, 60, 70]],
        ..Search::all()
    };
    assert_eq!(ids(&mut harness, &two_clauses), [6, 4]);
    let slow = Search {
        durations: DurationRange {
            shortest: 84,
            longest: u64::MAX,
        },
        ..Search::all()
    };
    assert_eq!(ids(&mut harness, &slow), [9, 8]);
}

#[test]
fn writes_between_pages_do_not_disturb_a_search() {
    let mut harness = nine_traces();
    let mut next = 100;
    harness.find_between(
        &starts(20, 70),
        || 2,
        |harness| {
            next += 1;
            harness.write([fragment(next).starts(0, 50), fragment(3).starts(30, 90)]);
        },
    );
}

#[test]
fn traces_and_operations_come_back_as_written() {
    let mut harness = nine_traces();
    harness.check_all();
    let ids = [6, 1, 77, 2].map(|id: u128| TraceId::from(id));
    for max_bytes in [0, 9, 1000] {
        harness.check_traces(&ids, max_bytes);
    }
    let unknown = Wanted::Fragments(vec![1000]);
    assert!(
        harness
            .read(&unknown, larder_plugin::Part::Otlp, 10)
            .is_empty()
    );
}

#[test]
fn a_write_that_does_not_fit_is_refused_whole_and_the_rest_stays() {
    let mut environment = environment(&[]);
    environment.memory_limit = 64 << 10;
    let mut plugin = Minimal::open(environment).unwrap();
    let large = |id| fragment(id).otlp(vec![0; 20 << 10]);
    plugin.write(1, vec![batch([large(1)])]).unwrap();
    let batches = vec![batch([fragment(2)]), batch([large(3)])];
    let error = plugin.write(2, batches).unwrap_err();
    assert!(
        matches!(&error, Error::ResourceExhausted(text) if text.contains("limits.memory")),
        "{error:?}"
    );
    assert_eq!(plugin.find(&Search::all(), None, 9).unwrap().found.len(), 1);
}

#[test]
fn a_setting_is_refused() {
    let error = Harness::<Minimal>::open(&[("max_traces", "1")]).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(text) if text.contains("max_traces")));
}
