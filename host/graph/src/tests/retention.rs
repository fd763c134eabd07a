//! Retention: what it takes goes from the answers, and nothing else is read again for it.

use std::time::Duration;

use larder_model::storage::Observer as _;
use larder_proto::storage::v2::Dependency;

use super::world::{BUCKET, START, World, call, of, op};

/// A world in which ten traces were written, each in a bucket of its own, and all are settled.
fn with_ten_records() -> World {
    let mut world = World::new();
    world.settle();
    for number in 1..11_u64 {
        world.write(call(number.into(), START + number * BUCKET));
        world.pass(Duration::from_mins(5));
    }
    world.settle();
    world
}

#[test]
fn records_that_retention_may_have_touched_are_judged_and_made_anew() {
    let mut world = with_ten_records();
    world.drop_oldest(2);
    let suspect = world.graph.figures().suspect_buckets;
    assert!((1..=3).contains(&suspect), "{suspect}");
    world.check_all();
    world.settle();
    assert_eq!(world.reads(), 0);
    world.check_all();
}

#[test]
fn what_is_left_of_a_trace_counts_where_it_lies_now() {
    let mut world = World::new();
    world.write(vec![of("a", [op(1, 1, START)])]);
    world.pass(Duration::from_mins(1));
    world.write(vec![
        of("a", [op(1, 2, START + 3 * BUCKET)]),
        of("b", [op(1, 3, START + 3 * BUCKET).parent(2)]),
    ]);
    world.settle();
    let (start, end) = (START + 2 * BUCKET, START + 4 * BUCKET);
    assert_eq!(world.dependencies(start, end), []);
    world.drop_oldest(1);
    // Its first bucket is outside of the window, and nothing of it is left there.
    assert_eq!(world.dependencies(start, end).len(), 1);
    world.check_all();
    world.settle();
    world.check_all();
    assert_eq!(world.reads(), 0);
}

#[test]
fn a_trace_without_calls_may_get_one_by_a_loss() {
    let mut world = World::new();
    // The parent's id is also that of a span of the child's own service, so there is no call.
    world.write(vec![of("b", [op(1, 1, START)])]);
    world.pass(Duration::from_mins(1));
    world.write(vec![
        of("a", [op(1, 1, START + BUCKET)]),
        of("b", [op(1, 2, START + BUCKET).parent(1)]),
    ]);
    world.settle();
    assert_eq!(world.dependencies(0, u64::MAX), []);
    world.drop_oldest(1);
    assert_eq!(world.dependencies(0, u64::MAX).len(), 1);
    world.check_all();
    world.settle();
    world.check_all();
}

#[test]
fn what_is_suspect_stays_so_over_a_restart() {
    let mut world = World::new();
    for number in 1..5_u64 {
        world.write(call(number.into(), START + number * BUCKET));
        world.pass(Duration::from_mins(5));
    }
    world.settle();
    world.drop_oldest(2);
    world.restart();
    world.check_all();
    world.count();
    world.check_all();
    world.settle();
    world.check_all();
}

#[test]
fn nothing_is_believed_once_a_plugin_drops_and_does_not_say_what() {
    let mut world = World::new();
    world.tells_oldest = false;
    for number in 1..5_u64 {
        world.write(call(number.into(), START + number * BUCKET));
        world.pass(Duration::from_mins(5));
    }
    world.settle();
    assert_eq!(world.reads(), 0);
    world.drop_oldest(3);
    world.check_all();
    world.settle();
    world.check_all();
    assert_eq!(world.reads(), 0);
}

#[test]
fn traces_of_one_time_of_writing_may_go_one_by_one() {
    let mut world = World::new();
    world.is_exclusive = true;
    let many = (1..9_u64).flat_map(|number| call(number.into(), START + number));
    world.write(many.collect());
    world.settle();
    for _ in 0..8 {
        world.drop_oldest_trace();
        world.check_all();
    }
    world.settle();
    world.check_all();
    assert_eq!(world.graph.figures().bytes, 0);
}

#[test]
fn a_bucket_of_which_nothing_is_left_leaves_nothing() {
    let mut world = World::new();
    world.write(call(1, START));
    world.pass(Duration::from_mins(10));
    world.write(call(2, START + 4 * BUCKET));
    world.settle();
    let count = || {
        world
            .memory
            .traces()
            .iter()
            .filter(|it| it.is_some())
            .count()
    };
    let fragments = count() / 2;
    assert!(fragments > 0);
    world.drop_oldest(fragments);
    world.settle();
    let keep = world.keep.now.lock().clone();
    assert_eq!(keep.groups.len(), 1);
    let buckets = keep.state.keys().filter(|key| key[0] == b'b');
    assert_eq!(buckets.count(), 1);
}

