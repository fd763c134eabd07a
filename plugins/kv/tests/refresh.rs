//! What an instance knows after `refresh`, and the calls of `kv` that it takes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::{act_as, in_role, role_of, shapes, small_shape};
use larder_kv::{Kv, Shape};
use larder_plugin::kv::{Change, Error, Key, Object, Page};
use larder_plugin::testing::random::{Fragments, fragments, search};
use larder_plugin::testing::{self, Scan, Stored, batch, fragment, kv, with_kv};
use larder_plugin::{Identity, Part, Plugin, Role, Search, SpanKind, Wanted};
use proptest::prelude::*;

/// A reading call of `kv`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Call {
    /// With the kind of each key.
    Get(String),
    Scan,
    Writers,
    Partitions,
}

/// The model of `kv`, with the reading calls.
#[derive(Default)]
struct Calls(RefCell<Vec<Call>>);

impl Calls {
    fn add(&self, call: Call) {
        self.0.borrow_mut().push(call);
    }
}

impl testing::Kv for Calls {
    fn put(&self, objects: &[Object]) -> Result<(), Error> {
        kv::put(objects)
    }

    fn commit(&self, partition: &str, changes: &[Change]) -> Result<(), Error> {
        kv::commit(partition, changes)
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let kinds = keys.iter().map(|it| char::from(it.sort[0]));
        self.add(Call::Get(kinds.collect()));
        kv::get(keys)
    }

    fn scan(&self, partition: &str, scan: Scan<'_>) -> Result<Page, Error> {
        self.add(Call::Scan);
        let (entries, bytes) = (scan.max_entries, scan.max_bytes);
        kv::scan(partition, scan.range, scan.direction, entries, bytes)
    }

    fn reclaim(&self, partition: &str) -> Result<(), Error> {
        kv::reclaim(partition)
    }

    fn writers(&self) -> Result<Vec<String>, Error> {
        self.add(Call::Writers);
        kv::writers()
    }

    fn partitions(&self) -> Result<Vec<String>, Error> {
        self.add(Call::Partitions);
        kv::partitions()
    }
}

fn open(instance: usize, shape: Shape) -> Kv {
    act_as(instance);
    Kv::open_with(&in_role(role_of(instance)), shape).unwrap()
}

/// Makes every kind of query, and returns the number of fragments.
fn query(reader: &mut Kv) -> usize {
    let page = reader.find(&Search::all(), None, 1000).unwrap();
    let traces = page.found.iter().map(|it| it.trace_id);
    let traces = Wanted::Traces(traces.collect());
    let handles = page.found.iter().filter_map(|it| it.fragment);
    for wanted in [traces, Wanted::Fragments(handles.collect())] {
        for part in [Part::Digest, Part::Otlp] {
            reader.read(&wanted, part, None, u32::MAX).unwrap();
        }
    }
    for service in reader.services().unwrap() {
        reader.operations(&service).unwrap();
    }
    page.found.len()
}

#[test]
fn a_refresh_takes_two_calls_and_what_is_cached_takes_none() {
    kv::reset();
    // A page has everything.
    let shape = Shape {
        find_steps: 10_000,
        ..small_shape()
    };
    let mut writers = [0, 1].map(|it| open(it, shape));
    let mut write = |n: u64| {
        let writer = usize::try_from(n % 2).unwrap();
        act_as(writer);
        let built = fragment(n.into())
            .starts(n, n)
            .operation("service", "name", SpanKind::Server)
            .digest(vec![1; 100])
            .otlp(vec![2; 100]);
        writers[writer].write(n, vec![batch([built])]).unwrap();
        while n < 100 && writers[writer].maintain(n, kv::sizes()).unwrap() {}
    };
    (0..110).for_each(&mut write);
    let calls = Rc::new(Calls::default());
    with_kv(Rc::clone(&calls) as Rc<dyn testing::Kv>, || {
        let mut reader = open(2, shape);
        assert_eq!(query(&mut reader), 110);
        calls.0.take();
        let stamps = [Call::Writers, Call::Get("ss".to_owned())];
        for _ in 0..2 {
            reader.refresh().unwrap();
            assert_eq!(calls.0.take(), stamps);
            assert_eq!(query(&mut reader), 110);
            assert_eq!(calls.0.take(), []);
        }
        write(110);
        assert_eq!(query(&mut reader), 110);
        assert_eq!(calls.0.take(), []);
        reader.refresh().unwrap();
        let [writers, stamps] = stamps;
        assert_eq!(calls.0.take(), [writers, stamps, Call::Get("e".to_owned())]);
        assert_eq!(query(&mut reader), 111);
        assert_eq!(calls.0.take(), []);
    });
}

