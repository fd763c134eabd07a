//! What the explanation of dependencies tells of what is kept.

use larder_search::kept::{Coverage, Summed};
use larder_search::testing::Memory;

use super::world::{BUCKET, SECOND, START, World, call, of, op};

/// Traces in a bucket of [`settled`].
const TRACES: u64 = 3;

/// A world in which so many buckets are settled. The first trace of each begins with its bucket.
fn settled(buckets: u64) -> World {
    let mut world = World::new();
    for bucket in 0..buckets {
        for number in 0..TRACES {
            let id = bucket * TRACES + number + 1;
            let start = START + bucket * BUCKET + number * SECOND;
            world.write(call(id.into(), start));
        }
    }
    world.settle();
    world
}

#[test]
fn settled_buckets_within_the_window_are_added_up_whole_and_nothing_is_read() {
    let told = settled(3).explain(0, u64::MAX);
    let coverage = Coverage {
        settled_buckets: 3,
        ..Coverage::default()
    };
    let summed = Summed {
        whole_buckets: 3,
        ..Summed::default()
    };
    assert_eq!((told.coverage, told.summed), (Some(coverage), Some(summed)));
    assert_eq!((told.calls, told.links), (3 * TRACES, 1));
    assert_eq!((told.judged_traces, told.judged_spans), (0, 0));
    assert_eq!((told.pages, told.sightings), (0, 0));
    assert_eq!((told.fragments, told.bytes), (0, 0));
    assert_eq!(told.error, None);
}

#[test]
fn the_rows_of_a_bucket_at_the_edge_of_the_window_are_scanned() {
    let told = settled(3).explain(START + 1, u64::MAX);
    let summed = Summed {
        whole_buckets: 2,
        partial_buckets: 1,
        scanned_pages: 1,
        scanned_rows: TRACES,
    };
    assert_eq!(told.summed, Some(summed));
    assert_eq!(told.calls, 3 * TRACES - 1);
    assert_eq!(told.judged_traces, 0);
}

#[test]
fn what_has_not_settled_is_judged() {
    let mut world = settled(3);
    world.write(vec![of("c", [op(4, 9, START + BUCKET + 5).parent(1)])]);
    world.write(call(50, world.now()));
    let told = world.explain(0, u64::MAX);
    assert_eq!((told.judged_traces, told.judged_spans), (2, 3 + 2));
    assert!(told.pages > 0 && told.sightings > 0, "{told:?}");
    assert!(told.fragments > 1 && told.bytes > 0, "{told:?}");
    let text = told.to_string();
    for part in [
        "calls from what is kept, and from the traces that had to be judged\n",
        "buckets: 3 settled, 1 open, 0 suspect, 0 unknown; 1 late traces\n",
        "2 buckets added up whole, 1 in part, with 1 pages of 3 rows scanned\n",
        ", 2 traces of 5 spans judged\n",
        "11 calls between 2 pairs of services\n",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn buckets_of_which_nothing_is_kept_yet_are_told() {
    let world = World::with(
        Memory::default(),
        &[call(1, START), call(2, START + SECOND)],
    );
    let told = world.explain(START, START + 2 * BUCKET - 1);
    let coverage = Coverage {
        unknown_buckets: 2,
        ..Coverage::default()
    };
    assert_eq!((told.coverage, told.summed), (Some(coverage), None));
    assert_eq!(
        told.from,
        "all traces of the window: no bucket of it has settled"
    );
    assert_eq!((told.judged_traces, told.calls), (2, 2));
}

#[test]
fn buckets_of_which_retention_may_have_dropped_some_are_told() {
    let mut world = settled(3);
    world.drop_oldest(1);
    let suspect = world.graph.figures().suspect_buckets;
    assert!(suspect > 0);
    let told = world.explain(0, u64::MAX);
    let coverage = told.coverage.unwrap();
    assert_eq!(coverage.suspect_buckets, suspect);
    assert_eq!(coverage.settled_buckets, 3 - suspect);
    assert!(told.judged_traces > 0);
}

#[test]
fn what_cannot_be_read_or_used_is_told() {
    let mut world = settled(1);
    for values in world.keep.now.lock().groups.values_mut() {
        for value in values.values_mut() {
            value[3] ^= 1;
        }
    }
    world.restart();
    for part in ["told its counters", "cannot be read", "is damaged"] {
        let told = world.explain(0, u64::MAX);
        assert!(
            told.from.starts_with("all traces of the window: "),
            "{told}"
        );
        assert!(told.from.contains(part), "{part} in {told}");
        assert_eq!(told.summed, None);
        assert_eq!((told.judged_traces, told.calls), (TRACES, TRACES));
        world.count();
    }
}
