//! Settling: what was judged once is not read again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_search::testing::Memory;

use super::world::{BUCKET, SECOND, START, World, call, of, op};
use crate::Step;

#[test]
fn a_settled_trace_is_not_read_again() {
    let mut world = World::new();
    for number in 1..51_u64 {
        world.write(call(number.into(), START + number * BUCKET / 10));
    }
    assert!(world.reads() > 0);
    world.settle();
    assert_eq!(world.reads(), 0);
    world.check_all();
}

#[test]
fn a_bucket_is_settled_a_minute_after_its_end_and_its_last_write() {
    let mut world = World::new();
    world.settle();
    let bucket = world.now() / BUCKET * BUCKET;
    world.write(call(1, bucket));
    let end = Duration::from_nanos(bucket + BUCKET - world.now());
    world.pass(end + Duration::from_secs(59));
    world.work();
    assert_eq!(world.graph.figures().open_buckets, 1);
    world.write(call(2, bucket));
    world.pass(Duration::from_secs(59));
    world.work();
    assert_eq!(world.graph.figures().open_buckets, 1);
    assert!(matches!(world.step(), Step::Idle(Some(wait)) if wait <= Duration::from_secs(1)));
    world.pass(Duration::from_secs(1));
    world.work();
    assert_eq!(world.graph.figures().open_buckets, 0);
}

#[test]
fn a_bucket_that_is_always_written_to_is_settled_all_the_same() {
    let mut world = World::new();
    world.settle();
    let began = world.now();
    for number in 1.. {
        world.write(call(number, START));
        world.pass(Duration::from_secs(59));
        world.work();
        if world.graph.figures().open_buckets == 0 {
            break;
        }
    }
    let took = Duration::from_nanos(world.now() - began);
    assert!((30 * 60..32 * 60).contains(&took.as_secs()), "{took:?}");
    assert_eq!(world.graph.figures().late_traces, 0);
    world.write(call(100, START));
    assert_eq!(world.graph.figures().late_traces, 1);
    world.check_all();
}

#[test]
fn a_long_trace_counts_by_its_first_start_and_its_last_end() {
    let mut world = World::new();
    let late = op(1, 2, START + 7 * BUCKET).parent(1).lasting(3 * BUCKET);
    world.write(vec![of("a", [op(1, 1, START)]), of("b", [late])]);
    world.settle();
    assert_eq!(world.reads(), 0);
    let end = START + 10 * BUCKET;
    for (start, end) in [
        (START, end),
        (START + 1, end),
        (START, end - 1),
        (START - 1, end + 1),
    ] {
        world.check(start, end);
    }
    assert_eq!(world.dependencies(START, end).len(), 1);
    assert_eq!(world.dependencies(START, end - 1), []);
}

#[test]
fn a_span_outside_the_window_takes_its_trace_out_of_it_before_it_is_settled() {
    let mut world = World::new();
    world.write(call(1, START));
    world.settle();
    let now = world.now();
    assert_eq!(world.dependencies(START, START + BUCKET).len(), 1);
    world.write(vec![of("a", [op(1, 3, now)])]);
    assert_eq!(world.graph.figures().late_traces, 0, "its bucket is open");
    assert_eq!(world.dependencies(START, START + BUCKET), []);
    world.check(START, now + BUCKET);
    world.settle();
    assert_eq!(world.reads(), 0);
    world.check(START, START + BUCKET);
    world.check(START, now + BUCKET);
}

#[test]
fn a_store_of_an_older_release_is_settled_from_its_newest_trace_on() {
    let exports: Vec<_> = (0..20_u64)
        .map(|number| call(u128::from(number) + 1, START - number * 100 * BUCKET))
        .collect();
    let mut world = World::with(Memory::default().odd(7), &exports);
    let newest = |world: &World| world.dependencies(START - BUCKET, START + BUCKET);
    world.write(call(100, 3));
    for _ in 0..1000 {
        world.step();
        world.check(0, u64::MAX);
        assert_eq!(newest(&world).len(), 1);
    }
    world.settle();
    assert_eq!(world.reads(), 0);
    world.restart();
    world.count();
    assert!(world.graph.figures().is_backfilled);
    assert_eq!(world.reads(), 0);
}

