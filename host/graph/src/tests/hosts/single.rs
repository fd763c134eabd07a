//! Single cases.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use larder_core::testing::MemoryKeep;
use larder_model::storage::{Observer as _, TimeRange};
use larder_search::kept::Kept as _;
use larder_search::testing::Memory;

use super::world::{World, name};
use crate::Step;
use crate::tests::races::Made;
use crate::tests::world::{BUCKET, START, call, of, op};

fn world(hosts: usize) -> World {
    World::new(hosts, Memory::default())
}

#[test]
fn what_all_hosts_have_written_is_settled_and_each_answers_from_it() {
    let mut world = world(3);
    for number in 1..10_u64 {
        let host = usize::try_from(number).unwrap() % 3;
        world.write(host, call(number.into(), START + number % 4 * BUCKET));
        world.check_all();
    }
    // A trace of which each host has a part.
    world.write(0, vec![of("a", [op(20, 1, START)])]);
    world.write(1, vec![of("b", [op(20, 2, START + BUCKET).parent(1)])]);
    world.write(2, vec![of("c", [op(20, 3, START + 2 * BUCKET).parent(2)])]);
    world.check_all();
    world.settle();
    world.check_all();
    for host in 0..3 {
        assert_eq!(world.reads(host), 0, "host {host}");
        let figures = world.figures(host);
        assert_eq!((figures.settled_buckets, figures.open_buckets), (4, 0));
        assert!(!figures.is_unusable);
    }
    let holders = (0..3).filter(|host| world.figures(*host).held_tenants == 1);
    assert_eq!(holders.count(), 1);
}

#[test]
fn late_spans_count_at_once_whichever_host_has_written_them() {
    let mut world = world(2);
    world.write(0, call(1, START));
    world.settle();
    assert_eq!(world.reads(1), 0);
    for host in 0..2 {
        let start = world.now();
        world.write(
            host,
            vec![of("c", [op(1, 7 + host as u64, START + 5).parent(2)])],
        );
        world.check_all();
        world.write(host, call(2 + host as u128, START + 5));
        world.check_all();
        assert!(world.figures(0).settled_buckets > 0, "at {start}");
    }
    world.settle();
    world.check_all();
    assert_eq!((world.reads(0), world.reads(1)), (0, 0));
}

#[test]
fn a_bucket_is_not_settled_while_a_host_writes_into_it() {
    let mut world = world(2);
    world.write(0, call(1, START));
    world.begin(1, call(2, START)).unwrap();
    world.pass(Duration::from_mins(10));
    for _ in 0..20 {
        // The other host does not get to its marks, as a write of it is under way.
        world.step(0);
    }
    world.end(1);
    world.check_all();
    world.settle();
    world.check_all();
    assert_eq!((world.reads(0), world.reads(1)), (0, 0));
}

#[test]
fn the_data_of_a_dead_host_is_settled_once_it_is_adopted() {
    let mut world = world(3);
    for host in 0..3 {
        world.write(host, call(host as u128 + 1, START));
    }
    // Also the holder.
    world.step(0);
    world.begin(0, call(9, START)).unwrap();
    world.pause(0);
    world.settle();
    world.check_all();
    assert!(world.reads(1) > 0, "its marks stand");
    world.adopt(1, 0);
    world.settle();
    world.check_all();
    assert_eq!((world.reads(1), world.reads(2)), (0, 0));
    // It comes back, and what it had begun is refused.
    world.wake(0);
    world.end(0);
    world.check_all();
    assert!(world.begin(0, call(10, START + BUCKET)).is_err());
    world.restart(0, false);
    world.write(0, call(11, START));
    world.check_all();
    world.settle();
    world.check_all();
}

#[test]
fn a_host_that_joins_late_marks_its_first_write() {
    let mut world = world(1);
    world.write(0, call(1, START));
    world.settle();
    world.join();
    world.write(1, call(2, START));
    world.check_all();
    world.settle();
    world.check_all();
    assert_eq!((world.reads(0), world.reads(1)), (0, 0));
}

#[test]
fn nothing_is_believed_while_a_host_drops_and_records_it_touched_are_made_anew() {
    let mut world = world(2);
    for number in 1..7_u64 {
        world.write(
            usize::try_from(number).unwrap() % 2,
            call(number.into(), START + number * BUCKET),
        );
        world.pass(Duration::from_mins(5));
    }
    world.settle();
    assert_eq!(world.reads(0), 0);
    world.drop_oldest(0, 2, false);
    world.check_all();
    // Its process ends before it has told of that.
    world.pause(0);
    world.check_all();
    world.adopt(1, 0);
    world.check_all();
    world.tell(0);
    world.check_all();
    world.settle();
    world.check_all();
    assert_eq!(world.reads(1), 0);
    world.drop_oldest(0, 1, true);
    world.drop_oldest(1, 1, true);
    world.check_all();
    world.settle();
    world.check_all();
    assert_eq!(world.reads(1), 0);
}

