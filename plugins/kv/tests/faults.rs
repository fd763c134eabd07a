//! Two writers and some readers on one store, while calls fail, hosts crash and instances are reopened. Acknowledged writes must be
//! there exactly once, refused ones not at all, and writes of unknown outcome completely or not at all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{act_as, in_role, role_of, shapes};
use larder_kv::{Kv, Shape};
use larder_plugin::testing::kv::{self, Fault};
use larder_plugin::testing::random::{Fragments, fragments, search};
use larder_plugin::testing::{Stored, batch};
use larder_plugin::{Error, Part, Plugin, Search, TraceId, Wanted};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// A write by one of the writers.
    Write(usize, Vec<Fragments>),
    Maintain(usize, u32),
    /// The change after this many others fails.
    Fail(usize, Fault),
    /// An instance is reopened: a writer or, for larger numbers, a reader.
    Reopen(usize),
    Find(usize, Search, u32),
    Read(usize, Vec<u128>, u32),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        1 => Just(Fault::Unavailable),
        1 => Just(Fault::QuotaExceeded),
        1 => Just(Fault::Unknown),
        3 => Just(Fault::Crash),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let writes = prop::collection::vec(fragments(30, 300, 12), 1..3);
    prop_oneof![
        6 => (0..2_usize, writes).prop_map(|(w, f)| Step::Write(w, f)),
        5 => (0..2_usize, 1..12_u32).prop_map(|(w, n)| Step::Maintain(w, n)),
        3 => (0..8_usize, fault()).prop_map(|(n, f)| Step::Fail(n, f)),
        2 => (0..5_usize).prop_map(Step::Reopen),
        2 => (0..5_usize, search(), 1..30_u32).prop_map(|(i, s, l)| Step::Find(i, s, l)),
        1 => (0..5_usize, prop::collection::vec(0..40_u128, 1..9), 0..3000_u32)
            .prop_map(|(i, t, b)| Step::Read(i, t, b)),
    ]
}

/// All instances on one store, and its expected contents.
struct Run {
    shape: Shape,
    /// Two writers, followed by readers.
    instances: Vec<Kv>,
    /// Fragments in the order written by each writer.
    stored: [Stored; 2],
    /// Fragments of writes of unknown outcome, by writer.
    doubtful: Vec<(usize, Fragments)>,
    written: u64,
}

impl Run {
    fn new(shape: Shape) -> Self {
        kv::reset();
        let mut run = Self {
            shape,
            instances: Vec::new(),
            stored: [Stored::default(), Stored::default()],
            doubtful: Vec::new(),
            written: 0,
        };
        for instance in 0..5 {
            let opened = run.open(instance);
            run.instances.push(opened);
        }
        run
    }

    fn open(&self, instance: usize) -> Kv {
        act_as(instance);
        Kv::open_with(&in_role(role_of(instance)), self.shape).unwrap()
    }

    fn reopen(&mut self, instance: usize) {
        self.instances[instance] = self.open(instance);
    }

    /// Follows a failed call: if the host has crashed, every instance is reopened.
    fn recover(&mut self) {
        let gone = kv::is_down();
        kv::restart();
        if gone {
            for instance in 0..self.instances.len() {
                self.reopen(instance);
            }
        }
        self.settle();
    }

    /// Determines the outcome of the writes that were unknown.
    fn settle(&mut self) {
        if self.doubtful.is_empty() {
            return;
        }
        let found = self.digests(4);
        for (writer, fragments) in std::mem::take(&mut self.doubtful) {
            let there = |it: &larder_plugin::testing::FragmentBuilder| {
                found.contains_key(&it.clone().build().digest)
            };
            let count = fragments.iter().filter(|it| there(it)).count();
            assert!(
                count == 0 || count == fragments.len(),
                "half a write is there"
            );
            if count > 0 {
                for fragment in fragments {
                    self.stored[writer].push(fragment);
                }
            }
        }
    }

    fn write(&mut self, writer: usize, batches: Vec<Fragments>) {
        act_as(writer);
        let mut all = Vec::new();
        let batches = batches.into_iter().map(|fragments| {
            let numbered = fragments.into_iter().map(|fragment| {
                self.written += 1;
                let digest = self.written.to_be_bytes().to_vec();
                let otlp = [digest.clone(), fragment.clone().build().otlp].concat();
                fragment.digest(digest).otlp(otlp)
            });
            let numbered: Fragments = numbered.collect();
            all.extend(numbered.iter().cloned());
            batch(numbered)
        });
        let batches = batches.collect();
        match self.instances[writer].write(7, batches) {
            Ok(()) => all.into_iter().for_each(|it| self.stored[writer].push(it)),
            Err(error) => {
                assert!(
                    !matches!(error, Error::Other(_) | Error::DataLoss(_)),
                    "{error:?}"
                );
                self.doubtful.push((writer, all));
                self.recover();
            }
        }
    }

