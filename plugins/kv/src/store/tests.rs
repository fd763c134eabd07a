//! The calls of `kv` that searches and reads make: on a store that is not local, each takes a round trip.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;

use larder_plugin::testing::random::term;
use larder_plugin::testing::{self, batch, fragment, kv};
use larder_plugin::{Environment, Error, Part, Plugin, Search, SpanKind, TraceId, Wanted};

use super::Store;
use crate::testing::{Costs, Reads, reader, with_reads};
use crate::{Kv, Shape};

/// The number of segments of each of two writers, and of fragments of a segment.
const SEGMENTS: u64 = 40;
const SEGMENT: u64 = 100;
const FRAGMENTS: u64 = 2 * SEGMENTS * SEGMENT;
/// The number of traces. The fragments of each are far from each other, and of both writers.
const TRACES: u64 = 2601;
/// The term that every fragment has, those that each eighth and each tenth have, and the first of those that one fragment each has.
const SERVICE: u64 = 1;
const EIGHTH: u64 = 2;
const TENTH: u64 = 3;
const VALUE: u64 = 10_000;

/// Makes segments of several pages and blocks, and merges none.
fn shape() -> Shape {
    Shape {
        block: 1000,
        inline: 100,
        group_spans: 1,
        page: 500,
        run: 16,
        fan: 1000,
        ..Shape::default()
    }
}

fn open(id: &str) -> Kv {
    kv::act_as(id);
    let environment = Environment {
        role: testing::writer(id),
        ..reader()
    };
    Kv::open_with(&environment, shape()).unwrap()
}

/// The writers write a segment each in turn. Nothing is left in entries.
fn write() {
    kv::reset();
    let mut writers = ["a", "b"].map(|id| (id, open(id)));
    for segment in 0..2 * SEGMENTS {
        let (id, writer) = &mut writers[usize::try_from(segment % 2).unwrap()];
        kv::act_as(id);
        let fragments = (segment * SEGMENT..(segment + 1) * SEGMENT).map(|n| {
            let mut terms = vec![SERVICE, VALUE + n];
            terms.extend((n % 8 == 0).then_some(EIGHTH));
            terms.extend((n % 10 == 0).then_some(TENTH));
            fragment((n % TRACES).into())
                .starts(n * 10, n * 10 + 5)
                .terms(terms.into_iter().map(term))
                .operation(
                    &format!("service-{}", n % 7),
                    &format!("{segment}"),
                    SpanKind::Server,
                )
                .digest([vec![7; 20], n.to_be_bytes().to_vec()].concat())
                .otlp([vec![9; 200], n.to_be_bytes().to_vec()].concat())
        });
        writer.write(1, vec![batch(fragments)]).unwrap();
        while writer.maintain(1, kv::sizes()).unwrap() {}
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(*bytes.last_chunk().unwrap())
}

fn search(clauses: &[u64]) -> Search {
    Search {
        clauses: clauses.iter().map(|it| vec![term(*it)]).collect(),
        ..Search::all()
    }
}

/// Returns the numbers of the newest fragments that match, as their digests have them.
fn newest(reader: &mut Kv, clauses: &[u64], limit: u32) -> Result<Vec<u64>, Error> {
    let (mut found, mut resume) = (Vec::new(), None);
    loop {
        let page = reader.find(&search(clauses), resume.as_deref(), limit)?;
        found.extend(page.found.iter().filter_map(|it| it.fragment));
        resume = page.resume;
        if resume.is_none() || found.len() >= limit as usize {
            break;
        }
    }
    found.truncate(limit as usize);
    let page = reader.read(&Wanted::Fragments(found), Part::Digest, None, 4 << 20)?;
    assert_eq!(page.resume, None);
    Ok(page.pieces.iter().map(|it| number(&it.bytes)).collect())
}

/// Reads one page with a part of whole traces.
fn traces(reader: &mut Kv, ids: &[u64], part: Part) {
    let of = |n: u64| {
        let numbers = (0..).map(move |k| n + k * TRACES);
        numbers.take_while(|n| *n < FRAGMENTS)
    };
    let due: BTreeSet<u64> = ids.iter().flat_map(|n| of(*n)).collect();
    let ids = ids.iter().map(|n| TraceId::from(u128::from(*n)));
    let wanted = Wanted::Traces(ids.collect());
    let page = reader.read(&wanted, part, None, 4 << 20).unwrap();
    assert_eq!(page.resume, None);
    let found: Vec<u64> = page.pieces.iter().map(|it| number(&it.bytes)).collect();
    assert_eq!(found.len(), due.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), due);
}