#[test]
fn a_trace_that_spans_years_does_not_hold_up_backfilling() {
    let export = vec![of("a", [op(1, 1, 5)]), of("b", [op(1, 2, START).parent(1)])];
    let world = World::with(Memory::default(), &[export]);
    let mut steps = 0;
    while matches!(world.step(), Step::Worked { .. }) {
        steps += 1;
        assert!(steps < 1000);
    }
    world.settle();
    assert_eq!(world.reads(), 0);
}

#[test]
fn backfilling_a_large_store_reads_the_traces_that_it_settles_in_one_call() {
    let exports = (0..3_u64).map(|bucket| {
        let start = START - (bucket + 1) * BUCKET;
        let numbers = 3000 * bucket..3000 * (bucket + 1);
        let calls = numbers.flat_map(|number| call(u128::from(number) + 1, start + number));
        calls.collect()
    });
    let exports: Vec<_> = exports.collect();
    let world = World::with(Memory::default(), &exports);
    while world.graph.figures().bytes == 0 {
        assert!(matches!(world.step(), Step::Worked { .. }));
    }
    assert_eq!(world.memory.reads.load(Ordering::Relaxed), 1);
    world.settle();
    assert_eq!(world.reads(), 0);
}

#[test]
fn a_record_that_cannot_be_read_is_made_anew() {
    let mut world = World::new();
    for number in 1..6_u64 {
        world.write(call(number.into(), START + number * SECOND));
    }
    world.settle();
    for values in world.keep.now.lock().groups.values_mut() {
        for value in values.values_mut() {
            value[3] ^= 1;
        }
    }
    world.restart();
    world.count();
    world.check_all();
    world.settle();
    world.check_all();
    assert_eq!(world.reads(), 0);
    assert_eq!(
        world.keep.now.lock().groups.len(),
        1,
        "the damaged one is given back"
    );
}

#[test]
fn a_state_that_cannot_be_read_is_made_anew() {
    let mut world = World::new();
    world.write(call(1, START));
    world.settle();
    for value in world.keep.now.lock().state.values_mut() {
        value[2] ^= 1;
    }
    world.restart();
    world.count();
    world.check_all();
    world.write(call(2, START));
    world.settle();
    assert_eq!(world.reads(), 0);
    assert_eq!(world.keep.now.lock().groups.len(), 1);
}

#[test]
fn work_that_fails_is_tried_again_later() {
    let mut world = World::new();
    world.write(call(1, START));
    world.pass(Duration::from_mins(10));
    world.keep.fails.store(true, Ordering::Relaxed);
    world.work();
    world.check_all();
    assert!(matches!(world.step(), Step::Idle(Some(_))));
    world.keep.fails.store(false, Ordering::Relaxed);
    world.settle();
    assert_eq!(world.reads(), 0);
}

#[test]
fn a_record_that_its_place_has_lost_is_made_anew_once_a_query_asks_for_it() {
    let mut world = World::new();
    world.write(call(1, START));
    world.settle();
    // No head is in memory any more.
    world.restart();
    world.count();
    let groups = world.keep.names();
    world.keep.loses.store(true, Ordering::Relaxed);
    world.check_all();
    world.keep.loses.store(false, Ordering::Relaxed);
    world.settle();
    assert_ne!(world.keep.names(), groups);
    assert_eq!(world.reads(), 0);
}

#[test]
fn a_query_does_not_search_as_often_as_there_are_open_buckets() {
    let mut world = World::new();
    world.settle();
    world.write(call(1, START));
    world.settle();
    let many = (1..1001_u64).flat_map(|number| call(number.into(), START + 2 * number * BUCKET));
    world.write(many.collect());
    assert_eq!(world.graph.figures().open_buckets, 1000);
    let before = world.memory.finds.load(Ordering::Relaxed);
    world.check(START, START + BUCKET);
    let finds = world.memory.finds.load(Ordering::Relaxed) - before;
    assert!(finds < 10, "{finds}");
}

