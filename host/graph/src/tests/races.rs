//! Writes, work and queries at the same time.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use larder_model::storage::{Observer as _, TimeRange};
use larder_search::kept::{Coverage, Kept, View};
use parking_lot::Mutex;

use super::world::{BUCKET, SECOND, START, World, call, of, op};
use crate::Step;

/// A view that was made before.
pub(super) struct Made(Mutex<Option<Box<dyn View>>>);

impl Made {
    pub(super) fn new(view: Option<Box<dyn View>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(view)))
    }
}

#[async_trait::async_trait]
impl Kept for Made {
    async fn view(&self, _: TimeRange) -> Option<Box<dyn View>> {
        self.0.lock().take()
    }

    fn coverage(&self, _: TimeRange) -> Coverage {
        Coverage::default()
    }
}

#[test]
fn a_bucket_is_not_settled_while_a_write_is_under_way() {
    let mut world = World::new();
    world.settle();
    world.write(call(1, START));
    world.pass(Duration::from_mins(10));
    let batches = world.begin(call(2, START)).unwrap();
    world.pass(Duration::from_mins(10));
    let graph = Arc::clone(&world.graph);
    // The write is marked and not stored yet.
    let is_pending = world.run(async {
        let mut step = pin!(graph.step());
        std::future::poll_fn(|context| Poll::Ready(step.as_mut().poll(context).is_pending())).await
    });
    assert!(is_pending);
    world.store(&batches);
    world.graph.after_write();
    world.settle();
    assert_eq!(world.reads(), 0);
    world.check_all();
}

#[test]
fn a_trace_that_is_written_to_while_its_bucket_is_settled_is_late() {
    for pieces in 1..12 {
        let mut world = World::new();
        for number in 1..20 {
            world.write(call(number, START));
        }
        world.settle();
        let bucket = world.now() / BUCKET * BUCKET;
        for number in 20..40 {
            world.write(call(number, bucket));
        }
        world.pass(Duration::from_mins(10));
        for _ in 0..pieces {
            world.step();
        }
        // One that is there, one that is new, and one of which a span comes later.
        world.write(vec![of("c", [op(20, 9, bucket).parent(1)])]);
        world.write(call(50, bucket));
        world.write(vec![of("c", [op(21, 9, world.now()).parent(1)])]);
        world.check_all();
        world.check(0, u64::MAX);
        world.settle();
        world.check(0, u64::MAX);
        assert_eq!(world.reads(), 0, "after {pieces} pieces");
    }
}

#[test]
fn a_late_trace_that_is_written_to_while_it_is_taken_in_stays_late() {
    for pieces in 1..8 {
        let mut world = World::new();
        world.write(call(1, START));
        world.settle();
        world.write(call(2, START + 1));
        world.pass(Duration::from_mins(6));
        for _ in 0..pieces {
            assert!(matches!(world.step(), Step::Worked { .. } | Step::Idle(_)));
        }
        world.write(vec![of("c", [op(2, 9, START + 1).parent(1)])]);
        assert_eq!(world.graph.figures().late_traces, 1);
        world.work();
        world.check_all();
        world.settle();
        world.check_all();
        assert_eq!(world.reads(), 0, "after {pieces} pieces");
    }
}

#[test]
fn a_query_counts_each_trace_once_whatever_happens_while_it_runs() {
    let mut world = World::new();
    for number in 1..10_u64 {
        world.write(call(number.into(), START + number % 3 * BUCKET));
    }
    world.settle();
    world.write(call(10, START));
    let expected = world.expected(0, u64::MAX);
    let view = world.run(world.graph.view(TimeRange::ALL));
    assert!(view.is_some());
    // Copies and spans that change nothing, so that the answer before and after is the same.
    world.write(call(3, START));
    world.write(vec![of("a", [op(4, 7, world.now())])]);
    world.settle();
    for number in 1..4 {
        world.write(vec![of("a", [op(number, 7, START + 2)])]);
    }
    world.settle();
    assert_eq!(world.expected(0, u64::MAX), expected);
    let made = Made::new(view);
    assert_eq!(world.ask(0, u64::MAX, Some(made)), expected);
}

#[test]
fn backfilling_believes_nothing_that_it_saw_before_the_state_was_made_anew() {
    for pieces in 0..8 {
        let mut world = World::new();
        for _ in 0..pieces {
            world.step();
        }
        // In the last bucket of all, where backfilling begins.
        world.write(call(1, u64::MAX - SECOND));
        let mut damaged = world.keep.now.lock().clone();
        for value in damaged.state.values_mut() {
            value[2] ^= 1;
        }
        world.keep.lose(&damaged);
        world.write(call(2, START));
        world.settle();
        world.check(0, u64::MAX);
        assert_eq!(world.reads(), 0, "after {pieces} pieces");
    }
}

#[test]
fn a_query_that_reads_a_replaced_record_too_late_judges_all_and_opens_no_bucket_again() {
    let mut world = World::new();
    world.write(call(1, START));
    world.settle();
    let view = world.run(world.graph.view(TimeRange::ALL));
    assert!(view.is_some());
    world.write(call(2, START));
    world.settle();
    world.keep.expire();
    let (expected, groups) = (world.expected(0, u64::MAX), world.keep.names());
    let made = Made::new(view);
    assert_eq!(world.ask(0, u64::MAX, Some(made)), expected);
    world.work();
    assert_eq!(world.keep.names(), groups);
}

#[test]
fn a_trace_that_retention_takes_a_part_of_while_a_query_runs_counts_once() {
    let mut world = World::new();
    world.write(call(1, START));
    world.settle();
    // Another call of the same trace, in a bucket that is open.
    world.write(call(1, world.now()));
    let view = world.run(world.graph.view(TimeRange::ALL));
    assert!(view.is_some());
    world.drop_oldest(1);
    let made = Made::new(view);
    let expected = world.expected(0, u64::MAX);
    assert_eq!(world.ask(0, u64::MAX, Some(made)), expected);
}
