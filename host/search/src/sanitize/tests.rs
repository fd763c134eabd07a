#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use larder_proto::otlp::TracesData;
use larder_proto::testing::{bytes_field, traces};
use proptest::prelude::*;

use super::*;

/// A resource, a scope and spans, each with fields that OTLP does not define.
fn traces_of(spans: &[&[u8]]) -> Vec<u8> {
    let unknown = bytes_field(1001, b"unknown");
    let mut scope_spans = [&unknown[..], &bytes_field(3, b"schema")].concat();
    for span in spans {
        scope_spans.extend(bytes_field(2, span));
    }
    scope_spans.extend(bytes_field(1, &bytes_field(1, b"lib")));
    let resource_spans = [
        &unknown[..],
        &bytes_field(2, &scope_spans),
        &bytes_field(1, &unknown),
    ]
    .concat();
    [bytes_field(1, &resource_spans), unknown].concat()
}

/// Checks the result for `bad` between two good spans.
fn check(bad: &[u8], sanitized: &[u8], without_parent: u64, without_link: u64) {
    // Its length prefix is longer than necessary, and has to stay so.
    let good = b"\x2a\x84\x00good";
    let found = sanitize(&traces_of(&[good, bad, good]), true).unwrap();
    assert_eq!(
        found.bytes,
        traces_of(&[good, sanitized, good]),
        "{:02x?} became {:02x?}",
        bad,
        found.bytes
    );
    assert_eq!(found.without_parent, without_parent);
    assert_eq!(found.without_link, without_link);
    assert!(!ids_valid(&Span::parse(bad).unwrap()).unwrap());
    assert!(ids_valid(&Span::parse(sanitized).unwrap()).unwrap());
}

fn dropped_parent(hex: &str) -> Vec<u8> {
    let key = bytes_field(1, b"larder.dropped.parent_span_id");
    bytes_field(
        9,
        &[key, bytes_field(2, &bytes_field(1, hex.as_bytes()))].concat(),
    )
}

fn dropped_links(count: u8) -> Vec<u8> {
    let key = bytes_field(1, b"larder.dropped.links");
    bytes_field(9, &[key, bytes_field(2, &[0x18, count])].concat())
}

#[test]
fn an_invalid_parent_is_removed_and_recorded() {
    let before = [bytes_field(5, b"name"), bytes_field(1001, b"unknown")].concat();
    let after = [
        bytes_field(9, &bytes_field(1, b"key")),
        bytes_field(5, b"again"),
    ]
    .concat();
    for (parent, hex) in [
        (&[1, 2, 0xff][..], "0102ff"),
        (&[7; 9], "070707070707070707"),
        (&[7; 16], "07070707070707070707070707070707"),
        (&[7; 17], "07070707070707070707070707070707... (17 bytes)"),
    ] {
        let bad = [&before[..], &bytes_field(4, parent), &after].concat();
        let sanitized = [&before[..], &after, &dropped_parent(hex)].concat();
        check(&bad, &sanitized, 1, 0);
    }
}

#[test]
fn invalid_links_are_removed_and_counted() {
    let link = |trace_id: &[u8], span_id: &[u8]| {
        let ids = [bytes_field(1, trace_id), bytes_field(2, span_id)].concat();
        bytes_field(13, &[ids, bytes_field(4, &bytes_field(1, b"key"))].concat())
    };
    let good = [
        link(&[1; 16], &[1; 8]),
        link(&[], &[]),
        link(&[0; 16], &[0; 8]),
    ]
    .concat();
    let bad = [&link(&[1; 8], &[1; 8])[..], &good, &link(&[1; 16], &[1; 4])].concat();
    check(&bad, &[&good[..], &dropped_links(2)].concat(), 0, 1);

    let both = [&bytes_field(4, &[3])[..], &link(&[1], &[])].concat();
    let marks = [dropped_parent("03"), dropped_links(1)].concat();
    check(&both, &marks, 1, 1);
}

#[test]
fn of_an_id_that_was_sent_twice_the_last_one_counts() {
    let good = bytes_field(4, &[1; 8]);
    let bad = bytes_field(4, &[2; 3]);
    check(&[&bad[..], &good].concat(), &good, 0, 0);
    check(&[good, bad].concat(), &dropped_parent("020202"), 1, 0);
    for (number, length) in [(1, 16), (2, 8)] {
        let good = bytes_field(number, &vec![1; length]);
        let bad = bytes_field(number, &[2; 3]);
        check(&[&bad[..], &good].concat(), &good, 0, 0);
    }
}

#[test]
fn no_attribute_is_added_without_mark() {
    let bad = [
        bytes_field(4, &[1; 3]),
        bytes_field(13, &bytes_field(1, &[1])),
    ]
    .concat();
    let sanitized = sanitize(&traces_of(&[&bad]), false).unwrap();
    assert_eq!(sanitized.bytes, traces_of(&[&[]]));
    assert_eq!((sanitized.without_parent, sanitized.without_link), (1, 1));
}

/// The fields of every span, except ids and links.
fn other_fields(traces: &[u8]) -> Vec<Vec<Vec<u8>>> {
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
    fn afterwards_all_ids_are_valid_and_everything_else_is_unchanged(traces in traces(true)) {
        let mut all_valid = true;
        each_span(&traces, |span| all_valid &= ids_valid(&span).unwrap());
        let sanitized = sanitize(&traces, false).unwrap().bytes;
        prop_assert_eq!(sanitized == traces, all_valid);
        prop_assert_eq!(other_fields(&sanitized), other_fields(&traces));
        each_span(&sanitized, |span| assert!(ids_valid(&span).unwrap()));
    }
}
