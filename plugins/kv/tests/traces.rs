//! Reads of traces, page by page, of two writers' fragments, compared with a plain list. Between pages fragments are written, sealed,
//! merged and dropped by age; before, some may have been lost.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{WRITERS, act_as, in_role, role_of, shapes};
use larder_kv::{Kv, Shape};
use larder_plugin::testing::random::{Fragments, fragments};
use larder_plugin::testing::{batch, environment, kv};
use larder_plugin::{Environment, Part, Piece, Plugin, Role, Search, TraceId, Wanted};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

/// What happens to a store.
#[derive(Clone, Debug)]
enum Change {
    Write(usize, Fragments),
    Maintain(usize, u32),
    /// This many seconds pass.
    Wait(u64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..2_usize, fragments(30, 300, 30)).prop_map(|(w, it)| Change::Write(w, it)),
        4 => (0..2_usize, 1..40_u32).prop_map(|(w, steps)| Change::Maintain(w, steps)),
        2 => (0..60_u64).prop_map(Change::Wait),
    ]
}

/// A read of all pages, with changes after each page.
#[derive(Clone, Debug)]
struct Read {
    /// A writer, or a reader.
    instance: usize,
    ids: Vec<u128>,
    max_bytes: u32,
    between: Vec<Change>,
}

fn read() -> impl Strategy<Value = Read> {
    let few = prop::collection::vec(0..40_u128, 1..9);
    // Most of them are of no trace.
    let many = prop::collection::vec(0..40_u128, 1..40).prop_map(|mut ids| {
        ids.extend(1000..1300);
        ids
    });
    let one = (0..30_u128).prop_map(|id| vec![id]);
    let ids = prop_oneof![few, many, one];
    let between = prop::collection::vec(change(), 0..20);
    (0..3_usize, ids, 0..6000_u32, between).prop_map(|(instance, ids, max_bytes, between)| Read {
        instance,
        ids,
        max_bytes,
        between,
    })
}

/// A fragment of the plain list.
struct Written {
    trace_id: TraceId,
    writer: usize,
    digest: Vec<u8>,
    otlp: Vec<u8>,
}

/// Two writers and a reader on one store, and the plain list.
struct Run {
    shape: Shape,
    instances: Vec<Kv>,
    now: u64,
    /// All that was ever written, by its number.
    written: Vec<Written>,
}

fn role(instance: usize) -> Environment {
    Environment {
        role: role_of(instance),
        ..environment(&[("retention", "240s")])
    }
}

/// Returns the number of a fragment, with which both of its parts begin.
fn number(bytes: &[u8]) -> usize {
    let number = u64::from_be_bytes(*bytes.first_chunk().unwrap());
    usize::try_from(number).unwrap()
}

impl Run {
    fn new(shape: Shape) -> Self {
        kv::reset();
        let mut run = Self {
            shape,
            instances: Vec::new(),
            now: SECOND,
            written: Vec::new(),
        };
        run.open();
        run
    }

    fn open(&mut self) {
        self.instances.clear();
        for instance in 0..3 {
            act_as(instance);
            let opened = Kv::open_with(&role(instance), self.shape).unwrap();
            self.instances.push(opened);
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Write(writer, fragments) => {
                let numbered = fragments.iter().map(|it| {
                    let number = (self.written.len() as u64).to_be_bytes();
                    let built = it.clone().build();
                    let digest = [number.to_vec(), built.digest].concat();
                    let otlp = [number.to_vec(), built.otlp].concat();
                    self.written.push(Written {
                        trace_id: built.trace_id,
                        writer: *writer,
                        digest: digest.clone(),
                        otlp: otlp.clone(),
                    });
                    it.clone().digest(digest).otlp(otlp)
                });
                let batch = batch(numbered.collect::<Vec<_>>());
                act_as(*writer);
                let written = self.instances[*writer].write(self.now, vec![batch]);
                assert_eq!(written, Ok(()));
            }
            Change::Maintain(writer, steps) => {
                act_as(*writer);
                for _ in 0..*steps {
                    let sizes = kv::sizes();
                    if !self.instances[*writer].maintain(self.now, sizes).unwrap() {
                        break;
                    }
                }
            }
            Change::Wait(seconds) => self.now += seconds * SECOND,
        }
    }

    /// Loses a block of spans, if there is any, and repairs the store.
    fn lose(&mut self, block: usize) {
        let mut blocks = kv::keys();
        blocks.retain(|it| it.sort[0] == b'o');
        if blocks.is_empty() {
            return;
        }
        kv::damage(&blocks[block % blocks.len()], Vec::clear);
        self.instances.clear();
        kv::as_repairer(|| {
            let repairer = in_role(Role::Repairer);
            let mut repairer = Kv::open_with(&repairer, self.shape).unwrap();
            loop {
                let step = repairer.repair(self.now, &[]).unwrap();
                assert!(step.remake.is_empty());
                if !step.more {
                    break;
                }
            }
        });
        self.open();
    }