#[test]
fn a_bucket_with_too_many_traces_is_not_settled_and_costs_queries_of_other_times_nothing() {
    let mut world = World::new();
    world.config.most_bytes = 1000;
    world.restart();
    world.settle();
    let many = (1..21_u64).flat_map(|number| call(number.into(), START + number));
    world.write(many.collect());
    world.write(call(100, START + 10 * BUCKET));
    world.pass(Duration::from_hours(1));
    world.work();
    assert_eq!(world.graph.figures().open_buckets, 1);
    world.check_all();
    let before = world.memory.reads.load(Ordering::Relaxed);
    assert_eq!(
        world.dependencies(START + 2 * BUCKET, START + 8 * BUCKET),
        []
    );
    assert_eq!(world.memory.reads.load(Ordering::Relaxed), before);
    world.config.most_bytes = 1 << 30;
    world.restart();
    world.settle();
    world.check_all();
    assert_eq!(world.reads(), 0);
}

#[test]
fn a_bucket_with_too_many_traces_does_not_hold_up_backfilling() {
    let many = (1..21_u64).flat_map(|number| call(number.into(), START + number));
    let exports = [many.collect(), call(100, START - 10 * BUCKET)];
    let mut world = World::with(Memory::default(), &exports);
    world.config.most_bytes = 1000;
    world.restart();
    world.count();
    for _ in 0..10 {
        world.work();
        world.pass(Duration::from_mins(10));
    }
    let figures = world.graph.figures();
    assert!(figures.is_backfilled, "{figures:?}");
    assert_eq!(figures.open_buckets, 1);
    world.check_all();
    let before = world.memory.reads.load(Ordering::Relaxed);
    world.check(0, START - 2 * BUCKET);
    assert!(world.memory.reads.load(Ordering::Relaxed) > before);
}

#[test]
fn a_flow_of_late_traces_does_not_hold_up_what_else_is_to_be_settled() {
    let mut world = World::new();
    world.config.late_traces = 1;
    world.restart();
    world.write(call(1, START));
    world.settle();
    world.write(call(2, world.now()));
    world.pass(Duration::from_hours(1));
    for number in 10.. {
        world.write(call(number, START));
        world.step();
        if world.graph.figures().open_buckets == 0 {
            break;
        }
        assert!(number < 200, "it is never settled");
    }
    assert!(world.graph.figures().late_traces > 0);
    world.check_all();
    world.settle();
    assert_eq!(world.reads(), 0);
}

#[test]
fn late_traces_of_the_same_buckets_are_taken_in_together() {
    let mut world = World::new();
    world.config.late_traces = 20;
    world.config.late_buckets = 2;
    world.restart();
    for bucket in 0..10_u64 {
        world.write(call(u128::from(bucket) + 1, START + bucket * BUCKET));
    }
    world.settle();
    let before = world.keep.names();
    // One in each bucket, and many in the last one.
    for bucket in 0..10_u64 {
        world.write(call(u128::from(bucket) + 100, START + bucket * BUCKET));
    }
    for number in 0..10 {
        world.write(call(200 + number, START + 9 * BUCKET));
    }
    assert_eq!(world.graph.figures().late_traces, 20);
    world.work();
    let figures = world.graph.figures();
    assert_eq!(
        figures.late_traces, 8,
        "those of the first and of the last bucket are taken in"
    );
    let after = world.keep.names();
    let is_record = |name: &&String| !name.starts_with("day");
    let kept = after
        .iter()
        .filter(is_record)
        .filter(|name| before.contains(*name));
    assert_eq!(kept.count(), 8);
    world.check_all();
    world.settle();
    assert_eq!(world.reads(), 0);
}