/// Calls a new reader, which has followed the writers and cached nothing, and calls it again. Returns what each call costs beyond the
/// call that follows the writers.
fn costs(mut call: impl FnMut(&mut Kv)) -> [Costs; 2] {
    with_reads(|reads: &Reads| {
        let mut reader = Kv::open_with(&reader(), shape()).unwrap();
        reads.costs();
        [0; 2].map(|_| {
            call(&mut reader);
            reads.costs()
        })
    })
}

/// Checks what a call costs a new reader, at most, and that it costs nothing the second time.
fn check(what: &str, (calls, keys): (usize, usize), call: impl FnMut(&mut Kv)) {
    let [cold, warm] = costs(call);
    assert!(cold.calls <= calls && cold.keys <= keys, "{what}: {cold:?}");
    assert!(warm.calls == 0 && warm.keys == 0, "{what}: {warm:?}");
}

#[test]
fn a_search_takes_a_call_for_each_level_and_not_for_each_value() {
    write();
    let all = || (0..FRAGMENTS).rev();
    let finds = |clauses: &'static [u64], due: Vec<u64>| {
        move |it: &mut Kv| assert_eq!(newest(it, clauses, 20).unwrap(), due)
    };
    check(
        "service",
        (8, 24),
        finds(&[SERVICE], all().take(20).collect()),
    );
    let two = all().filter(|n| n % 40 == 0).take(20).collect();
    check("two attributes", (10, 180), finds(&[EIGHTH, TENTH], two));
    check("the oldest", (10, 200), finds(&[VALUE + 33], vec![33]));
    check("nothing", (9, 180), finds(&[VALUE + FRAGMENTS], vec![]));
}

#[test]
fn a_read_of_whole_traces_takes_a_call_for_each_level() {
    write();
    check("one trace", (9, 200), |it| traces(it, &[77], Part::Otlp));
    let twenty: Vec<u64> = (0..20).map(|n| n * 130).collect();
    check("20 traces", (9, 400), |it| traces(it, &twenty, Part::Otlp));
    let many: Vec<u64> = (0..1000).map(|n| n * 7 % TRACES).collect();
    check("1,000 traces", (9, 2000), |it| {
        traces(it, &many, Part::Otlp);
    });
    check("1,000 digests", (9, 500), |it| {
        traces(it, &many, Part::Digest);
    });
}

#[test]
fn services_take_a_call_for_headers_and_one_for_names() {
    write();
    let services = |it: &mut Kv| assert_eq!(it.services().unwrap().len(), 7);
    check("services", (3, 170), services);
    let operations = |it: &mut Kv| assert!(it.operations("service-3").unwrap().len() > 30);
    check("operations", (3, 170), operations);
}

#[test]
fn answers_are_right_though_the_caches_hold_less_than_is_read_ahead() {
    write();
    for cache_bytes in [0, 8 << 10, 200 << 10] {
        let mut reader = Kv::open_with(&reader(), shape()).unwrap();
        reader.engine.store = Store::new(cache_bytes);
        for _ in 0..2 {
            let tenths: Vec<u64> = (0..FRAGMENTS).rev().filter(|n| n % 10 == 0).collect();
            assert_eq!(newest(&mut reader, &[TENTH], 1000).unwrap(), tenths);
            let many: Vec<u64> = (0..TRACES).collect();
            for ids in [&many[..], &many[50..250]] {
                for part in [Part::Digest, Part::Otlp] {
                    traces(&mut reader, ids, part);
                }
            }
            assert_eq!(reader.services().unwrap().len(), 7);
        }
    }
}

#[test]
fn what_is_read_ahead_and_not_needed_may_be_damaged() {
    write();
    let service: Vec<u64> = (FRAGMENTS - 20..FRAGMENTS).rev().collect();
    // The older segments' pages, and their tables, filters and lists.
    let newest_of = |id: &str| {
        let keys = kv::keys().into_iter().map(|it| it.partition);
        let index = keys.filter(|it| it.starts_with("index/") && it.ends_with(id));
        index.max().unwrap()
    };
    let sound = [newest_of("/a"), newest_of("/b")];
    let keys = kv::keys().into_iter();
    let older =
        keys.filter(|it| it.partition.starts_with("index/") && !sound.contains(&it.partition));
    for (place, key) in older.enumerate() {
        match place % 3 {
            0 => kv::damage(&key, |bytes| bytes[2] ^= 1),
            1 => kv::damage(&key, Vec::clear),
            _ => kv::make_unreadable(&key),
        }
    }
    let mut reader = Kv::open_with(&reader(), shape()).unwrap();
    assert_eq!(newest(&mut reader, &[SERVICE], 20).unwrap(), service);
    let deeper = newest(&mut reader, &[SERVICE], 1000);
    assert!(matches!(deeper, Err(Error::DataLoss(_))), "{deeper:?}");
}