#[test]
fn a_writer_has_the_number_that_it_was_first_given_and_no_other_writer_may_have_it() {
    kv::reset();
    let open = |id: &str, number| {
        kv::act_as(id);
        let id = id.to_owned();
        Kv::open_with(
            &in_role(Role::Writer(Identity { id, number })),
            small_shape(),
        )
    };
    let writers_of = |plugin: &mut Kv| -> BTreeSet<u64> {
        plugin.refresh().unwrap();
        let page = plugin.find(&Search::all(), None, 10).unwrap();
        let handles = page.found.iter().filter_map(|it| it.fragment);
        handles.map(|it| it >> 48).collect()
    };
    let mut first = open("first", 7).unwrap();
    first.write(1, vec![batch([fragment(1)])]).unwrap();
    assert_eq!(writers_of(&mut first), [7].into());
    let mut again = open("first", 9).unwrap();
    again.write(1, vec![batch([fragment(2)])]).unwrap();
    assert_eq!(writers_of(&mut again), [7].into());

    let refused = |number| match open("second", number) {
        Err(larder_plugin::Error::InvalidArgument(text)) => text,
        other => panic!("{other:?}"),
    };
    let text = refused(7);
    for part in ["`first`", "`second`", "number 7"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(refused(0).contains("number 0"));
    assert_eq!(kv::writers().unwrap(), ["first"], "nothing was committed");
    let mut second = open("second", 8).unwrap();
    second.write(1, vec![batch([fragment(3)])]).unwrap();
    assert_eq!(writers_of(&mut second), [7, 8].into());
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, Fragments),
    Maintain(usize, u32),
    Refresh(usize),
    /// A search by a reader, with the limit of each page.
    Find(usize, Search, u32),
    Services(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let reader = 2..4_usize;
    prop_oneof![
        5 => (0..2_usize, fragments(30, 300, 12)).prop_map(|(w, it)| Step::Write(w, it)),
        4 => (0..2_usize, 1..20_u32).prop_map(|(w, steps)| Step::Maintain(w, steps)),
        3 => reader.clone().prop_map(Step::Refresh),
        4 => (reader.clone(), search(), 1..30_u32).prop_map(|(i, s, l)| Step::Find(i, s, l)),
        1 => reader.prop_map(Step::Services),
    ]
}

/// Counts the digests of the fragments that a search finds.
fn found(reader: &mut Kv, search: &Search, limit: u32) -> BTreeMap<Vec<u8>, usize> {
    let (mut digests, mut resume) = (BTreeMap::new(), None);
    loop {
        let page = reader.find(search, resume.as_deref(), limit).unwrap();
        let handles = page.found.iter().filter_map(|it| it.fragment).collect();
        let wanted = Wanted::Fragments(handles);
        let pieces = reader.read(&wanted, Part::Digest, None, u32::MAX).unwrap();
        for piece in pieces.pieces {
            *digests.entry(piece.bytes).or_default() += 1;
        }
        resume = page.resume;
        if resume.is_none() {
            return digests;
        }
    }
}

/// Two writers and two readers. A reader knows exactly what was stored when it was refreshed last.
fn run(shape: Shape, steps: Vec<Step>) {
    kv::reset();
    let mut instances: Vec<Kv> = (0..4).map(|it| open(it, shape)).collect();
    let mut stored = Stored::default();
    let mut known = [Stored::default(), Stored::default()];
    let mut written = 0_u64;
    for step in steps {
        match step {
            Step::Write(writer, fragments) => {
                act_as(writer);
                let numbered = fragments.into_iter().map(|it| {
                    written += 1;
                    it.digest(written.to_be_bytes())
                });
                let numbered: Fragments = numbered.collect();
                for it in &numbered {
                    stored.push(it.clone());
                }
                instances[writer].write(7, vec![batch(numbered)]).unwrap();
            }
            Step::Maintain(writer, steps) => {
                act_as(writer);
                for _ in 0..steps {
                    if !instances[writer].maintain(7, kv::sizes()).unwrap() {
                        break;
                    }
                }
            }
            Step::Refresh(reader) => {
                instances[reader].refresh().unwrap();
                known[reader - 2] = stored.clone();
            }
            Step::Find(reader, search, limit) => {
                let found = found(&mut instances[reader], &search, limit);
                let due = known[reader - 2].matching(&search);
                let due: BTreeMap<_, _> = due.map(|it| (it.digest.clone(), 1)).collect();
                assert_eq!(found, due);
            }
            Step::Services(reader) => {
                let found: BTreeSet<String> =
                    instances[reader].services().unwrap().into_iter().collect();
                let due = known[reader - 2].operations();
                assert_eq!(found, due.into_iter().map(|it| it.service).collect());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_reader_knows_all_that_was_written_before_its_refresh(
        shape in shapes(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        run(shape, steps);
    }
}
