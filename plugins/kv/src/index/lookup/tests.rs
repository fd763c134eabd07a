//! Searches with clauses of up to 1,024 terms, compared with a plain list, and the pages that they read.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::ops::Range;

use larder_plugin::testing::random::{self, step_of_many_terms, term};
use larder_plugin::testing::{Harness, batch, environment, fragment, kv};
use larder_plugin::{Plugin, Search, TimeRange};
use proptest::prelude::*;

use crate::testing::{Reads, reader, with_reads};
use crate::{Kv, Shape};

/// A term that every fragment has.
const SERVICE: u64 = 1;
/// The first of the terms that one fragment each has, in the order written.
const VALUE: u64 = 10_000;
/// The first of the terms that no fragment has.
const ABSENT: u64 = 90_000;
/// The number of fragments of [`segment`].
const FRAGMENTS: u64 = 3000;

/// Makes many pages of a few terms each, and runs of a few fragments each.
fn shape() -> Shape {
    Shape {
        page: 300,
        run: 64,
        group_spans: 1,
        find_few: 8,
        ..Shape::default()
    }
}

fn search<C: IntoIterator<Item = u64>>(clauses: impl IntoIterator<Item = C>) -> Search {
    let terms = |clause: C| clause.into_iter().map(term).collect();
    Search {
        clauses: clauses.into_iter().map(terms).collect(),
        ..Search::all()
    }
}

/// Returns the numbers of terms in the order in which they are stored.
fn stored_order(numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut numbers: Vec<u64> = numbers.into_iter().collect();
    numbers.sort_by_key(|number| term(*number));
    numbers
}

/// Writes a segment of these fragments: every one has the service and a value, and every second one another common term.
fn write(numbers: Range<u64>) {
    let mut writer = Kv::open_with(&environment(&[]), shape()).unwrap();
    let fragments = numbers.map(|n| {
        fragment(n.into())
            .starts(n * 10, n * 10)
            .terms([SERVICE, VALUE + n, 2 + n % 2].map(term))
    });
    writer.write(1, vec![batch(fragments)]).unwrap();
    while writer.maintain(1, kv::sizes()).unwrap() {}
}

/// Writes one segment.
fn segment() {
    kv::reset();
    write(0..FRAGMENTS);
}

/// Opens a new reader, which has cached nothing, and calls `call` with it and with what it reads.
fn as_reader<R>(shape: Shape, call: impl FnOnce(&mut Kv, &Reads) -> R) -> R {
    with_reads(|reads| call(&mut Kv::open_with(&reader(), shape).unwrap(), reads))
}

/// Searches as a new reader, and returns how many matches it finds, and how many pages of terms and of runs it reads.
fn reads(search: &Search) -> (usize, usize, usize) {
    as_reader(shape(), |reader, reads| {
        let page = reader.find(search, None, 60_000).unwrap();
        assert_eq!(page.resume, None);
        (page.found.len(), reads.count(b'k'), reads.count(b'r'))
    })
}

#[test]
fn a_clause_without_a_match_saves_the_lookup_of_a_long_one() {
    segment();
    let long: Vec<u64> = (VALUE..VALUE + 1024).collect();
    let (found, terms, _) = reads(&search([vec![SERVICE], long.clone()]));
    assert_eq!(found, 1024);
    assert!(terms > 40, "{terms} pages of terms");
    // Whatever the order of the clauses, also if the long one has no match itself.
    let absent: Vec<u64> = (ABSENT + 1..ABSENT + 1025).collect();
    for long in [long, absent] {
        for clauses in [
            [vec![SERVICE], long.clone(), vec![ABSENT]],
            [long.clone(), vec![ABSENT], vec![SERVICE]],
        ] {
            let (found, terms, runs) = reads(&search(clauses));
            assert_eq!((found, runs), (0, 0));
            assert!(terms <= 2, "{terms} pages of terms");
        }
    }
}

