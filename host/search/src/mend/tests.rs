#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use larder_proto::otlp::TracesData;
use larder_proto::testing::traces;
use proptest::prelude::*;

use super::*;

fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_field(number, content, &mut bytes);
    bytes
}

/// A resource, a scope and spans, with fields that OTLP does not know around each.
fn around(spans: &[&[u8]]) -> Vec<u8> {
    let unknown = field(1001, b"unknown");
    let mut scope_spans = [&unknown[..], &field(3, b"schema")].concat();
    for span in spans {
        scope_spans.extend(field(2, span));
    }
    scope_spans.extend(field(1, &field(1, b"lib")));
    let resource_spans = [&unknown[..], &field(2, &scope_spans), &field(1, &unknown)].concat();
    [field(1, &resource_spans), unknown].concat()
}

/// Checks what becomes of `bad` beside a good span; none of the two is mentioned but by its bytes.
fn check(bad: &[u8], mended: &[u8], without_parent: u64, without_link: u64) {
    // A length that is longer than it has to be, which is not put right.
    let good = b"\x2a\x84\x00good";
    let found = mend(&around(&[good, bad, good]), true).unwrap();
    assert_eq!(
        found.bytes,
        around(&[good, mended, good]),
        "{:02x?} became {:02x?}",
        bad,
        found.bytes
    );
    assert_eq!(found.without_parent, without_parent);
    assert_eq!(found.without_link, without_link);
    assert!(!ids_valid(&Span::parse(bad).unwrap()).unwrap());
    assert!(ids_valid(&Span::parse(mended).unwrap()).unwrap());
}

fn told_parent(told: &str) -> Vec<u8> {
    let key = field(1, b"larder.dropped.parent_span_id");
    field(9, &[key, field(2, &field(1, told.as_bytes()))].concat())
}

fn told_links(count: u8) -> Vec<u8> {
    let key = field(1, b"larder.dropped.links");
    field(9, &[key, field(2, &[0x18, count])].concat())
}

#[test]
fn a_parent_that_does_not_fit_is_left_out_and_told() {
    let before = [field(5, b"name"), field(1001, b"unknown")].concat();
    let after = [field(9, &field(1, b"key")), field(5, b"again")].concat();
    for (parent, told) in [
        (&[1, 2, 0xff][..], "0102ff"),
        (&[7; 9], "070707070707070707"),
        (&[7; 16], "07070707070707070707070707070707"),
        (&[7; 17], "07070707070707070707070707070707... (17 bytes)"),
    ] {
        let bad = [&before[..], &field(4, parent), &after].concat();
        let mended = [&before[..], &after, &told_parent(told)].concat();
        check(&bad, &mended, 1, 0);
    }
}

#[test]
fn links_that_do_not_fit_are_left_out_and_counted() {
    let link = |trace_id: &[u8], span_id: &[u8]| {
        let ids = [field(1, trace_id), field(2, span_id)].concat();
        field(13, &[ids, field(4, &field(1, b"key"))].concat())
    };
    let good = [
        link(&[1; 16], &[1; 8]),
        link(&[], &[]),
        link(&[0; 16], &[0; 8]),
    ]
    .concat();
    let bad = [&link(&[1; 8], &[1; 8])[..], &good, &link(&[1; 16], &[1; 4])].concat();
    check(&bad, &[&good[..], &told_links(2)].concat(), 0, 1);

    let both = [&field(4, &[3])[..], &link(&[1], &[])].concat();
    let told = [told_parent("03"), told_links(1)].concat();
    check(&both, &told, 1, 1);
}

#[test]
fn of_an_id_that_was_sent_twice_the_last_one_counts() {
    let good = field(4, &[1; 8]);
    let bad = field(4, &[2; 3]);
    check(&[&bad[..], &good].concat(), &good, 0, 0);
    check(&[good, bad].concat(), &told_parent("020202"), 1, 0);
    for (number, length) in [(1, 16), (2, 8)] {
        let good = field(number, &vec![1; length]);
        let bad = field(number, &[2; 3]);
        check(&[&bad[..], &good].concat(), &good, 0, 0);
    }
}

#[test]
fn nothing_is_told_where_there_is_no_room_for_it() {
    let bad = [field(4, &[1; 3]), field(13, &field(1, &[1]))].concat();
    let mended = mend(&around(&[&bad]), false).unwrap();
    assert_eq!(mended.bytes, around(&[&[]]));
    assert_eq!((mended.without_parent, mended.without_link), (1, 1));
}

/// Every field of every span that holds no id and no link.
fn all_else(traces: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut spans = Vec::new();
    each_span(traces, |span| {
        let fields = Fields::new(span.raw).map(Result::unwrap);
        let fields = fields.filter(|field| ![1, 2, 4, 13].contains(&field.number));
        spans.push(fields.map(|field| field.raw.to_vec()).collect());
    });
    spans
}

fn each_span(traces: &[u8], mut visit: impl FnMut(Span<'_>)) {
    for resource_spans in TracesData::new(traces).resource_spans() {
        for scope_spans in resource_spans.unwrap().scope_spans() {
            for span in scope_spans.unwrap().spans() {
                visit(span.unwrap());
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_stored_has_ids_that_fit_afterwards_and_all_else_as_before(traces in traces(true)) {
        let mut all_fit = true;
        each_span(&traces, |span| all_fit &= ids_valid(&span).unwrap());
        let mended = mend(&traces, false).unwrap().bytes;
        prop_assert_eq!(mended == traces, all_fit);
        prop_assert_eq!(all_else(&mended), all_else(&traces));
        each_span(&mended, |span| assert!(ids_valid(&span).unwrap()));
    }
}