/// A world with trace 1, of which retention has taken the first fragment. What is left of it is one call, in a bucket that was settled
/// before and that has nothing else as old; its first bucket was opened again, so that it has no record.
fn with_a_rest(is_late: bool) -> World {
    let mut world = World::new();
    world.config.late_a_write = 10;
    world.restart();
    world.settle();
    world.write(vec![of("a", [op(1, 1, START)])]);
    world.pass(Duration::from_mins(1));
    world.write(call(2, START + 10 * BUCKET));
    world.pass(Duration::from_mins(1));
    world.write(call(3, START + 3 * BUCKET));
    if is_late {
        world.settle();
    }
    world.write(vec![
        of("a", [op(1, 2, START + 3 * BUCKET)]),
        of("b", [op(1, 3, START + 3 * BUCKET).parent(2)]),
    ]);
    world.settle();
    assert_eq!(world.reads(), 0);
    let many = (100..120).flat_map(|number| call(number, START));
    world.write(many.collect());
    assert_eq!(world.graph.figures().open_buckets, 1);
    world.drop_oldest(1);
    world
}

#[test]
fn what_is_left_of_a_trace_counts_although_the_record_that_had_it_is_gone() {
    for is_late in [false, true] {
        let world = with_a_rest(is_late);
        let (start, end) = (START + 2 * BUCKET, START + 4 * BUCKET);
        let count = |it: &[Dependency]| it.iter().map(|it| it.call_count).sum::<u64>();
        assert_eq!(count(&world.dependencies(start, end)), 2, "{is_late}");
        world.check_all();
        world.settle();
        world.check_all();
        assert_eq!(world.reads(), 0);
    }
}

#[test]
fn a_trace_that_comes_while_its_empty_bucket_is_settled_is_as_old_as_it_is() {
    for pieces in 1..8 {
        let mut world = World::new();
        world.settle();
        // A write that is marked, and that the plugin refuses.
        drop(world.begin(call(1, START)).unwrap());
        world.graph.after_write();
        world.pass(Duration::from_mins(10));
        for _ in 0..pieces {
            world.step();
        }
        world.write(call(2, START));
        world.pass(Duration::from_mins(1));
        world.write(call(3, START + 3 * BUCKET));
        world.settle();
        assert_eq!(world.reads(), 0);
        world.drop_oldest(1);
        assert_eq!(world.dependencies(START, START + BUCKET), []);
        world.check_all();
    }
}

#[test]
fn an_open_bucket_is_settled_before_records_that_retention_may_have_touched() {
    let mut world = with_ten_records();
    world.write(call(11, START + 100 * BUCKET));
    world.drop_oldest(2);
    let suspect = world.graph.figures().suspect_buckets;
    assert!(suspect > 0);
    world.pass(Duration::from_hours(1));
    for _ in 0..100 {
        if world.graph.figures().open_buckets == 0 {
            break;
        }
        world.step();
    }
    let figures = world.graph.figures();
    assert_eq!(
        (figures.open_buckets, figures.suspect_buckets),
        (0, suspect)
    );
    world.settle();
    assert_eq!(world.reads(), 0);
}

/// A year, by which a clock may be ahead.
const YEAR: Duration = Duration::from_hours(24 * 365);

/// A world in which trace 9 was written, and trace 1 after it, while the clock was a year ahead.
fn with_a_clock_ahead() -> World {
    let mut world = World::new();
    world.settle();
    world.write(call(9, START - 10 * BUCKET));
    world.settle();
    world.pass(YEAR);
    world.write(call(1, START));
    world
}

#[test]
fn a_clock_that_was_ahead_hides_no_loss() {
    for is_settled in [false, true] {
        let mut world = with_a_clock_ahead();
        if is_settled {
            world.settle();
        }
        world.back(YEAR);
        world.write(call(2, START + 3 * BUCKET));
        world.settle();
        assert_eq!(world.reads(), 0);
        for _ in 0..2 {
            world.drop_oldest(1);
            world.check_all();
        }
        let left = world.dependencies(START, START + BUCKET);
        assert_eq!(left, [], "{is_settled}");
        world.settle();
        world.check_all();
    }
}