#[test]
fn a_trace_that_retention_takes_a_part_of_while_a_query_runs_counts_once() {
    for (writer, asked, is_heard) in [(0, 0, false), (0, 1, false), (0, 1, true)] {
        let mut world = world(2);
        world.write(writer, call(1, START));
        world.settle();
        // Another call of the same trace, in a bucket that is open.
        world.write(writer, call(1, world.now()));
        let graph = Arc::clone(&world.hosts[asked].graph);
        let view = world.run(graph.view(TimeRange::ALL));
        assert!(view.is_some());
        world.drop_oldest(writer, 1, true);
        if is_heard {
            // The one that holds the records has made them anew.
            world.work();
        }
        assert_eq!(
            world.ask(0, u64::MAX, Made::new(view)),
            world.expected(0, u64::MAX)
        );
    }
}

#[test]
fn a_host_looks_seldom_at_a_tenant_that_nobody_writes_to() {
    let mut world = World::empty(Memory::default());
    let look = Duration::from_secs(5);
    world.config.look = look;
    world.join();
    world.join();
    world.write(0, call(1, START));
    world.work();
    for host in 0..2 {
        assert_eq!(world.step(host), Step::Idle(Some(look)));
    }
    world.settle();
    for host in 0..2 {
        assert_eq!(world.step(host), Step::Idle(Some(6 * look)));
    }
    world.write(0, call(2, world.now()));
    // It need not wait until it would have looked.
    let changes = world.hosts[0].graph.changes();
    world.run(changes.next());
    world.work();
    for host in 0..2 {
        assert_eq!(world.step(host), Step::Idle(Some(look)));
    }
}

#[test]
fn upkeep_that_has_dropped_nothing_touches_no_record() {
    let mut world = world(2);
    world.write(0, call(1, START));
    world.settle();
    for _ in 0..2 {
        world.drop_oldest(0, 0, true);
        assert_eq!((world.reads(0), world.reads(1)), (0, 0));
        world.pass(Duration::from_mins(1));
    }
}

#[test]
fn a_host_that_closes_the_tenant_leaves_the_work_to_another() {
    let mut world = world(2);
    world.write(0, call(1, START));
    world.settle();
    let holds = |world: &World, host| world.figures(host).held_tenants == 1;
    let holder = usize::from(holds(&world, 1));
    let other = 1 - holder;
    assert!(holds(&world, holder) && !holds(&world, other));
    world.run(world.hosts[holder].graph.close());
    world.step(other);
    assert!(holds(&world, other), "the other one is alive");
    world.write(other, call(2, START));
    world.check(0, u64::MAX);
}

#[test]
fn what_is_damaged_is_made_anew_and_answers_are_right_meanwhile() {
    let damage = |keep: &MemoryKeep, kind: u8| {
        let mut entries = keep.entries().into_iter();
        let last = entries.rfind(|(key, _)| key.first() == Some(&kind));
        let (key, mut value) = last.unwrap();
        value[2] ^= 1;
        keep.set(&key, &value);
    };
    // What hosts keep together: a bucket, and what was taken of a host. What one has marked: its head.
    for (kind, is_of_all) in [(b'b', true), (b't', true), (b'h', false)] {
        let mut world = world(2);
        for number in 0..4 {
            world.write(number % 2, call(1 + number as u128, START));
        }
        world.write(0, call(9, world.now()));
        world.settle();
        if is_of_all {
            damage(&world.places.common(), kind);
        } else {
            damage(&world.places.kept(&name(1)).unwrap(), kind);
        }
        world.check_all();
        world.settle();
        world.check_all();
        let kind = char::from(kind);
        assert_eq!((world.reads(0), world.reads(1)), (0, 0), "{kind}");
    }
}

#[test]
fn the_marks_of_each_commit_are_told_apart() {
    let mut world = world(2);
    world.write(0, call(1, START));
    world.settle();
    // More than a commit has.
    let many = (0..2000).flat_map(|number| call(100 + number, START));
    world.write(1, many.collect());
    let kept = world.places.kept(&name(1)).unwrap().entries();
    let late = kept.iter().filter(|(key, _)| key.first() == Some(&b'l'));
    assert_eq!(late.clone().count(), 2000);
    // They differ in nothing but their numbers.
    let numbers: BTreeSet<&Vec<u8>> = late.map(|(_, value)| value).collect();
    assert_eq!(numbers.len(), 2);
    world.check(0, u64::MAX);
    world.settle();
    world.check(0, u64::MAX);
}
