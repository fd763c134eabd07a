//! Two writers of one tenant: they keep within one limit of size together, and one that has nothing left can be retired.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::collections::BTreeSet;

use common::{WRITERS, act_as, in_role, role_of, shapes, small_shape};
use larder_kv::{Kv, Shape};
use larder_plugin::testing::kv::{self, Fault};
use larder_plugin::testing::random::{Fragments, fragments};
use larder_plugin::testing::{batch, environment, fragment};
use larder_plugin::{Environment, Part, Plugin, Role, Search, Sizes, Wanted};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;
const MAX_BYTES: u64 = 96 << 10;

fn open(instance: usize, settings: &[(&str, &str)], shape: Shape) -> Kv {
    act_as(instance);
    let environment = Environment {
        role: role_of(instance),
        ..environment(settings)
    };
    Kv::open_with(&environment, shape).unwrap()
}

/// Returns the numbers of all fragments that are stored.
fn found(reader: &mut Kv) -> BTreeSet<u64> {
    reader.refresh().unwrap();
    let (mut numbers, mut resume) = (BTreeSet::new(), None);
    loop {
        let page = reader.find(&Search::all(), resume.as_deref(), 50).unwrap();
        let handles = page.found.iter().filter_map(|it| it.fragment).collect();
        let wanted = Wanted::Fragments(handles);
        let pieces = reader.read(&wanted, Part::Digest, None, u32::MAX).unwrap();
        let number = |bytes: &[u8]| u64::from_be_bytes(*bytes.first_chunk().unwrap());
        numbers.extend(pieces.pieces.iter().map(|it| number(&it.bytes)));
        resume = page.resume;
        if resume.is_none() {
            return numbers;
        }
    }
}

/// Two writers under one limit.
struct Run {
    writers: [Kv; 2],
    reader: Kv,
    now: u64,
    /// The writer of each fragment, and when it wrote it, by the fragment's number.
    written: Vec<(usize, u64)>,
    stored: BTreeSet<u64>,
}

impl Run {
    fn new(shape: Shape) -> Self {
        kv::reset();
        let settings = [("max_bytes", "96KiB"), ("retention", "8760h")];
        Self {
            writers: [0, 1].map(|it| open(it, &settings, shape)),
            reader: open(2, &[], shape),
            now: SECOND,
            written: Vec::new(),
            stored: BTreeSet::new(),
        }
    }

    fn write(&mut self, writer: usize, fragments: Fragments) {
        self.now += SECOND;
        act_as(writer);
        let numbered = fragments.into_iter().map(|it| {
            let number = self.written.len() as u64;
            self.written.push((writer, self.now));
            self.stored.insert(number);
            it.digest(number.to_be_bytes())
        });
        let batch = batch(numbered.collect::<Vec<_>>());
        self.writers[writer].write(self.now, vec![batch]).unwrap();
    }

    /// Runs a step of a writer's maintenance, and checks what it has dropped: nothing while there was room, and nothing while the other had
    /// something older.
    fn maintain(&mut self, writer: usize) -> bool {
        act_as(writer);
        let sizes = kv::sizes();
        let evicted = self.writers[writer].statistics().evicted_spans;
        let more = self.writers[writer].maintain(self.now, sizes).unwrap();
        if self.writers[writer].statistics().evicted_spans == evicted {
            return more;
        }
        assert!(sizes.tenant > MAX_BYTES, "{sizes:?}");
        let left = found(&mut self.reader);
        let of = |number: &u64| self.written[usize::try_from(*number).unwrap()];
        let gone: Vec<_> = self.stored.difference(&left).map(of).collect();
        assert!(gone.iter().all(|it| it.0 == writer), "{gone:?}");
        // Buckets are dropped as a whole, and are as old as their first write.
        let oldest = gone.iter().map(|it| it.1).min();
        let others = left.iter().map(of).filter(|it| it.0 != writer);
        let older = others.map(|it| it.1).min().filter(|it| Some(*it) < oldest);
        assert_eq!(older, None, "{gone:?}");
        self.stored = left;
        more
    }