#[test]
fn clauses_without_a_common_fragment_save_the_lookup_of_a_long_one() {
    segment();
    let long: Vec<u64> = (VALUE..VALUE + 1024).collect();
    let disjoint = [long.clone(), vec![VALUE + 4], vec![VALUE + 5]];
    let (found, terms, runs) = reads(&search(disjoint));
    assert_eq!((found, runs), (0, 0));
    assert!(terms <= 2, "{terms} pages of terms");
    // The value's fragment has not the common term, whose list is long.
    let (found, terms, runs) = reads(&search([long, vec![VALUE + 4], vec![3]]));
    assert_eq!((found, runs), (0, 1));
    assert!(terms <= 2, "{terms} pages of terms");
}

#[test]
fn a_long_clause_is_looked_up_until_every_fragment_left_has_it() {
    segment();
    let long = stored_order(VALUE..VALUE + 1024);
    let (first, last) = (*long.first().unwrap(), *long.last().unwrap());
    let (found, terms, _) = reads(&search([vec![first], long.clone()]));
    assert_eq!((found, terms), (1, 1));
    let (found, terms, _) = reads(&search([vec![last], long.clone()]));
    assert_eq!(found, 1);
    assert!(terms > 40, "{terms} pages of terms");
    let beyond = [vec![VALUE + 2000], long];
    assert_eq!(reads(&search(beyond)).0, 0);
}

#[test]
fn each_page_of_a_long_clause_is_read_once() {
    segment();
    let pages = kv::keys().iter().filter(|it| it.sort[0] == b'k').count();
    let long = (VALUE..VALUE + 1024).chain(ABSENT..ABSENT + 1000);
    let (found, terms, _) = reads(&search([long]));
    assert_eq!(found, 1024);
    assert!(terms <= pages, "{terms} reads of {pages} pages");
}

#[test]
fn fragments_of_other_times_do_not_count() {
    segment();
    let long: Vec<u64> = (VALUE..VALUE + 1024).collect();
    let at = |start, end| Search {
        starts: TimeRange { start, end },
        ..search([vec![VALUE + 4], long.clone()])
    };
    assert_eq!(reads(&at(40, 40)).0, 1);
    // The value's fragment is in the first chunk, which ends at 10,230.
    let (found, terms, _) = reads(&at(10_240, 10_300));
    assert_eq!((found, terms), (0, 1));
    let (found, terms, runs) = reads(&at(10_231, 10_239));
    assert_eq!((found, terms, runs), (0, 0, 0));
}

#[test]
fn a_page_ends_after_some_lookups_of_a_long_clause() {
    kv::reset();
    for n in 0..6 {
        write(n * 600..(n + 1) * 600);
    }
    let pages = kv::keys().iter().filter(|it| it.sort[0] == b'k').count();
    let search = search(std::iter::once(ABSENT..ABSENT + 1024));
    let shape = Shape {
        find_steps: 8,
        ..shape()
    };
    as_reader(shape, |reader, reads| {
        let mut resume = None;
        loop {
            let before = reads.count(b'k');
            let page = reader.find(&search, resume.as_deref(), 100).unwrap();
            assert!(page.found.is_empty());
            let read = reads.count(b'k') - before;
            assert!(read < pages / 2, "{read} of {pages} pages");
            if page.resume.is_none() {
                break;
            }
            resume = page.resume;
        }
        assert_eq!(reads.count(b'k'), pages);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_finds_what_a_plain_list_has(
        steps in prop::collection::vec(step_of_many_terms(), 1..30),
        (page, run, few) in (1..400_usize, 1..40_usize, 0..20_usize),
    ) {
        kv::reset();
        let shape = Shape { page, run, find_few: few, group_spans: 50, fan: 2, ..shape() };
        let plugin = Kv::open_with(&environment(&[]), shape).unwrap();
        random::run(&mut Harness::new(plugin), steps, 0, |_| {});
    }
}
