//! Sums of days: a query reads one head for a day, and its answer is the same.

use std::time::Duration;

use larder_search::testing::Memory;

use super::keeping::Contents;
use super::world::{BUCKET, SECOND, START, World, call, of, op};

/// Buckets of a world that [`settled`] makes, all of one day.
const BUCKETS: u64 = 15;

/// A world in which the buckets of a day are settled, two traces in each, and their sums are made.
fn settled() -> World {
    let mut world = World::new();
    for bucket in 0..BUCKETS {
        let start = START + bucket * BUCKET;
        world.write(call(u128::from(2 * bucket) + 1, start));
        world.write(call(u128::from(2 * bucket) + 2, start + SECOND));
        world.pass(Duration::from_mins(5));
    }
    world.settle();
    assert_eq!(days(&world.keep.now.lock()).len(), 1);
    world
}

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// The keys and the values of the days that have sums.
fn days(contents: &Contents) -> Vec<Pair> {
    let entries = contents.state.iter().filter(|(key, _)| key[0] == b'd');
    entries
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The groups with sums of days.
fn groups(world: &World) -> Vec<String> {
    let mut names = world.keep.names();
    names.retain(|name| name.starts_with("day"));
    names
}

/// The entries of days, and the groups with their sums.
fn sums(world: &World) -> (Vec<Pair>, Vec<String>) {
    // One after the other: both lock what is kept.
    let days = days(&world.keep.now.lock());
    (days, groups(world))
}

/// Starts the process again, so that no head is in memory.
fn restart(world: &mut World) {
    world.restart();
    world.count();
}

#[test]
fn a_query_reads_one_head_for_a_day() {
    let mut world = settled();
    restart(&mut world);
    assert_eq!(world.gets(), 1);
    assert_eq!(world.reads(), 0);
    world.check_all();
    let told = world.explain(0, u64::MAX);
    assert_eq!(told.summed.map(|it| it.whole_buckets), Some(BUCKETS));
}

#[test]
fn a_day_that_lies_partly_within_the_window_counts_by_its_records() {
    let world = settled();
    let end = START + BUCKETS * BUCKET;
    for (start, end) in [
        (START, end),
        (START + 1, u64::MAX),
        (0, end - BUCKET),
        (0, START + 3 * BUCKET + 1),
    ] {
        world.check(start, end);
    }
}

#[test]
fn a_day_with_a_trace_that_ends_after_the_window_counts_by_its_records() {
    let mut world = World::new();
    for bucket in 0..3_u64 {
        world.write(call(u128::from(bucket) + 1, START + bucket * BUCKET));
    }
    let long = op(9, 2, START + 5).parent(1).lasting(2000 * BUCKET);
    world.write(vec![of("a", [op(9, 1, START + 4)]), of("b", [long])]);
    world.settle();
    assert_eq!(groups(&world).len(), 1);
    let last = START + 5 + 2000 * BUCKET;
    for end in [START + 1000 * BUCKET, last - 1, last, last + BUCKET] {
        world.check(0, end);
    }
}

#[test]
fn traces_that_are_judged_are_left_out_of_the_sums_of_a_day() {
    let mut world = settled();
    // One late trace with a row, one without, and one in a bucket that was not written to before.
    world.write(vec![of("c", [op(4, 9, START + BUCKET + 5).parent(1)])]);
    world.write(call(100, START + 2 * BUCKET));
    assert_eq!(world.graph.figures().late_traces, 2);
    restart(&mut world);
    // The day, the head of each bucket of a judged trace, and its page.
    assert_eq!(world.gets(), 5);
    world.check_all();
    let told = world.explain(0, u64::MAX);
    let summed = told.summed.unwrap();
    assert_eq!(
        (summed.whole_buckets, summed.partial_buckets),
        (BUCKETS - 2, 2)
    );
    world.write(call(101, START + (BUCKETS + 1) * BUCKET));
    world.check_all();
    assert_eq!(
        days(&world.keep.now.lock()),
        [],
        "a bucket of it was opened"
    );
    world.settle();
    world.check_all();
    assert_eq!(world.reads(), 0);
}

#[test]
fn what_changes_a_record_deletes_the_sums_of_its_day_with_it() {
    let mut world = settled();
    let before = sums(&world);
    world.write(call(100, START + BUCKET));
    world.pass(Duration::from_mins(6));
    world.work();
    assert_eq!(world.graph.figures().late_traces, 0);
    assert_eq!(days(&world.keep.now.lock()), []);
    assert_eq!(groups(&world), [""; 0], "they are given back");
    world.check_all();
    world.settle();
    let after = sums(&world);
    assert_eq!((after.0.len(), after.1.len()), (1, 1));
    assert_ne!(after, before);
    world.check_all();
}

#[test]
fn sums_that_an_older_release_has_left_behind_are_not_believed() {
    let mut world = settled();
    let before = world.keep.now.lock().clone();
    world.write(call(100, START + BUCKET));
    world.settle();
    let current = groups(&world);
    // It changes the record, and knows nothing of the day.
    {
        let mut now = world.keep.now.lock();
        now.state.extend(days(&before));
        let old = before.groups.iter();
        let old = old.filter(|(name, _)| name.starts_with("day"));
        now.groups
            .extend(old.map(|(name, values)| (name.clone(), values.clone())));
        for name in &current {
            now.groups.remove(name);
        }
    }
    restart(&mut world);
    world.check_all();
    world.settle();
    world.check_all();
    assert_eq!(days(&world.keep.now.lock()).len(), 1);
    assert_eq!(groups(&world).len(), 1);
}

#[test]
fn sums_whose_group_is_gone_or_damaged_are_made_anew_and_their_records_count() {
    for is_gone in [true, false] {
        let mut world = settled();
        for (name, values) in &mut world.keep.now.lock().groups {
            if name.starts_with("day") {
                if is_gone {
                    values.clear();
                }
                for value in values.values_mut() {
                    value[3] ^= 1;
                }
            }
        }
        restart(&mut world);
        let before = groups(&world);
        assert_eq!(world.reads(), 0);
        world.work();
        assert_eq!(days(&world.keep.now.lock()), []);
        world.settle();
        assert_eq!(groups(&world).len(), 1);
        assert_ne!(groups(&world), before);
        restart(&mut world);
        assert_eq!(world.gets(), 1);
    }
}

#[test]
fn a_day_of_which_retention_may_have_taken_some_counts_by_its_records() {
    let mut world = settled();
    world.drop_oldest(3);
    assert!(world.graph.figures().suspect_buckets > 0);
    world.check_all();
    world.settle();
    world.check_all();
    restart(&mut world);
    world.check_all();
}

#[test]
fn sums_of_a_day_are_not_made_for_each_late_trace() {
    let mut world = settled();
    let mut made = groups(&world);
    for number in 0..40 {
        world.write(call(100 + number, START + SECOND));
        for _ in 0..3 {
            world.pass(Duration::from_mins(6));
            world.work();
        }
        made.extend(groups(&world));
        made.sort_unstable();
        made.dedup();
    }
    assert!((3..=9).contains(&made.len()), "{}", made.len());
    world.check_all();
}

#[test]
fn a_day_is_not_added_up_while_older_traces_of_it_may_be_found() {
    let exports: Vec<_> = (0..10_u64)
        .map(|number| call(u128::from(number) + 1, START - number * BUCKET))
        .collect();
    let mut world = World::with(Memory::default(), &exports);
    world.config.day_quiet = Duration::ZERO;
    world.restart();
    world.count();
    for _ in 0..1000 {
        let is_backfilled = world.graph.figures().is_backfilled;
        assert!(is_backfilled || groups(&world).is_empty());
        world.step();
    }
    world.settle();
    assert_eq!(groups(&world).len(), 1);
    world.check_all();
}

#[test]
fn a_flow_of_late_traces_does_not_hold_up_the_sums_of_a_day() {
    let mut world = settled();
    world.config.late_traces = 1;
    restart(&mut world);
    let other = START - 1000 * BUCKET;
    world.write(call(500, other));
    world.settle();
    world.write(call(100, START + SECOND));
    world.work();
    assert_eq!(groups(&world), [""; 0], "its records have changed");
    for number in 1000.. {
        world.write(call(number, other));
        world.pass(Duration::from_mins(1));
        world.step();
        if !groups(&world).is_empty() {
            break;
        }
        assert!(number < 2000, "they are never made");
    }
    assert!(world.graph.figures().late_traces > 0);
    world.check_all();
    world.settle();
    world.check_all();
}
