//! Any answer is that of a plain list, whatever was written and is asked.

use std::collections::BTreeSet;

use larder_plugin::testing::random::{run, step, step_of_many_terms, term};
use larder_plugin::testing::{batch, fragment};
use larder_plugin::{
    DurationRange, Error, Part, Plugin as _, Search, SpanKind, TimeRange, TraceId, Wanted,
};
use larder_postgres::Postgres;
use proptest::prelude::*;

use super::common::Store;
use super::{found, of_terms, with_harness};

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random writes, searches and reads, compared with a plain list.
    #[test]
    fn it_answers_like_a_list(steps in prop::collection::vec(step(3000), 1..20)) {
        with_harness(|harness| run(harness, steps, 0, |_| {}));
    }

    #[test]
    fn it_finds_any_of_many_terms(steps in prop::collection::vec(step_of_many_terms(), 1..12)) {
        with_harness(|harness| run(harness, steps, 0, |_| {}));
    }
}

#[test]
fn numbers_at_their_ends_are_exact() {
    with_harness(|harness| {
        let ends = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
        for (id, end) in (0..).zip(ends) {
            let one = fragment(u128::MAX - id)
                .starts(end, end)
                .durations(end, end)
                .terms([end]);
            harness.write([one, fragment(id).starts(0, end).durations(0, end)]);
        }
        harness.check_all();
        for end in ends {
            let mut search = of_terms([end]);
            assert_eq!(harness.find(&search, 2).len(), 1);
            search = Search {
                starts: TimeRange { start: end, end },
                ..Search::all()
            };
            harness.find(&search, 3);
            search = Search {
                durations: DurationRange {
                    shortest: end,
                    longest: end,
                },
                ..Search::all()
            };
            harness.find(&search, 1);
        }
    });
}

#[test]
fn a_fragment_that_ends_after_the_times_searched_is_found_as_of_their_end() {
    let mut plugin = Store::new().writer();
    // From 100 on, each twice as long as the one before; and some that begin too late.
    let across = (0..40_u32).map(|it| {
        let last = 100 + (1_u64 << it);
        fragment(u128::from(it)).starts(100, last)
    });
    let late = (100..140).map(|it| fragment(it).starts(102, 1 << 30));
    plugin.write(1, vec![batch(across), batch(late)]).unwrap();
    let search = Search {
        starts: TimeRange {
            start: 100,
            end: 101,
        },
        ..Search::all()
    };
    for limit in [1, 7, 100] {
        let found = found(&mut plugin, &search, limit);
        let traces: BTreeSet<u128> = found.iter().map(|it| it.0).collect();
        assert_eq!(traces, (0..40).collect());
        assert_eq!((found.len(), found[39]), (40, (0, 101)));
    }
}

/// More fragments than the windows that are walked, and more matches than are sorted at once.
#[test]
fn what_is_common_and_old_is_found_to_the_last() {
    let mut plugin = Store::new().writer();
    let (old, rare) = (term(1), term(2));
    for start in (0..100).map(|it| it * 200) {
        let many = (start..start + 200).map(|it| {
            let one = fragment(it.into()).starts(it, it + it % 3);
            match it {
                0..10_000 if it % 1000 == 0 => one.terms([old, rare]),
                0..10_000 => one.terms([old]),
                _ => one,
            }
        });
        plugin.write(1, vec![batch(many)]).unwrap();
    }
    let due = |limit, terms: &[u64], plugin: &mut Postgres| {
        let found = found(plugin, &of_terms(terms.iter().copied()), limit);
        assert!(found.is_sorted_by(|a, b| a.1 >= b.1));
        let traces: BTreeSet<u128> = found.iter().map(|it| it.0).collect();
        assert_eq!(traces.len(), found.len());
        traces.len()
    };
    for limit in [1500, 10_000] {
        assert_eq!(due(limit, &[], &mut plugin), 20_000);
        assert_eq!(due(limit, &[old], &mut plugin), 10_000);
    }
    assert_eq!(due(3, &[rare], &mut plugin), 10);
    assert_eq!(due(100, &[old, rare], &mut plugin), 10);
    assert_eq!(due(100, &[term(3)], &mut plugin), 0);
    // Long ones, of no time that is searched.
    let search = Search {
        durations: DurationRange {
            shortest: 5,
            longest: 9,
        },
        ..Search::all()
    };
    assert_eq!(found(&mut plugin, &search, 10), []);
    plugin.purge().unwrap();
}

#[test]
fn names_are_any_text() {
    with_harness(|harness| {
        let names = [
            "",
            "ü",
            "\0",
            "a\0b",
            "'; DROP TABLE x",
            &"long ".repeat(20_000),
        ];
        let mut one = fragment(1);
        for service in names.iter().filter(|it| !it.is_empty()) {
            for name in names {
                one = one.operation(service, name, SpanKind::Consumer);
            }
        }
        harness.write([one]);
        harness.check_operations();
    });
}

#[test]
fn a_large_fragment_is_read_back_and_a_long_trace_page_by_page() {
    with_harness(|harness| {
        let bytes = (0..20_u32 << 20).map(|it| it.to_le_bytes()[1]);
        harness.write([fragment(1).otlp(bytes.collect::<Vec<_>>())]);
        let many = (0..5000_u32).map(|it| fragment(2).otlp(it.to_be_bytes()));
        harness.write(many);
        let ids = [3, 2, 1].map(TraceId::from);
        harness.check_traces(&ids, 1000);
        harness.check_traces(&ids, 1 << 20);
    });
}

#[test]
fn a_foreign_resume_is_refused() {
    let mut plugin = Store::new().writer();
    plugin.write(1, vec![batch([fragment(1)])]).unwrap();
    for bytes in [&[][..], &[0; 17], &[9; 18]] {
        let found = plugin.find(&Search::all(), Some(bytes), 1);
        assert!(matches!(found, Err(Error::InvalidArgument(_))), "{found:?}");
    }
    let wanted = Wanted::Traces(Vec::new());
    let read = plugin.read(&wanted, Part::Otlp, Some(&[1]), 1);
    assert!(matches!(read, Err(Error::InvalidArgument(_))), "{read:?}");
}