    /// Returns the numbers of all fragments that an instance finds by a search.
    fn stored(&mut self, instance: usize) -> BTreeSet<usize> {
        act_as(instance);
        let plugin = &mut self.instances[instance];
        plugin.refresh().unwrap();
        let (mut numbers, mut resume) = (BTreeSet::new(), None);
        loop {
            let page = plugin.find(&Search::all(), resume.as_deref(), 200).unwrap();
            let handles = page.found.iter().filter_map(|it| it.fragment).collect();
            let wanted = Wanted::Fragments(handles);
            let pieces = plugin.read(&wanted, Part::Digest, None, u32::MAX).unwrap();
            numbers.extend(pieces.pieces.iter().map(|it| number(&it.bytes)));
            resume = page.resume;
            if resume.is_none() {
                return numbers;
            }
        }
    }

    /// Reads a part of these traces, with changes after each page, and asserts that all that was stored all the time is there once, and
    /// nothing else but what was stored meanwhile.
    fn read(&mut self, read: &Read, part: Part) -> Vec<Piece> {
        let ids: Vec<TraceId> = read.ids.iter().map(|it| TraceId::from(*it)).collect();
        let before = self.stored(read.instance);
        let first_new = self.written.len();
        let (mut pieces, mut resume) = (Vec::new(), None);
        let mut between = read.between.iter();
        let wanted = Wanted::Traces(ids.clone());
        loop {
            act_as(read.instance);
            let plugin = &mut self.instances[read.instance];
            // As where another page comes from an instance that was refreshed later.
            if pieces.len() % 2 == 1 {
                plugin.refresh().unwrap();
            }
            let page = plugin.read(&wanted, part, resume.as_deref(), read.max_bytes);
            let page = page.unwrap();
            assert!(!page.pieces.is_empty() || page.resume.is_none());
            pieces.extend(page.pieces);
            assert!(page.resume.is_none() || page.resume != resume);
            resume = page.resume;
            if resume.is_none() {
                break;
            }
            for change in between.by_ref().take(5) {
                self.change(change);
            }
        }
        let after = self.stored(read.instance);
        let mut found = BTreeSet::new();
        for piece in &pieces {
            let number = number(&piece.bytes);
            let written = &self.written[number];
            let due = match part {
                Part::Digest => &written.digest,
                Part::Otlp => &written.otlp,
            };
            assert_eq!((piece.trace_id, &piece.bytes), (written.trace_id, due));
            assert!(ids.contains(&piece.trace_id));
            assert!(number >= first_new || before.contains(&number), "{number}");
            assert!(found.insert(number), "{number} comes twice");
        }
        for number in before.intersection(&after) {
            let is_wanted = ids.contains(&self.written[*number].trace_id);
            assert!(!is_wanted || found.contains(number), "{number} is missing");
        }
        pieces
    }

    /// Asserts that pieces come in the order asked, those of a trace next to each other, and each writer's in the order written.
    fn check_order(&self, ids: &[u128], pieces: &[Piece]) {
        let mut places = BTreeMap::new();
        for (place, id) in ids.iter().enumerate() {
            places.entry(TraceId::from(*id)).or_insert(place);
        }
        let order = pieces.iter().map(|it| places[&it.trace_id]);
        assert!(order.is_sorted(), "{ids:?}");
        for of_trace in pieces.chunk_by(|a, b| a.trace_id == b.trace_id) {
            for writer in 0..WRITERS.len() {
                let numbers = of_trace.iter().map(|it| number(&it.bytes));
                let of_writer = numbers.filter(|it| self.written[*it].writer == writer);
                assert!(of_writer.is_sorted());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pages_have_what_is_stored_all_the_time(
        shape in shapes(),
        before in prop::collection::vec(change(), 1..40),
        lost in prop::option::of(0..1000_usize),
        reads in prop::collection::vec(read(), 1..6),
    ) {
        let mut run = Run::new(shape);
        for change in &before {
            run.change(change);
        }
        if let Some(block) = lost {
            run.lose(block);
        }
        for mut read in reads {
            // Digests of a trace come once, however often it is asked for.
            run.read(&read, Part::Digest);
            let mut seen = BTreeSet::new();
            read.ids.retain(|id| seen.insert(*id));
            let pieces = run.read(&read, Part::Otlp);
            run.check_order(&read.ids, &pieces);
        }
    }
}
