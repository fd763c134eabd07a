//! Random writes, searches, reads and steps of maintenance, compared with a plain list.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use common::{shapes, small_shape};
use larder_kv::{Kv, Shape};
use larder_plugin::testing::random::{maintain, run, step, term};
use larder_plugin::testing::{Harness, environment, fragment, kv};
use larder_plugin::{Error, Plugin, Role, Search, Sizes, SpanKind, TraceId};
use proptest::prelude::*;

fn open(shape: Shape) -> Harness<Kv> {
    kv::reset();
    Harness::new(Kv::open_with(&environment(&[]), shape).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_answers_like_a_list(
        shape in shapes(),
        steps in prop::collection::vec(step(300), 1..60),
    ) {
        run(&mut open(shape), steps, 0, |_| {});
    }
}

#[test]
fn fragments_are_found_before_and_after_sealing_and_merging() {
    let mut harness = open(small_shape());
    for n in 0..200_u32 {
        let at = u64::from(n) * 10;
        let first = fragment(n.into())
            .starts(at, at + 5)
            .terms([1 << 40, (at + 1) << 40])
            .operation("shop", "GET /", SpanKind::Server)
            .otlp(vec![7; 300]);
        harness.write([first]);
        maintain(&mut harness, n % 3);
    }
    harness.check_all();
    maintain(&mut harness, 1000);
    harness.check_all();
    let one = Search {
        clauses: vec![vec![1 << 40], vec![501 << 40, 77]],
        ..Search::all()
    };
    assert_eq!(harness.find(&one, 10).len(), 1);
}

#[test]
fn groups_of_several_chunks_are_searched_and_merged() {
    let shape = Shape {
        group_entries: 5,
        run: 64,
        page: 2000,
        fan: 2,
        inline: 100,
        find_spare: 50,
        ..Shape::default()
    };
    let mut harness = open(shape);
    for write in 0..16_u64 {
        let fragments = (0..500).map(|n| {
            let n = write * 500 + n;
            // Times are not ordered.
            let at = n * 7919 % 100_003;
            fragment(u128::from(n / 2))
                .starts(at, at + 50)
                .terms([1, 10 + n % 3, 100 + n % 100, 10_000 + n].map(term))
                .otlp(vec![3; 20])
        });
        harness.write(fragments);
    }
    let search = |terms: &[u64]| Search {
        clauses: terms.iter().map(|it| vec![term(*it)]).collect(),
        ..Search::all()
    };
    let searches = [
        search(&[]),
        search(&[1, 11]),
        search(&[12, 150]),
        search(&[12_345]),
    ];
    for steps in [0, 3, 4, 20, 1000] {
        maintain(&mut harness, steps);
        for search in &searches {
            let found = harness.find(search, 300);
            assert_eq!(found.len(), harness.stored().matching(search).count());
            assert!(found.is_sorted_by(|a, b| a.newest >= b.newest));
        }
    }
    let ids: Vec<TraceId> = (0..4000).step_by(7).map(|n: u128| n.into()).collect();
    harness.check_traces(&ids, 10_000);
}

#[test]
fn a_reader_cannot_write_and_unknown_settings_are_refused() {
    kv::reset();
    let mut environment = environment(&[]);
    environment.role = Role::Reader;
    let mut reader = Kv::open(environment).unwrap();
    let batch = larder_plugin::testing::batch([fragment(1)]);
    assert!(matches!(reader.write(1, vec![batch]), Err(Error::Other(_))));
    assert_eq!(reader.maintain(1, Sizes::default()), Ok(false));
    assert_eq!(reader.retire(), Ok(false));
    let error = Harness::<Kv>::open(&[("max_traces", "1")]).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(text) if text.contains("retention, max_bytes")));
}