    /// Runs maintenance until nothing is left to do, and for long enough that each writer sees what the other has dropped.
    fn rest(&mut self) {
        for _ in 0..1000 {
            while (0..2).any(|writer| self.maintain(writer)) {}
            if kv::stored_bytes() <= MAX_BYTES {
                return;
            }
            self.now += 31 * SECOND;
        }
        panic!("{} bytes are stored", kv::stored_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn two_writers_stay_within_one_limit_and_drop_what_was_written_first(
        shape in shapes(),
        writes in prop::collection::vec((0..2_usize, fragments(30, 900, 12)), 1..80),
    ) {
        let mut run = Run::new(shape);
        for (writer, fragments) in writes {
            run.write(writer, fragments);
            run.rest();
        }
    }
}

/// A writer that fills its share and is idle from then on.
#[test]
fn one_writer_s_new_data_makes_the_other_drop_its_old() {
    let mut run = Run::new(small_shape());
    let some = || (0..5).map(|n| fragment(n).otlp(vec![n.to_le_bytes()[0]; 900]));
    for _ in 0..10 {
        run.write(0, some().collect());
        run.rest();
    }
    let most = run.stored.len();
    assert_eq!(most, 50);
    for _ in 0..100 {
        run.write(1, some().collect());
        run.rest();
    }
    let first = run.written.iter().position(|it| it.0 == 1).unwrap() as u64;
    assert!(run.stored.iter().all(|it| *it >= first), "{:?}", run.stored);
    assert!(run.stored.len() > most, "{:?}", run.stored);
}

#[test]
fn a_writer_waits_while_the_sizes_may_count_what_the_other_has_dropped() {
    const TOO_MUCH: Sizes = Sizes {
        tenant: 2 * MAX_BYTES,
        own: MAX_BYTES,
    };
    kv::reset();
    let mut writers = [0, 1].map(|it| open(it, &[("max_bytes", "96KiB")], small_shape()));
    for (writer, now) in [(0, 1), (1, 2), (0, 3)] {
        act_as(writer);
        let some = vec![batch([fragment(1)])];
        writers[writer].write(now * SECOND, some).unwrap();
        writers[1].maintain(now * SECOND, kv::sizes()).unwrap();
    }
    let mut evicted = |writer: usize, now: u64| {
        act_as(writer);
        let plugin: &mut Kv = &mut writers[writer];
        while plugin.maintain(now * SECOND, TOO_MUCH).unwrap() {}
        plugin.statistics().evicted_spans
    };
    assert_eq!(evicted(1, 4), 0, "the other has older data");
    assert_eq!(evicted(0, 5), 2, "both of one bucket");
    assert_eq!([6, 35].map(|now| evicted(1, now)), [0; 2]);
    assert_eq!(evicted(1, 36), 1);
}

/// Without upkeep of the other, its data is waited for only as long as retention would keep it.
#[test]
fn a_writer_without_upkeep_does_not_keep_others_from_making_room() {
    kv::reset();
    let settings = [("max_bytes", "96KiB"), ("retention", "240s")];
    let mut writers = [0, 1].map(|it| open(it, &settings, small_shape()));
    let mut write = |writer: usize, now: u64| {
        act_as(writer);
        let some = (0..5).map(|n| fragment(n).otlp(vec![1; 900]));
        writers[writer].write(now, vec![batch(some)]).unwrap();
        while writer == 1 && writers[1].maintain(now, kv::sizes()).unwrap() {}
        writers[1].statistics().evicted_spans
    };
    write(0, SECOND);
    let mut evicted = Vec::new();
    for n in 2..300 {
        evicted.push((n, write(1, n * SECOND)));
    }
    let begun = evicted.iter().find(|it| it.1 > 0).unwrap().0;
    assert!((240..280).contains(&begun), "{begun}");
    assert!(kv::stored_bytes() < MAX_BYTES + (16 << 10));
}

#[test]
fn a_writer_is_retired_once_nothing_is_left_of_it_and_may_come_back() {
    kv::reset();
    let settings = [("retention", "240s")];
    let mut writers = [0, 1].map(|it| open(it, &settings, small_shape()));
    let rest = |plugin: &mut Kv, now| while plugin.maintain(now, kv::sizes()).unwrap() {};
    let one = |n: u128| vec![batch([fragment(n).digest([0; 8]).otlp(vec![1; 900])])];
    act_as(0);
    writers[0].write(SECOND, one(1)).unwrap();
    let mut reader = Kv::open_with(&in_role(Role::Reader), small_shape()).unwrap();
    let page = reader.find(&Search::all(), None, 10).unwrap();
    let handle = page.found[0].fragment.unwrap();
    assert_eq!(writers[0].retire(), Ok(false));
    rest(&mut writers[0], 300 * SECOND);
    // What a refused write has put has to be given back too.
    kv::fail(1, Fault::Unavailable);
    writers[0].write(300 * SECOND, one(2)).unwrap_err();
    assert_eq!(writers[0].retire(), Ok(false));
    rest(&mut writers[0], 300 * SECOND);
    assert_eq!(writers[0].retire(), Ok(true));
    let partitions: BTreeSet<String> = kv::keys().into_iter().map(|it| it.partition).collect();
    let heads = WRITERS.map(|id| format!("head/{id}"));
    assert_eq!(partitions, heads.into());

    kv::retire(WRITERS[0]);
    reader.refresh().unwrap();
    let wanted = Wanted::Fragments(vec![handle]);
    let page = reader.read(&wanted, Part::Otlp, None, 1000).unwrap();
    assert_eq!(page.pieces, []);
    assert_eq!(found(&mut reader), BTreeSet::new());

    let mut again = open(0, &settings, small_shape());
    again.write(400 * SECOND, one(3)).unwrap();
    reader.refresh().unwrap();
    let page = reader.find(&Search::all(), None, 10).unwrap();
    let new = page.found[0].fragment.unwrap();
    assert_eq!((page.found.len(), new >> 48), (1, handle >> 48));
    assert_ne!(new, handle, "no handle is used twice");
}
