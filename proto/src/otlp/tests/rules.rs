//! Single rules of reading: merged messages, the service, the positions of errors.

use super::read_traces;
use crate::otlp::{AnyValue, Event, ResourceSpans, Span, pdata, values};
use crate::testing::bytes_field;

#[test]
fn a_resource_that_is_sent_twice_is_merged() {
    let attribute = |key: &[u8]| {
        bytes_field(
            1,
            &[bytes_field(1, key), bytes_field(2, &bytes_field(1, b"v"))].concat(),
        )
    };
    let raw = [
        bytes_field(1, &attribute(b"a")),
        bytes_field(3, b"old"),
        bytes_field(1, &[attribute(b"b"), attribute(b"c")].concat()),
        bytes_field(3, b"new"),
    ]
    .concat();
    let view = ResourceSpans::parse(&raw).unwrap();
    let keys: Vec<_> = view.resource.attributes().map(|a| a.unwrap().key).collect();
    assert_eq!(keys, [b"a", b"b", b"c"]);
    assert_eq!(view.schema_url, b"new");
}

#[test]
fn the_service_is_the_first_service_name_or_a_name_for_what_is_wrong_with_it() {
    let attribute = |value: &[u8]| {
        bytes_field(
            1,
            &[bytes_field(1, b"service.name"), bytes_field(2, value)].concat(),
        )
    };
    let service = |attributes: &[Vec<u8>]| {
        let raw = bytes_field(1, &attributes.concat());
        let view = ResourceSpans::parse(&raw).unwrap();
        view.resource.service().unwrap().to_vec()
    };
    let shop = attribute(&bytes_field(1, b"shop"));
    let number = attribute(b"\x18\x05");
    let empty = attribute(&bytes_field(1, b""));
    assert_eq!(service(&[]), b"missing-service-name");
    assert_eq!(service(&[empty, shop.clone()]), b"empty-service-name");
    assert_eq!(
        service(&[shop.clone(), attribute(&bytes_field(1, b"b"))]),
        b"shop"
    );
    assert_eq!(service(&[number, shop]), b"service-name-wrong-type");
}

#[test]
fn values_merge_only_while_the_arm_stays_the_same() {
    let one = bytes_field(5, &bytes_field(1, &bytes_field(1, b"one")));
    let two = bytes_field(5, &bytes_field(1, &bytes_field(1, b"two")));
    let index = b"\x40\x01".to_vec();
    let length = |parts: &[&Vec<u8>]| {
        let raw: Vec<u8> = parts.iter().flat_map(|part| (*part).clone()).collect();
        match AnyValue::parse(&raw).unwrap() {
            Some(AnyValue::Array(array)) => values(&array).count(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(length(&[&one, &two]), 2);
    assert_eq!(length(&[&one, &index, &two]), 1);
    assert_eq!(AnyValue::parse(&[one, index].concat()).unwrap(), None);
}

#[test]
fn errors_are_counted_from_the_message_that_was_read() {
    let event = bytes_field(11, b"\x08\x01");
    let raw = [bytes_field(5, b"name"), event].concat();
    let error = Span::read(&raw, |child| Event::parse(child.bytes()).map(drop)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "field 1 has the wrong wire type at byte 8"
    );
    assert_eq!(
        Span::parse(b"\x2a\x01a\x28\x01").unwrap_err().to_string(),
        "field 5 has the wrong wire type at byte 3"
    );
}

#[test]
fn the_field_in_which_old_clients_sent_their_spans_is_reported() {
    let has = |resource_spans: &[u8]| {
        let view = ResourceSpans::parse(resource_spans).unwrap();
        view.has_old_scope_spans
    };
    let new = bytes_field(2, &bytes_field(2, b""));
    let old = bytes_field(pdata::OLD_SCOPE_SPANS, &bytes_field(2, b""));
    assert!(!has(&new));
    assert!(has(&old));
    assert!(has(&[new.clone(), old].concat()));
    // An older release stored whatever was in it.
    let number = [&new[..], b"\xc0\x3e\x01"].concat();
    assert!(has(&number));
    // A request that has anything else in it is malformed, for pdata too.
    let traces = bytes_field(1, &number);
    assert!(read_traces(&traces).is_err() && !pdata::decodes(&traces));
}
