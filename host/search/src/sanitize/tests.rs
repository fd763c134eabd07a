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
    let found = sanitize(&traces_of(&[good, bad, good]), true, 0).unwrap();
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

fn dropped_spans(count: &[u8]) -> Vec<u8> {
    let key = bytes_field(1, b"larder.dropped.spans");
    let value = [&[0x18][..], count].concat();
    bytes_field(9, &[key, bytes_field(2, &value)].concat())
}

#[test]
fn the_first_span_alone_tells_how_many_were_dropped() {
    let [one, other] = [b"\x2a\x84\x00good", b"\x2a\x84\x00else"];
    let stored = [traces_of(&[one, other]), traces_of(&[one])].concat();
    let first = [&one[..], &dropped_spans(&[0xac, 0x02])].concat();
    let marked = [traces_of(&[&first, other]), traces_of(&[one])].concat();
    assert_eq!(sanitize(&stored, true, 300).unwrap().bytes, marked);
    assert_eq!(sanitize(&stored, false, 300).unwrap().bytes, stored);
    assert_eq!(sanitize(&stored, true, 0).unwrap().bytes, stored);

    // A number that OTLP's integers do not hold becomes the largest of them.
    let most = [&[0xff_u8; 8][..], &[0x7f]].concat();
    let first = [&one[..], &dropped_spans(&most)].concat();
    let found = sanitize(&traces_of(&[one]), true, u64::MAX).unwrap();
    assert_eq!(found.bytes, traces_of(&[&first]));
}

#[test]
fn a_span_without_its_links_can_be_the_first_of_a_beginning() {
    let bad = bytes_field(13, &bytes_field(1, &[1]));
    let marks = [dropped_links(1), dropped_spans(&[5])].concat();
    let found = sanitize(&traces_of(&[&bad]), true, 5).unwrap();
    assert_eq!(found.bytes, traces_of(&[&marks]));
}

#[test]
fn no_attribute_is_added_without_mark() {
    let bad = [
        bytes_field(4, &[1; 3]),
        bytes_field(13, &bytes_field(1, &[1])),
    ]
    .concat();
    let sanitized = sanitize(&traces_of(&[&bad]), false, 0).unwrap();
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

/// A map or an array around a value, encoded.
fn around(value: &[u8], is_map: bool) -> Vec<u8> {
    if is_map {
        let entry = [bytes_field(1, b"k"), bytes_field(2, value)].concat();
        bytes_field(6, &bytes_field(1, &entry))
    } else {
        bytes_field(5, &bytes_field(1, value))
    }
}

/// A value of `levels` maps or arrays within each other, encoded.
fn nested(levels: usize, is_map: bool) -> Vec<u8> {
    let core = bytes_field(1, b"core");
    (0..levels).fold(core, |value, _| around(&value, is_map))
}

/// Traces with an attribute of this value in a span, an event, a link, a scope and a resource. `mark` adds the attribute for text.
fn at_each_level(value: &[u8], mark: bool) -> Vec<Vec<u8>> {
    let attribute = [bytes_field(1, b"key"), bytes_field(2, value)].concat();
    let marked = |number: u32, content: Vec<u8>| {
        let key = bytes_field(1, b"larder.flattened.values");
        let one = [key, bytes_field(2, b"\x18\x01")].concat();
        if mark {
            [content, bytes_field(number, &one)].concat()
        } else {
            content
        }
    };
    let of = |resource: Vec<u8>, scope: Vec<u8>, span: Vec<u8>| {
        let scope_spans = [bytes_field(1, &scope), bytes_field(2, &span)].concat();
        bytes_field(
            1,
            &[bytes_field(1, &resource), bytes_field(2, &scope_spans)].concat(),
        )
    };
    let none = Vec::new;
    vec![
        of(none(), none(), marked(9, bytes_field(9, &attribute))),
        of(
            none(),
            none(),
            marked(9, bytes_field(11, &bytes_field(3, &attribute))),
        ),
        of(
            none(),
            none(),
            marked(9, bytes_field(13, &bytes_field(4, &attribute))),
        ),
        of(none(), marked(3, bytes_field(3, &attribute)), none()),
        of(marked(1, bytes_field(1, &attribute)), none(), none()),
    ]
}

fn is_sound(traces: &[u8]) -> bool {
    let mut is_sound = are_headers_sound(traces).unwrap();
    each_span(traces, |span| is_sound &= is_span_sound(&span).unwrap());
    is_sound
}

#[test]
fn what_is_nested_too_deep_for_jaeger_becomes_text() {
    for (is_map, deepest) in [(true, 32), (false, 49)] {
        for levels in 1..=64 {
            let inner = levels.max(deepest) - deepest;
            let (open, close) = if is_map { ("{\"k\":", "}") } else { ("[", "]") };
            let text = format!("{}\"core\"{}", open.repeat(inner), close.repeat(inner));
            let stored = at_each_level(&nested(levels, is_map), false);
            for (place, stored) in stored.iter().enumerate() {
                assert_eq!(pdata::decodes(stored), levels <= deepest, "{levels}");
                assert_eq!(is_sound(stored), levels <= deepest, "{levels}");
                let sanitized = sanitize(stored, true, 0).unwrap();
                assert!(pdata::decodes(&sanitized.bytes));
                if levels <= deepest {
                    assert_eq!(&sanitized.bytes, stored);
                    assert_eq!(sanitized.flattened, 0);
                    continue;
                }
                // The text never has more bytes than what it replaces.
                let replaced = nested(inner, is_map).len() - 2;
                assert_eq!(sanitized.flattened, 1);
                let short = sanitize(stored, false, 0).unwrap();
                assert!(short.bytes.len() <= stored.len());
                if text.len() < replaced {
                    let mut value = bytes_field(1, text.as_bytes());
                    for _ in 0..deepest {
                        value = around(&value, is_map);
                    }
                    assert_eq!(sanitized.bytes, at_each_level(&value, true)[place]);
                }
            }
        }
    }
}

#[test]
fn spans_in_the_old_field_are_left_out() {
    let new = bytes_field(2, &bytes_field(2, b"\x2a\x00"));
    let old = bytes_field(1000, b"\x12\x05");
    let unknown = bytes_field(1001, b"unknown");
    let stored = bytes_field(1, &[&old[..], &unknown, &new, &old].concat());
    assert!(!is_sound(&stored));
    let sanitized = sanitize(&stored, true, 0).unwrap();
    assert_eq!(sanitized.bytes, bytes_field(1, &[unknown, new].concat()));
}

proptest! {
    #[test]
    fn afterwards_all_ids_are_valid_and_everything_else_is_unchanged(traces in traces(true)) {
        let mut all_valid = are_headers_sound(&traces).unwrap();
        each_span(&traces, |span| all_valid &= ids_valid(&span).unwrap());
        let sanitized = sanitize(&traces, false, 0).unwrap().bytes;
        prop_assert_eq!(sanitized == traces, all_valid);
        prop_assert_eq!(other_fields(&sanitized), other_fields(&traces));
        each_span(&sanitized, |span| assert!(ids_valid(&span).unwrap()));
    }
}
