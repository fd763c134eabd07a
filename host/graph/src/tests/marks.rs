//! Marks of writes: durable before the write, and none where nothing changes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_model::storage::Observer as _;

use super::world::{BUCKET, START, World, call};

fn commits(world: &World) -> usize {
    world.keep.commits.load(Ordering::Relaxed)
}

#[test]
fn a_write_into_an_open_bucket_commits_nothing() {
    let mut world = World::new();
    world.settle();
    world.write(call(1, world.now()));
    let before = commits(&world);
    for number in 2..100 {
        world.write(call(number, world.now()));
    }
    assert_eq!(commits(&world), before);
    world.check_all();
}

#[test]
fn a_bucket_is_open_durably_before_its_first_write_is_stored() {
    let mut world = World::new();
    world.settle();
    let batches = world.begin(call(1, START)).unwrap();
    // The mark is durable, and so is the write; then everything in memory is lost.
    world.store(&batches);
    world.sync();
    world.lose();
    world.restart();
    world.count();
    assert_eq!(world.graph.figures().open_buckets, 1);
    world.check_all();
}

#[test]
fn a_trace_is_late_durably_before_a_write_into_its_settled_bucket_is_stored() {
    let mut world = World::new();
    world.write(call(1, START));
    world.settle();
    let batches = world.begin(call(2, START)).unwrap();
    world.store(&batches);
    world.sync();
    world.lose();
    world.restart();
    world.count();
    assert_eq!(world.graph.figures().late_traces, 1);
    world.check_all();
    world.settle();
    world.check_all();
    assert_eq!(world.reads(), 0);
}

#[test]
fn a_late_trace_is_marked_once() {
    let mut world = World::new();
    world.write(call(1, START));
    world.settle();
    world.write(call(2, START));
    let before = commits(&world);
    world.write(call(2, START + 10));
    assert_eq!(commits(&world), before);
    assert_eq!(world.graph.figures().late_traces, 1);
    world.check_all();
}

#[test]
fn a_write_that_makes_too_many_traces_late_opens_their_bucket() {
    let mut world = World::new();
    world.config.late_a_write = 10;
    world.restart();
    world.count();
    world.write(call(1, START));
    world.settle();
    let many = (2..20).flat_map(|number| call(number, START + 5));
    world.write(many.collect());
    let figures = world.graph.figures();
    assert_eq!((figures.open_buckets, figures.late_traces), (1, 0));
    world.check_all();
    world.settle();
    assert_eq!(world.reads(), 0);
}

#[test]
fn a_write_is_refused_if_it_cannot_be_marked() {
    let mut world = World::new();
    world.settle();
    world.keep.fails.store(true, Ordering::Relaxed);
    assert!(world.try_write(call(1, START)).is_err());
    world.keep.fails.store(false, Ordering::Relaxed);
    world.try_write(call(1, START)).unwrap();
    world.settle();
    world.check_all();
}

#[test]
fn what_the_driver_has_lost_is_not_believed() {
    let mut world = World::new();
    world.write(call(1, START));
    world.settle();
    world.sync();
    world.write(call(2, START + BUCKET));
    world.settle();
    world.lose();
    world.check_all();
    // The bucket of trace 2 has no entry any more.
    world.write(call(3, START + BUCKET));
    world.check_all();
    world.settle();
    world.check_all();
}

#[test]
fn nothing_is_left_of_a_purged_tenant() {
    let mut world = World::new();
    world.write(call(1, START));
    world.settle();
    world.write(call(2, START));
    world.purge();
    world.check_all();
    world.write(call(3, START));
    world.settle();
    world.check_all();
    assert_eq!(world.keep.now.lock().groups.len(), 1);
}

#[test]
fn a_closed_tenant_does_no_work() {
    let mut world = World::new();
    world.write(call(1, START));
    world.pass(Duration::from_hours(1));
    world.step();
    world.run(world.graph.close());
    assert_eq!(world.step(), crate::Step::Closed);
}