    fn maintain(&mut self, writer: usize, steps: u32) {
        act_as(writer);
        for _ in 0..steps {
            match self.instances[writer].maintain(7, kv::sizes()) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    assert!(
                        !matches!(error, Error::Other(_) | Error::DataLoss(_)),
                        "{error:?}"
                    );
                    self.recover();
                    break;
                }
            }
        }
    }

    /// Counts the digests of everything that an instance finds.
    fn digests(&mut self, instance: usize) -> BTreeMap<Vec<u8>, usize> {
        self.find(instance, &Search::all(), 50)
    }

    fn find(&mut self, instance: usize, search: &Search, limit: u32) -> BTreeMap<Vec<u8>, usize> {
        let plugin = &mut self.instances[instance];
        plugin.refresh().unwrap();
        let mut digests = BTreeMap::new();
        let mut resume = None;
        loop {
            let page = plugin.find(search, resume.as_deref(), limit).unwrap();
            let handles = page.found.iter().filter_map(|it| it.fragment).collect();
            let wanted = Wanted::Fragments(handles);
            let pieces = plugin.read(&wanted, Part::Digest, None, u32::MAX).unwrap();
            assert_eq!(pieces.pieces.len(), page.found.len());
            for piece in pieces.pieces {
                *digests.entry(piece.bytes).or_default() += 1;
            }
            assert!(page.resume.is_none() || page.resume != resume);
            resume = page.resume;
            if resume.is_none() {
                return digests;
            }
        }
    }

    fn check_find(&mut self, instance: usize, search: &Search, limit: u32) {
        let found = self.find(instance, search, limit);
        let due = self.stored.iter().flat_map(|it| it.matching(search));
        let due: BTreeMap<_, _> = due.map(|it| (it.digest.clone(), 1)).collect();
        assert_eq!(found, due, "instance {instance}");
    }

    fn check_read(&mut self, instance: usize, ids: &[u128], max_bytes: u32) {
        let ids: BTreeSet<TraceId> = ids.iter().map(|id| TraceId::from(*id)).collect();
        let wanted = Wanted::Traces(ids.iter().copied().collect());
        for part in [Part::Otlp, Part::Digest] {
            let (mut found, mut resume) = (Vec::new(), None);
            self.instances[instance].refresh().unwrap();
            loop {
                let plugin = &mut self.instances[instance];
                let page = plugin
                    .read(&wanted, part, resume.as_deref(), max_bytes)
                    .unwrap();
                found.extend(page.pieces.into_iter().map(|it| (it.trace_id, it.bytes)));
                resume = page.resume;
                if resume.is_none() {
                    break;
                }
            }
            // The order of two writers' fragments of a trace is not defined.
            let mut due = Vec::new();
            for id in &ids {
                for it in self.stored.iter().flat_map(|it| it.of_trace(*id)) {
                    let bytes = if part == Part::Otlp {
                        &it.otlp
                    } else {
                        &it.digest
                    };
                    due.push((it.trace_id, bytes.clone()));
                }
            }
            found.sort();
            due.sort();
            if found != due {
                let short = |all: &[(TraceId, Vec<u8>)]| -> Vec<(u64, u8, usize)> {
                    all.iter()
                        .map(|(id, it)| (id.low, it[7], it.len()))
                        .collect()
                };
                assert_eq!(short(&found), short(&due), "instance {instance}, {part:?}");
            }
        }
    }

    fn check_all(&mut self) {
        kv::restart();
        for instance in 0..self.instances.len() {
            self.check_find(instance, &Search::all(), 20);
            // The order of two writers' services is not defined.
            let mut services = self.instances[instance].services().unwrap();
            services.sort_unstable();
            let due = self.stored.iter().flat_map(Stored::operations);
            let due: BTreeSet<String> = due.map(|it| it.service).collect();
            assert_eq!(services, due.into_iter().collect::<Vec<_>>());
        }
    }
}

fn run(shape: Shape, steps: Vec<Step>) {
    let mut run = Run::new(shape);
    for step in steps {
        match step {
            Step::Write(writer, batches) => run.write(writer, batches),
            Step::Maintain(writer, steps) => run.maintain(writer, steps),
            Step::Fail(after, fault) => kv::fail(after, fault),
            Step::Reopen(instance) => {
                act_as(instance);
                if let Ok(opened) = Kv::open_with(&in_role(role_of(instance)), shape) {
                    run.instances[instance] = opened;
                } else {
                    // The instance before it may be fenced.
                    if !kv::is_down() {
                        kv::restart();
                        run.reopen(instance);
                    }
                    run.recover();
                }
            }
            Step::Find(instance, search, limit) => run.check_find(instance, &search, limit),
            Step::Read(instance, ids, max_bytes) => run.check_read(instance, &ids, max_bytes),
        }
    }
    run.check_all();
    for writer in 0..2 {
        run.maintain(writer, 2000);
        run.reopen(writer);
        run.maintain(writer, 2000);
    }
    run.check_all();
    check_partitions(&mut run);
}

/// Checks that an idle store has no unreferenced partitions.
fn check_partitions(run: &mut Run) {
    let before = kv::stored_bytes();
    for writer in 0..2 {
        run.reopen(writer);
        run.maintain(writer, 2000);
    }
    let after = kv::stored_bytes();
    assert!(
        after <= before + 64,
        "{before} bytes were stored, and now {after} are"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_acknowledged_is_lost(
        shape in shapes(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run(shape, steps);
    }
}
