//! Random writes, searches, reads and steps of upkeep, compared with a plain list.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use common::{Fragments, fragments, search, shapes, small_shape};
use larder_kv::{Kv, Shape};
use larder_plugin::testing::{Harness, environment, fragment, kv};
use larder_plugin::{Error, Plugin, Role, Search, SpanKind, TraceId};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Write(Fragments),
    /// With these limits in turn.
    Find(Search, Vec<u32>),
    /// With one of these batches written, and some steps of upkeep done, after each page.
    FindAndWrite(Search, u32, Vec<Fragments>),
    Read(Vec<u128>, u32),
    Maintain(u32),
    CheckAll,
}

fn step() -> impl Strategy<Value = Step> {
    let writes = || fragments(30, 300, 40);
    prop_oneof![
        6 => writes().prop_map(Step::Write),
        4 => (search(), prop::collection::vec(1..60_u32, 1..4)).prop_map(|(s, l)| Step::Find(s, l)),
        2 => (search(), 1..30_u32, prop::collection::vec(writes(), 1..4))
            .prop_map(|(s, l, w)| Step::FindAndWrite(s, l, w)),
        2 => (prop::collection::vec(0..40_u128, 1..9), 0..5000_u32).prop_map(|(i, b)| Step::Read(i, b)),
        4 => (1..30_u32).prop_map(Step::Maintain),
        1 => Just(Step::CheckAll),
    ]
}

fn maintain(harness: &mut Harness<Kv>, steps: u32) {
    for _ in 0..steps {
        if !harness.plugin().maintain(1000, kv::stored_bytes()).unwrap() {
            break;
        }
    }
}

fn run(shape: Shape, steps: Vec<Step>) {
    kv::reset();
    let mut harness = Harness::new(Kv::open_with(&environment(&[]), shape).unwrap());
    for step in steps {
        match step {
            Step::Write(fragments) => drop(harness.write(fragments)),
            Step::Find(search, limits) => {
                let mut limits = limits.into_iter().cycle();
                let found = harness.find_between(&search, || limits.next().unwrap(), |_| {});
                // It finds no more than it has to, and each once: it uses its index.
                assert_eq!(found.len(), harness.stored().matching(&search).count());
                assert!(found.is_sorted_by(|a, b| a.newest >= b.newest));
            }
            Step::FindAndWrite(search, limit, writes) => {
                let mut writes = writes.into_iter();
                let between = |harness: &mut Harness<Kv>| {
                    if let Some(fragments) = writes.next() {
                        harness.write(fragments);
                        maintain(harness, 2);
                    }
                };
                harness.find_between(&search, || limit, between);
            }
            Step::Read(ids, max_bytes) => {
                let mut ids: Vec<TraceId> = ids.into_iter().map(TraceId::from).collect();
                ids.sort();
                ids.dedup();
                ids.reverse();
                harness.check_traces(&ids, max_bytes);
            }
            Step::Maintain(steps) => maintain(&mut harness, steps),
            Step::CheckAll => harness.check_all(),
        }
    }
    harness.check_all();
    maintain(&mut harness, 1000);
    harness.check_all();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_answers_as_a_list_does(
        shape in shapes(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run(shape, steps);
    }
}

#[test]
fn what_is_written_is_found_before_and_after_sealing_and_merging() {
    kv::reset();
    let mut harness = Harness::new(Kv::open_with(&environment(&[]), small_shape()).unwrap());
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
fn a_reader_cannot_write_and_unknown_settings_are_refused() {
    kv::reset();
    let mut environment = environment(&[]);
    environment.role = Role::Reader;
    let mut reader = Kv::open(environment).unwrap();
    let batch = larder_plugin::testing::batch([fragment(1)]);
    assert!(matches!(reader.write(1, vec![batch]), Err(Error::Other(_))));
    assert_eq!(reader.maintain(1, 0), Ok(false));
    let error = Harness::<Kv>::open(&[("max_traces", "1")]).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(text) if text.contains("retention, max_bytes")));
}
