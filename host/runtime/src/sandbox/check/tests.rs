#![allow(clippy::unwrap_used, reason = "tests")]

use larder_model::storage::{Piece, Sighting, SpanKind, TraceId};

use super::*;

fn found(count: u128, resume: Option<&str>) -> Sightings {
    let sighting = |id| Sighting {
        trace_id: TraceId(id),
        newest: 5,
        fragment: None,
    };
    Sightings {
        found: (1..=count).map(sighting).collect(),
        floor: 3,
        resume: resume.map(Into::into),
    }
}

fn piece(trace: u128, fragment: u64, size: usize) -> Piece {
    Piece {
        trace_id: TraceId(trace),
        fragment,
        bytes: vec![7; size],
        dropped_spans: 0,
    }
}

fn page(pieces: &[Piece], resume: Option<&str>) -> Pieces {
    Pieces {
        pieces: pieces.to_vec(),
        resume: resume.map(Into::into),
    }
}

fn traces(ids: &[u128]) -> Wanted {
    Wanted::Traces(ids.iter().copied().map(TraceId).collect())
}

#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the callers are easier to read"
)]
fn check(checked: Result<(), Breach>, rule: Option<&str>) {
    assert_eq!(
        checked.as_ref().err().map(|breach| breach.rule),
        rule,
        "{checked:?}"
    );
}

#[test]
fn find_gives_no_more_sightings_than_asked_for() {
    check(sightings(&found(2, None), None, 2), None);
    check(sightings(&found(0, Some("a")), None, 2), None);
    check(sightings(&found(3, None), None, 2), Some("find.limit"));
}

#[test]
fn a_resume_is_short_and_moves_on() {
    check(sightings(&found(1, Some("b")), Some(b"a"), 2), None);
    check(
        sightings(&found(1, Some("a")), Some(b"a"), 2),
        Some("resume.progress"),
    );
    let long = "x".repeat(MAX_RESUME_BYTES + 1);
    check(
        sightings(&found(1, Some(&long)), None, 2),
        Some("resume.size"),
    );
    let same = page(&[piece(1, 1, 1)], Some("a"));
    let checked = pieces(&same, &traces(&[1]), Part::Otlp, Some(b"a"), 10);
    check(checked, Some("resume.progress"));
}

#[test]
fn read_gives_a_piece_unless_it_is_at_its_end() {
    let all = traces(&[1]);
    check(pieces(&page(&[], None), &all, Part::Otlp, None, 10), None);
    let stuck = page(&[], Some("on"));
    check(
        pieces(&stuck, &all, Part::Otlp, None, 10),
        Some("read.progress"),
    );
}

#[test]
fn read_gives_only_what_was_asked_for() {
    let other = page(&[piece(1, 10, 1), piece(3, 11, 1)], None);
    check(pieces(&other, &traces(&[1, 3]), Part::Otlp, None, 10), None);
    for part in [Part::Otlp, Part::Digest] {
        let checked = pieces(&other, &traces(&[1, 2]), part, None, 10);
        check(checked, Some("read.wanted"));
    }
    let fragments = Wanted::Fragments(vec![10, 11]);
    check(pieces(&other, &fragments, Part::Otlp, None, 10), None);
    let fragments = Wanted::Fragments(vec![10, 12]);
    check(
        pieces(&other, &fragments, Part::Otlp, None, 10),
        Some("read.wanted"),
    );
}

#[test]
fn otlp_comes_in_the_order_asked_with_a_traces_pieces_together() {
    let wanted = traces(&[2, 1]);
    let good = page(&[piece(2, 10, 1), piece(2, 9, 1), piece(1, 11, 1)], None);
    check(pieces(&good, &wanted, Part::Otlp, None, 10), None);
    let torn = page(&[piece(2, 10, 1), piece(1, 11, 1), piece(2, 9, 1)], None);
    check(
        pieces(&torn, &wanted, Part::Otlp, None, 10),
        Some("read.order"),
    );
    check(pieces(&torn, &wanted, Part::Digest, None, 10), None);
    let fragments = Wanted::Fragments(vec![11, 10, 9]);
    check(
        pieces(&good, &fragments, Part::Otlp, None, 10),
        Some("read.order"),
    );
}