#[test]
fn a_clock_that_was_ahead_before_a_restart_hides_no_loss() {
    let mut world = with_a_clock_ahead();
    world.settle();
    world.restart();
    world.count();
    world.back(YEAR);
    world.write(call(2, START + 3 * BUCKET));
    world.sync();
    world.lose();
    world.restart();
    world.count();
    world.settle();
    for _ in 0..2 {
        world.drop_oldest(1);
        world.check_all();
    }
    assert_eq!(world.dependencies(START, START + BUCKET), []);
}

#[test]
fn what_goes_unseen_is_gone_although_the_clock_went_back_while_nothing_ran() {
    let mut world = with_a_clock_ahead();
    world.restart();
    world.count();
    world.back(YEAR);
    world.write(call(2, START + 3 * BUCKET));
    world.settle();
    // The record of trace 1 is made anew once trace 9 has gone.
    for _ in 0..2 {
        world.drop_oldest(1);
        world.restart();
        world.count();
        world.check_all();
        world.settle();
    }
    assert_eq!(world.dependencies(START, START + BUCKET), []);
}

#[test]
fn what_goes_unseen_is_made_anew_soon_although_the_clock_goes_back_then() {
    let mut world = with_a_clock_ahead();
    world.settle();
    world.restart();
    world.drop_oldest(1);
    world.back(YEAR);
    world.settle();
    assert_eq!(world.graph.figures().suspect_buckets, 0);
    assert_eq!(world.reads(), 0);
}

#[test]
fn what_is_written_into_a_bucket_after_the_clock_has_gone_back_is_as_old_as_it_is() {
    for is_late in [false, true] {
        let mut world = with_a_clock_ahead();
        if is_late {
            world.settle();
        }
        world.back(YEAR);
        world.write(call(2, START + 5));
        world.pass(Duration::from_mins(1));
        world.write(call(3, START + 3 * BUCKET));
        world.settle();
        assert_eq!(world.reads(), 0);
        for _ in 0..3 {
            world.drop_oldest(1);
            world.check_all();
        }
        assert_eq!(world.dependencies(START, START + BUCKET), []);
    }
}

#[test]
fn nothing_waits_for_the_time_of_a_clock_that_was_ahead() {
    let mut world = with_a_clock_ahead();
    world.settle();
    world.write(call(2, START));
    world.write(call(3, START + BUCKET));
    world.back(YEAR);
    world.settle();
    assert_eq!(world.reads(), 0);
}

#[test]
fn what_goes_after_the_clock_has_gone_back_and_before_the_next_write_is_gone() {
    let mut world = with_a_clock_ahead();
    world.pass(Duration::from_mins(1));
    world.write(call(2, START + 3 * BUCKET));
    world.settle();
    world.back(YEAR);
    for _ in 0..2 {
        world.drop_oldest(1);
        world.check_all();
        world.settle();
        world.check_all();
    }
    assert_eq!(world.dependencies(START, START + BUCKET), []);
    // The records of what comes now are not suspect because of that.
    world.write(call(3, START + 5 * BUCKET));
    world.settle();
    world.pass(Duration::from_hours(1));
    world.write(call(4, START + 7 * BUCKET));
    world.settle();
    world.drop_oldest(1);
    let figures = world.graph.figures();
    assert!(figures.suspect_buckets < 3, "{figures:?}");
    world.check_all();
}

/// A world in which trace 1 was written while the clock was ahead, and trace 2 after it, and whose plugin tells the time of trace 1.
fn with_a_time_that_has_not_come(ahead: Duration) -> World {
    let mut world = World::new();
    world.is_exclusive = true;
    world.settle();
    world.pass(ahead);
    world.write(call(1, START));
    world.back(ahead);
    world.write(call(2, START + 3 * BUCKET));
    world.settle();
    assert_eq!(world.reads(), 0);
    world
}

#[test]
fn a_time_of_a_clock_that_was_ahead_hides_no_loss_while_the_plugin_tells_it() {
    for ahead in [Duration::from_hours(1), YEAR] {
        let mut world = with_a_time_that_has_not_come(ahead);
        world.write(call(3, START + 5 * BUCKET));
        for _ in 0..2 {
            world.drop_oldest_trace();
            world.check_all();
        }
        let left = world.dependencies(START, START + 4 * BUCKET);
        assert_eq!(left, [], "{ahead:?}");
    }
}

#[test]
fn a_time_that_has_not_come_is_no_loss_each_time_that_it_is_told() {
    let world = with_a_time_that_has_not_come(YEAR);
    world.count();
    assert_eq!(world.graph.figures().suspect_buckets, 0);
    assert_eq!(world.reads(), 0);
}
