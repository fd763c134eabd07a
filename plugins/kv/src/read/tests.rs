//! The values that reads of many traces take from `kv`, and what they keep in memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;

use larder_plugin::testing::random::term;
use larder_plugin::testing::{batch, environment, fragment, kv};
use larder_plugin::{Error, Part, Search, Sizes, TimeRange, TraceId, Wanted};

use crate::engine::Engine;
use crate::find;
use crate::limits::Shape;
use crate::store::Store;
use crate::testing::{reader, with_reads};

/// The number of fragments of [`groups`], of groups and of fragments of a group.
const FRAGMENTS: u64 = 3000;
const GROUPS: usize = 30;
const GROUP: u64 = 100;
/// The number of traces; each has three fragments, far from each other.
const TRACES: u64 = 1000;

fn shape() -> Shape {
    Shape {
        block: 500,
        inline: 100,
        group_spans: 1,
        page: 500,
        ..Shape::default()
    }
}

/// Writes many groups of a few blocks each, and merges their indexes.
fn groups() {
    kv::reset();
    let mut writer = Engine::open(&environment(&[]), shape()).unwrap();
    for group in 0..FRAGMENTS / GROUP {
        let fragments = (group * GROUP..(group + 1) * GROUP).map(|n| {
            fragment((n % TRACES).into())
                .starts(n, n)
                .terms([1, 100 + n].map(term))
                .digest([vec![7; 20], n.to_be_bytes().to_vec()].concat())
                .otlp([vec![9; 50], n.to_be_bytes().to_vec()].concat())
        });
        writer.write(1, &[batch(fragments)]).unwrap();
        while writer.maintain(1, Sizes::default()).unwrap() {}
    }
}

/// Opens a reader that keeps at most this many bytes in memory.
fn reader_with(cache_bytes: usize) -> Engine {
    let mut engine = Engine::open(&reader(), shape()).unwrap();
    engine.store = Store::new(cache_bytes);
    engine
}

fn traces(numbers: impl IntoIterator<Item = u64>) -> Wanted {
    let ids = numbers.into_iter().map(|n| TraceId::from(u128::from(n)));
    Wanted::Traces(ids.collect())
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(*bytes.last_chunk().unwrap())
}

/// Reads all pages, and calls `each` after each. Returns the numbers of the fragments in the order read.
fn read(
    engine: &mut Engine,
    (wanted, part): (&Wanted, Part),
    max_bytes: u32,
    mut each: impl FnMut(),
) -> Vec<u64> {
    let (mut numbers, mut resume) = (Vec::new(), None);
    loop {
        let page = super::page(engine, wanted, part, resume.as_deref(), max_bytes).unwrap();
        numbers.extend(page.pieces.iter().map(|it| number(&it.bytes)));
        each();
        assert!(page.resume.is_none() || page.resume != resume);
        resume = page.resume;
        if resume.is_none() {
            return numbers;
        }
    }
}

/// Returns how many values of a kind are stored.
fn stored(kind: u8) -> usize {
    kv::keys().iter().filter(|it| it.sort[0] == kind).count()
}

#[test]
fn pages_of_digests_read_each_value_once_though_nothing_is_kept_in_memory() {
    groups();
    assert_eq!([b'x', b'f', b't'].map(stored), [GROUPS; 3]);
    let blocks = stored(b'd');
    assert!(blocks > 3 * GROUPS, "{blocks} blocks");
    with_reads(|reads| {
        let mut engine = reader_with(0);
        // In an order that is not that of handles, and some more than once.
        let wanted = traces((0..TRACES + 100).map(|n| n * 7 % TRACES));
        let (mut pages, mut sum) = (0, [0; 3]);
        let numbers = read(&mut engine, (&wanted, Part::Digest), 20_000, || {
            pages += 1;
            let read = reads.take();
            assert!(!read.contains_key(&'f'), "so many ask no filter");
            for (sum, kind) in sum.iter_mut().zip(['x', 't', 'd']) {
                let (values, times) = read[&kind];
                assert_eq!(times, values, "{kind} of page {pages}");
                *sum += times;
            }
        });
        assert_eq!(numbers, (0..FRAGMENTS).collect::<Vec<_>>());
        assert!(pages > 8, "{pages} pages");
        // A page may begin within the group and the block where the one before it ended.
        for (read, all) in sum.into_iter().zip([GROUPS, GROUPS, blocks]) {
            assert!((all..all + pages).contains(&read), "{read} reads of {all}");
        }
    });
}

#[test]
fn pages_of_the_spans_of_one_trace_look_it_up_once() {
    kv::reset();
    let mut writer = Engine::open(&environment(&[]), shape()).unwrap();
    for n in 0..GROUPS as u64 {
        let one = fragment(1).otlp([vec![9; 200], n.to_be_bytes().to_vec()].concat());
        let other = fragment(2).otlp(vec![9; 200]);
        writer.write(1, &[batch([one, other])]).unwrap();
        while writer.maintain(1, Sizes::default()).unwrap() {}
    }
    with_reads(|reads| {
        let mut engine = reader_with(0);
        reads.take();
        let mut pages = 0;
        let numbers = read(&mut engine, (&traces([1]), Part::Otlp), 1000, || pages += 1);
        assert_eq!(numbers, (0..GROUPS as u64).collect::<Vec<_>>());
        assert!(pages > 6, "{pages} pages");
        let read = reads.take();
        for kind in ['x', 'f', 't'] {
            let (values, times) = read[&kind];
            assert_eq!(values, GROUPS);
            assert!(times < GROUPS + pages, "{times} reads of {kind}");
        }
    });
}

