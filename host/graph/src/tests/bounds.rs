//! Bounds of the state: a client may write into any number of buckets.

use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use super::world::{BUCKET, START, World, call, of, op};
use crate::Step;

/// A world with so much room, in which nothing was written.
fn bounded(most_buckets: usize, most_open: usize) -> World {
    let mut world = World::new();
    world.config.most_buckets = most_buckets;
    world.config.most_open = most_open;
    world.restart();
    world.settle();
    world
}

/// An export of twenty traces, each in a bucket of its own.
fn twenty() -> Vec<ResourceSpans> {
    let traces = (1..21_u64).flat_map(|number| call(number.into(), START + 2 * number * BUCKET));
    traces.collect()
}

#[test]
fn a_write_opens_no_more_buckets_than_there_is_room_for_and_all_of_it_counts() {
    let mut world = bounded(100, 4);
    world.write(twenty());
    let figures = world.graph.figures();
    assert_eq!(figures.open_buckets, 4);
    assert!(!figures.is_backfilled);
    assert!(figures.oldest_unsettled.is_some());
    assert_eq!(world.buckets(), 4);
    world.check_all();
    world.settle();
    assert!(world.graph.figures().is_backfilled);
    assert_eq!(world.buckets(), 20);
    assert_eq!(world.reads(), 0);
    world.check_all();
}

#[test]
fn what_has_no_room_is_noted_durably_before_it_is_stored() {
    let mut world = bounded(100, 4);
    world.write(call(50, START));
    world.settle();
    let batches = world.begin(twenty()).unwrap();
    // What was noted is durable, and so is the write; then everything in memory is lost.
    world.store(&batches);
    world.sync();
    world.lose();
    world.restart();
    world.count();
    assert_eq!(world.graph.figures().open_buckets, 4);
    assert!(!world.graph.figures().is_backfilled);
    world.check_all();
    world.check(START + 20 * BUCKET, START + 30 * BUCKET);
    world.settle();
    assert_eq!(world.reads(), 0);
}

#[test]
fn a_span_for_whose_bucket_there_is_no_room_takes_its_trace_out_of_a_window() {
    let mut world = bounded(100, 1);
    world.write(call(1, START));
    world.settle();
    let window = (START, START + BUCKET);
    assert_eq!(world.dependencies(window.0, window.1).len(), 1);
    world.write(call(2, START + 100 * BUCKET));
    world.write(vec![of("a", [op(1, 3, START + 50 * BUCKET)])]);
    let figures = world.graph.figures();
    assert_eq!((figures.open_buckets, figures.late_traces), (1, 0));
    assert_eq!(world.dependencies(window.0, window.1), []);
    world.check_all();
    world.settle();
    assert_eq!(world.dependencies(window.0, window.1), []);
    assert_eq!(world.reads(), 0);
    world.check_all();
}

#[test]
fn what_comes_without_room_while_the_rest_is_settled_is_not_missed() {
    for pieces in 1..16 {
        let mut world = bounded(100, 0);
        world.write(twenty());
        world.pass(Duration::from_mins(10));
        for _ in 0..pieces {
            world.step();
        }
        // In a bucket that may have been settled, beside it, and before and after all of them.
        world.write(call(30, START + 40 * BUCKET));
        world.write(call(31, START + 39 * BUCKET));
        world.write(call(32, START - BUCKET));
        world.write(call(33, START + 90 * BUCKET));
        world.check(0, u64::MAX);
        world.settle();
        world.check_all();
        assert_eq!(world.reads(), 0, "after {pieces} pieces");
    }
}

#[test]
fn what_is_settled_is_not_read_again_to_find_what_had_no_room() {
    let mut world = bounded(100, 30);
    world.write(twenty());
    world.settle();
    world.config.most_open = 0;
    world.restart();
    world.settle();
    world.write(call(50, START + 100 * BUCKET));
    let before = world.memory.reads.load(Ordering::Relaxed);
    world.settle();
    let reads = world.memory.reads.load(Ordering::Relaxed) - before;
    // There are twenty settled buckets before it, and time between them.
    assert!(reads < 10, "{reads}");
    assert_eq!(world.reads(), 0);
    world.check_all();
}

/// A world with room for eight buckets, and with traces in five near to now and in ten far from it, which were written later.
fn with_too_many() -> World {
    let mut world = bounded(8, 100);
    let now = world.now() / BUCKET * BUCKET;
    for number in 1..6_u64 {
        world.write(call(number.into(), now - number * BUCKET));
        world.pass(Duration::from_secs(1));
    }
    for number in 1..11_u64 {
        let start = START - 100 * number * BUCKET;
        world.write(call(u128::from(number) + 10, start));
        world.pass(Duration::from_secs(1));
    }
    world.settle();
    world
}

#[test]
fn of_too_many_buckets_those_farthest_from_now_are_forgotten() {
    let world = with_too_many();
    assert_eq!(world.buckets(), 7);
    let names = world.keep.names();
    let records = names.iter().filter(|name| !name.starts_with("day"));
    assert_eq!(records.count(), 7);
    assert!(!world.graph.figures().is_backfilled);
    // Nothing is settled only to be forgotten again.
    assert!(matches!(world.step(), Step::Idle(_)));
    assert_eq!(world.reads_of(START - 250 * BUCKET, u64::MAX), 0);
    world.check_all();
    world.check(START - 1000 * BUCKET, START - 300 * BUCKET);
    assert!(world.reads() > 0);
}

#[test]
fn a_write_into_a_forgotten_bucket_counts() {
    let mut world = with_too_many();
    let start = START - 1000 * BUCKET;
    world.write(vec![of("c", [op(20, 3, start + 2).parent(1)])]);
    world.write(call(40, start));
    world.check(start, start + BUCKET);
    world.check_all();
    world.restart();
    world.count();
    world.check(start, start + BUCKET);
    world.settle();
    world.check(start, start + BUCKET);
    world.check_all();
}

#[test]
fn forgotten_buckets_are_settled_again_once_others_have_gone() {
    let mut world = with_too_many();
    for _ in 0..5 {
        world.drop_oldest_trace();
    }
    world.settle();
    assert_eq!(world.buckets(), 7);
    assert_eq!(world.reads_of(START - 750 * BUCKET, u64::MAX), 0);
    world.check_all();
    for _ in 0..5 {
        world.drop_oldest_trace();
    }
    world.settle();
    assert!(world.graph.figures().is_backfilled);
    assert_eq!(world.reads(), 0);
    world.check_all();
}
