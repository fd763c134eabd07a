//! What Jaeger's decoder refuses is reported in every position.

use super::{at_each_level, in_span, read_traces};
use crate::otlp::{IdField, Span, pdata};
use crate::testing::bytes_field;

fn check_undecodable(traces: &[u8]) {
    assert!(!read_traces(traces).unwrap().decodable, "{traces:02x?}");
    assert!(!pdata::decodes(traces), "{traces:02x?}");
}

fn check_decodable(traces: &[u8]) {
    assert!(read_traces(traces).unwrap().decodable, "{traces:02x?}");
    assert!(pdata::decodes(traces), "{traces:02x?}");
}

#[test]
fn an_id_of_another_length_is_reported_in_every_position() {
    // The field number in a span and in a link, and the valid length.
    for (number, right) in [(1, 16), (2, 8), (4, 8)] {
        for length in 0..20 {
            let id = bytes_field(number, &vec![1; length]);
            let fits = length == 0 || length == right;
            let also_good = bytes_field(number, &vec![1; right]);
            // pdata checks each of them, not only the last one.
            for span in [
                id.clone(),
                [&id[..], &also_good].concat(),
                [&also_good[..], &id].concat(),
            ] {
                let check = if fits {
                    check_decodable
                } else {
                    check_undecodable
                };
                check(&in_span(&span));
                let expected = match number {
                    1 => IdField::TraceId,
                    2 => IdField::SpanId,
                    _ => IdField::ParentSpanId,
                };
                let invalid_id = Span::parse(&span).unwrap().invalid_id;
                assert_eq!(invalid_id, (!fits).then_some(expected));
                if number < 4 {
                    check(&in_span(&bytes_field(13, &span)));
                }
            }
        }
    }
}

#[test]
fn ids_of_zeros_are_decodable() {
    let ids = [bytes_field(1, &[0; 16]), bytes_field(2, &[0; 8])].concat();
    check_decodable(&in_span(
        &[&ids[..], &bytes_field(4, &[0; 8]), &bytes_field(13, &ids)].concat(),
    ));
}

#[test]
fn a_group_is_reported_in_every_position() {
    // A group numbered 1001, with a varint in it.
    let group = b"\xcb\x3e\x08\x01\xcc\x3e";
    for value in [
        group.to_vec(),
        bytes_field(5, group),
        bytes_field(5, &bytes_field(1, group)),
        bytes_field(6, group),
        bytes_field(6, &bytes_field(1, group)),
        bytes_field(6, &bytes_field(1, &bytes_field(2, group))),
    ] {
        for traces in &at_each_level(&value) {
            check_undecodable(traces);
        }
    }
    let resource = |raw: &[u8]| bytes_field(1, &bytes_field(1, raw));
    for traces in [
        bytes_field(1, group),
        resource(group),
        resource(&bytes_field(1, group)),
        resource(&bytes_field(3, group)),
        bytes_field(1, &bytes_field(2, group)),
        bytes_field(1, &bytes_field(2, &bytes_field(1, group))),
        bytes_field(1, &bytes_field(2, &bytes_field(1, &bytes_field(3, group)))),
        in_span(group),
        in_span(&bytes_field(9, group)),
        in_span(&bytes_field(11, group)),
        in_span(&bytes_field(11, &bytes_field(3, group))),
        in_span(&bytes_field(13, group)),
        in_span(&bytes_field(13, &bytes_field(4, group))),
        in_span(&bytes_field(15, group)),
    ] {
        check_undecodable(&traces);
    }
}