#[test]
fn fragments_that_are_next_to_each_other_take_their_table_once() {
    groups();
    let mut engine = reader_with(1 << 20);
    let page = find::page(&mut engine, &Search::all(), None, 10_000).unwrap();
    let mut handles: Vec<u64> = page.found.iter().filter_map(|it| it.fragment).collect();
    handles.sort_unstable();
    with_reads(|reads| {
        let mut engine = reader_with(0);
        let wanted = Wanted::Fragments(handles);
        for part in [Part::Digest, Part::Otlp] {
            reads.take();
            let numbers = read(&mut engine, (&wanted, part), u32::MAX, || {});
            assert_eq!(numbers, (0..FRAGMENTS).collect::<Vec<_>>());
            assert_eq!(reads.take()[&'t'], (GROUPS, GROUPS));
        }
    });
}

#[test]
fn a_read_of_many_traces_keeps_what_searches_need_in_memory() {
    groups();
    let search = Search {
        clauses: vec![vec![term(1)]],
        starts: TimeRange { start: 0, end: 250 },
        ..Search::all()
    };
    with_reads(|reads| {
        // It has room for what the search reads, and for less than half of the tables.
        let mut engine = reader_with(32 << 10);
        let found = |engine: &mut Engine| {
            let page = find::page(engine, &search, None, 10_000).unwrap();
            assert_eq!(page.found.len(), 251);
            let read = reads.take();
            ['k', 'r', 't'].map(|kind| read.get(&kind).map_or(0, |(_, times)| *times))
        };
        let first = found(&mut engine);
        assert!(first[0] > 0 && first[2] == 3, "{first:?}");
        assert_eq!(found(&mut engine), [0; 3]);
        let all = read(&mut engine, (&traces(0..TRACES), Part::Digest), 9000, || {});
        assert_eq!(all.len() as u64, FRAGMENTS);
        // The tables that the search has read are not read again either.
        assert_eq!(reads.take()[&'t'].0, GROUPS - 3);
        assert_eq!(found(&mut engine), [0; 3]);
    });
}

#[test]
fn lists_of_traces_stay_in_memory_where_there_is_room_for_all() {
    groups();
    // A group's list of traces has six bytes a fragment, and its filter two, which so many do not ask.
    let fragments = usize::try_from(FRAGMENTS).unwrap();
    let lists = fragments * 6;
    for (cache_bytes, many, is_kept) in [
        // A quarter of the three quarters that are not for blocks.
        (lists * 4 * 4 / 3 + 4, true, true),
        (lists * 4 * 4 / 3 - 100, true, false),
        (fragments * 8 * 4, false, true),
    ] {
        with_reads(|reads| {
            let mut engine = reader_with(cache_bytes);
            let wanted = traces(if many { 0..TRACES } else { 0..200 });
            let again = [0; 2].map(|_| {
                read(&mut engine, (&wanted, Part::Digest), u32::MAX, || {});
                let read = reads.take();
                ['x', 'f'].map(|kind| read.get(&kind).map_or(0, |(values, _)| *values))
            });
            assert_eq!(again[0][1], if many { 0 } else { GROUPS });
            assert_eq!(again[1] == [0; 2], is_kept, "{cache_bytes}: {again:?}");
        });
    }
}

#[test]
fn a_page_ends_before_a_damaged_value_and_the_next_tells() {
    for kind in [b'f', b'x', b't', b'd'] {
        groups();
        let mut keys = kv::keys();
        keys.retain(|it| it.sort[0] == kind);
        keys.sort_by_key(|it| it.sort.clone());
        kv::damage(&keys[keys.len() / 2], Vec::clear);
        let mut engine = reader_with(0);
        // Only few traces ask the filters.
        let wanted = traces(if kind == b'f' { 0..200 } else { 0..TRACES });
        let page = |engine: &mut Engine, resume: Option<&[u8]>| {
            super::page(engine, &wanted, Part::Digest, resume, u32::MAX)
        };
        let first = page(&mut engine, None).unwrap();
        assert!(!first.pieces.is_empty());
        if kind != b'f' {
            let numbers: BTreeSet<u64> = first.pieces.iter().map(|it| number(&it.bytes)).collect();
            let readable = numbers.len() as u64;
            assert_eq!(numbers, (0..readable).collect());
            assert!(readable.abs_diff(FRAGMENTS / 2) <= GROUP, "{readable}");
        }
        let resume = first.resume.unwrap();
        for _ in 0..2 {
            let told = page(&mut engine, Some(&resume));
            assert!(matches!(told, Err(Error::DataLoss(_))), "{told:?}");
        }
    }
}