#[test]
fn no_fragment_comes_twice_or_empty() {
    let wanted = traces(&[1]);
    let twice = page(&[piece(1, 10, 1), piece(1, 10, 1)], None);
    check(
        pieces(&twice, &wanted, Part::Digest, None, 10),
        Some("read.twice"),
    );
    let empty = page(&[piece(1, 10, 0)], None);
    check(
        pieces(&empty, &wanted, Part::Digest, None, 10),
        Some("read.empty"),
    );
}

#[test]
fn a_page_has_about_the_bytes_asked_for_beside_its_largest_piece() {
    let wanted = traces(&[1]);
    let one_large = page(&[piece(1, 10, 5000)], None);
    check(pieces(&one_large, &wanted, Part::Otlp, None, 10), None);
    let block = page(
        &[piece(1, 10, 10), piece(1, 11, 10), piece(1, 12, 10)],
        None,
    );
    check(pieces(&block, &wanted, Part::Otlp, None, 10), None);
    let flood = page(
        &[
            piece(1, 10, 10),
            piece(1, 11, 10),
            piece(1, 12, 11),
            piece(1, 13, 10),
        ],
        None,
    );
    check(
        pieces(&flood, &wanted, Part::Otlp, None, 10),
        Some("read.size"),
    );
}

#[test]
fn services_are_named_and_unique() {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    check(services(&names(&["b", "a"])), None);
    check(services(&names(&["a", ""])), Some("services.empty"));
    check(services(&names(&["a", "b", "a"])), Some("services.unique"));
}

#[test]
fn operations_belong_to_the_service_and_are_unique() {
    let operation = |service: &str, name: &str, kind| Operation {
        service: service.into(),
        name: name.into(),
        kind,
    };
    let (server, client) = (SpanKind::Server, SpanKind::Client);
    let good = [
        operation("s", "", server),
        operation("s", "a", server),
        operation("s", "a", client),
    ];
    check(operations(&good, "s"), None);
    check(operations(&good, "t"), Some("operations.service"));
    let twice = [operation("s", "a", server), operation("s", "a", server)];
    check(operations(&twice, "s"), Some("operations.unique"));
}

#[test]
fn a_breach_names_the_plugin_and_the_rule() {
    let error = sightings(&found(3, None), None, 2)
        .unwrap_err()
        .into_error("x");
    assert_eq!(error.kind(), ErrorKind::ContractBroken);
    assert!(error.message().contains("`x`") && error.message().contains("find.limit"));
}

#[test]
fn a_step_of_a_check_is_bounded_and_goes_on() {
    let step = |values, lines: Vec<String>, resume: Option<&str>| Checked {
        values,
        bytes: 1,
        damaged: lines,
        resume: resume.map(Into::into),
    };
    let lines = |count, size| vec!["x".repeat(size); count];
    check(checked(&step(0, lines(1, 0), None), None), None);
    let most = lines(MAX_DAMAGED, 1);
    check(checked(&step(1, most, Some("b")), Some(b"a")), None);
    let long = lines(1, MAX_DAMAGED_BYTES);
    check(checked(&step(1, long, None), None), None);

    let many = lines(MAX_DAMAGED + 1, 1);
    check(checked(&step(1, many, None), None), Some("check.damaged"));
    let long = lines(1, MAX_DAMAGED_BYTES + 1);
    check(checked(&step(1, long, None), None), Some("check.line"));
    let none = step(0, lines(1, 1), Some("a"));
    check(checked(&none, None), Some("check.progress"));
    let same = step(1, Vec::new(), Some("a"));
    check(checked(&same, Some(b"a")), Some("resume.progress"));
}

#[test]
fn a_step_of_a_repair_keeps_to_the_sizes_of_a_check_and_does_something() {
    let step = |values, lost: Vec<String>, more| Repaired {
        values,
        lost,
        more,
        ..Repaired::default()
    };
    let lines = |count, size| vec!["x".repeat(size); count];
    check(repaired(&step(0, lines(1, 4096), false)), None);
    check(repaired(&step(1, lines(1 << 16, 0), true)), None);
    let many = lines((1 << 16) + 1, 0);
    check(repaired(&step(1, many, false)), Some("repair.lines"));
    let long = lines(1, 4097);
    check(repaired(&step(1, long, false)), Some("repair.line"));
    check(
        repaired(&step(0, Vec::new(), true)),
        Some("repair.progress"),
    );
    let asks = Repaired {
        remake: vec![Vec::new()],
        ..Repaired::default()
    };
    check(repaired(&asks), Some("repair.progress"));
}
