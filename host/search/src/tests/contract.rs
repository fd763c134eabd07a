//! Breaches of the contract by a plugin are detected and reported.

use std::sync::Arc;

use larder_model::storage::{Error, ErrorKind, Piece, Sighting, Sightings, TraceId};

use super::super::testing::{Memory, all, limits, of, op, run, searcher};
use super::{WALKS, by_id, by_service, spans_by, traces};

/// The call ended as the contract says for a breach of `rule`, which was reported once.
fn check_breach<T: std::fmt::Debug>(memory: &Memory, answer: Result<T, Error>, rule: &str) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContractBroken, "{error}");
    assert!(error.message().contains(rule), "{error}");
    assert_eq!(*memory.reports.lock().unwrap(), [error.to_string()]);
}

/// Searches for traces, and for spans in every order, through a storage that gives one sighting a page, changed by `lie`, which is told
/// the number of the page.
fn check_lie_about_sightings(lie: fn(usize, &mut Sightings), rule: &str) {
    let lying = || {
        let page = std::sync::atomic::AtomicUsize::new(0);
        let mut memory = Memory::of(&traces(9)).one_at_a_time();
        memory.lie_about_sightings = Some(Box::new(move |sightings| {
            lie(
                page.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                sightings,
            );
        }));
        Arc::new(memory)
    };
    let memory = lying();
    let answer = run(searcher(&memory, limits()).find_trace_ids(by_service("s")));
    check_breach(&memory, answer, rule);
    for order in WALKS {
        let memory = lying();
        let answer = all(searcher(&memory, limits()).find_spans(spans_by(order)));
        check_breach(&memory, answer, rule);
    }
}

#[test]
fn a_floor_never_rises() {
    check_lie_about_sightings(
        |page, sightings| {
            if page == 1 {
                sightings.floor = 10;
            }
        },
        "raised the floor",
    );
}

#[test]
fn nothing_is_newer_than_the_floor_before_it() {
    check_lie_about_sightings(
        |page, sightings| {
            if page == 2 {
                sightings.found[0].newest = 9;
            }
        },
        "newer than the floor",
    );
}

#[test]
fn a_resume_differs_from_the_one_before_it() {
    check_lie_about_sightings(
        |_, sightings| {
            sightings.found.clear();
            sightings.resume = Some(vec![0; 24]);
        },
        "the resume that it was called with",
    );
}

#[test]
fn a_page_has_no_more_sightings_than_it_may_have() {
    check_lie_about_sightings(
        |_, sightings| sightings.found = vec![sightings.found[0]; 5000],
        "more sightings than it was asked for",
    );
}

#[test]
fn a_sighted_fragment_has_no_match_newer_than_its_sighting() {
    check_lie_about_sightings(
        |_, sightings| {
            for sighting in &mut sightings.found {
                sighting.newest -= 1;
            }
            sightings.floor = sightings.floor.saturating_sub(1);
        },
        "older than a match",
    );
}

/// A search by attribute, which reads spans, through a storage that gives pieces changed by `lie`.
fn check_lie_about_pieces(lie: fn(&mut Vec<Piece>), kind: ErrorKind, text: &str) {
    let rows = |n: u64| vec![of("s", op(n.into(), n, n, n).attribute("k", ""))];
    let mut memory = Memory::of(&[rows(1), rows(2), rows(3)]);
    memory.lie_about_pieces = Some(Box::new(move |page| lie(&mut page.pieces)));
    let memory = Arc::new(memory);
    let answer = all(searcher(&memory, limits()).get_traces(by_id(&[1, 2])));
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.message().contains(text), "{error}");
    let reported = usize::from(kind == ErrorKind::ContractBroken);
    assert_eq!(memory.reports.lock().unwrap().len(), reported);
}

#[test]
fn a_trace_that_was_not_asked_for_is_not_given() {
    check_lie_about_pieces(
        |pieces| pieces[0].trace_id = TraceId(3),
        ErrorKind::ContractBroken,
        "was not asked for",
    );
}

#[test]
fn a_span_of_another_trace_is_not_given() {
    check_lie_about_pieces(
        |pieces| {
            let other = pieces[1].bytes.clone();
            pieces[0].bytes.extend(other);
        },
        ErrorKind::ContractBroken,
        "span of another trace",
    );
}

#[test]
fn a_fragment_comes_once() {
    check_lie_about_pieces(
        |pieces| pieces.push(pieces[1].clone()),
        ErrorKind::ContractBroken,
        "twice",
    );
}

#[test]
fn traces_come_in_the_order_asked() {
    check_lie_about_pieces(
        |pieces| pieces.reverse(),
        ErrorKind::ContractBroken,
        "another order",
    );
}

#[test]
fn bytes_that_do_not_read_are_lost_data() {
    for lie in [
        (|pieces| pieces[0].bytes.truncate(7)) as fn(&mut Vec<Piece>),
        |pieces| pieces[0].bytes.clear(),
    ] {
        check_lie_about_pieces(lie, ErrorKind::DataLoss, "cannot be read back");
    }
}

#[test]
fn a_digest_that_does_not_read_is_lost_data() {
    let mut memory = Memory::of(&traces(2));
    memory.lie_about_pieces = Some(Box::new(|page| page.pieces[0].bytes.truncate(9)));
    let memory = Arc::new(memory);
    let answer = run(searcher(&memory, limits()).find_trace_ids(by_service("s")));
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataLoss);
    assert!(error.message().contains("not a digest"), "{error}");
}

#[test]
fn a_page_of_pieces_is_not_empty_before_the_end() {
    let mut memory = Memory::of(&traces(2));
    memory.lie_about_pieces = Some(Box::new(|page| {
        page.pieces.clear();
        page.resume = Some(vec![0; 24]);
    }));
    let memory = Arc::new(memory);
    let answer = all(searcher(&memory, limits()).get_traces(by_id(&[1])));
    check_breach(&memory, answer, "an empty page that is not the last");
}

#[test]
fn a_reading_does_not_resume_where_it_was() {
    let rows: Vec<_> = (1..=9).map(|n| vec![of("s", op(1, n, n, n))]).collect();
    let mut memory = Memory::of(&rows).one_at_a_time();
    let handle = std::sync::atomic::AtomicU64::new(0);
    memory.lie_about_pieces = Some(Box::new(move |page| {
        page.pieces[0].fragment = handle.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // Back to the first piece.
        page.resume = Some([0, u64::MAX, 0].map(u64::to_be_bytes).concat());
    }));
    let memory = Arc::new(memory);
    let answer = all(searcher(&memory, limits()).get_traces(by_id(&[1])));
    check_breach(&memory, answer, "read gave the resume");
}

#[test]
fn sightings_of_nothing_that_is_stored_give_nothing() {
    let mut memory = Memory::of(&traces(2));
    memory.lie_about_sightings = Some(Box::new(|page| {
        page.found.push(Sighting {
            trace_id: TraceId(77),
            newest: 100,
            fragment: None,
        });
        page.found.push(Sighting {
            trace_id: TraceId(78),
            newest: 100,
            fragment: Some(78),
        });
    }));
    let memory = Arc::new(memory);
    let found = run(searcher(&memory, limits()).find_trace_ids(by_service("s"))).unwrap();
    assert_eq!(found.trace_ids.len(), 2);
}
