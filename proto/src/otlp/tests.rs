#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::testing::mirror;
use crate::testing::{bytes_field, mutated_traces, traces};

// === reading a whole message with the functions of this module, like ingest ===

fn read_attribute(raw: &[u8], validity: &mut Validity) -> Result<(), Error> {
    let attribute = KeyValue::parse(raw)?;
    *validity &= attribute.validity;
    Ok(())
}

fn read_span(raw: &[u8]) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    let span = Span::read(raw, |child| {
        match child {
            Child::Attribute(raw) => return read_attribute(raw, &mut validity),
            Child::Event(raw) => {
                let event = Event::read(raw, |raw| read_attribute(raw, &mut validity))?;
                validity &= event.validity;
            }
            Child::Link(raw) => {
                let link = Link::read(raw, |raw| read_attribute(raw, &mut validity))?;
                validity &= link.validity;
                validity.decodable &= link.ids_valid;
            }
        }
        Ok(())
    })?;
    validity &= span.validity;
    validity.decodable &= span.invalid_id.is_none();
    Ok(validity)
}

fn read_scope_spans(raw: &[u8]) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    let view = ScopeSpans::read(raw, |raw| read_attribute(raw, &mut validity))?;
    validity &= view.validity;
    for span in Repeated::new(raw, 2) {
        validity &= read_span(span?)?;
    }
    Ok(validity)
}

fn read_resource_spans(raw: &[u8]) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    let view = ResourceSpans::read(raw, |raw| read_attribute(raw, &mut validity))?;
    validity &= view.validity;
    for number in [2, pdata::OLD_SCOPE_SPANS] {
        for scope in Repeated::new(raw, number) {
            validity &= read_scope_spans(scope?)?;
        }
    }
    Ok(validity)
}

/// Checks a whole `TracesData`.
fn read_traces(bytes: &[u8]) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    for field in Fields::new(bytes) {
        let field = field?;
        if field.number == 1 {
            validity &= read_resource_spans(field.bytes()?)?;
        } else {
            validity.decodable &= !field.is_group();
        }
    }
    Ok(validity)
}

// === converting views to prost's messages ===

fn mirror_value(value: Option<AnyValue<'_>>) -> Option<mirror::Value> {
    Some(match value? {
        AnyValue::String(text) => mirror::Value::String(text.to_vec()),
        AnyValue::Bool(value) => mirror::Value::Bool(value),
        AnyValue::Int(value) => mirror::Value::Int(value),
        AnyValue::Double(value) => mirror::Value::Double(value),
        AnyValue::Bytes(bytes) => mirror::Value::Bytes(bytes.to_vec()),
        AnyValue::Array(array) => mirror::Value::Array(mirror::Array {
            values: values(&array)
                .map(|value| mirror::AnyValue {
                    value: mirror_value(value.unwrap()),
                })
                .collect(),
        }),
        AnyValue::KvList(list) => mirror::Value::KvList(mirror::KvList {
            values: entries(&list)
                .map(|entry| mirror_attribute(entry.unwrap()))
                .collect(),
        }),
    })
}

fn mirror_attribute(attribute: KeyValue<'_>) -> mirror::KeyValue {
    mirror::KeyValue {
        key: attribute.key.to_vec(),
        value: Some(mirror::AnyValue {
            value: mirror_value(attribute.value),
        }),
        key_strindex: 0,
    }
}

fn mirror_attributes(attributes: Attributes<'_>) -> Vec<mirror::KeyValue> {
    attributes
        .map(|attribute| mirror_attribute(attribute.unwrap()))
        .collect()
}

fn mirror_span(span: &Span<'_>) -> mirror::Span {
    mirror::Span {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        trace_state: span.trace_state.to_vec(),
        parent_span_id: span.parent_span_id.to_vec(),
        name: span.name.to_vec(),
        kind: u32::try_from(span.kind).unwrap().cast_signed(),
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        attributes: mirror_attributes(span.attributes()),
        events: span
            .events()
            .map(|event| {
                let event = event.unwrap();
                mirror::Event {
                    time_unix_nano: event.time_unix_nano,
                    name: event.name.to_vec(),
                    attributes: mirror_attributes(event.attributes()),
                    dropped_attributes_count: 0,
                }
            })
            .collect(),
        links: span
            .links()
            .map(|link| {
                let link = link.unwrap();
                mirror::Link {
                    trace_id: link.trace_id.to_vec(),
                    span_id: link.span_id.to_vec(),
                    trace_state: link.trace_state.to_vec(),
                    attributes: mirror_attributes(link.attributes()),
                    ..mirror::Link::default()
                }
            })
            .collect(),
        status: Some(mirror::Status {
            message: span.status_message.to_vec(),
            code: u32::try_from(span.status_code).unwrap().cast_signed(),
        }),
        ..mirror::Span::default()
    }
}

fn mirror_traces(bytes: &[u8]) -> mirror::TracesData {
    let resource_spans = TracesData::new(bytes).resource_spans().map(|view| {
        let view = view.unwrap();
        mirror::ResourceSpans {
            old_scope_spans: Vec::new(),
            resource: Some(mirror::Resource {
                attributes: mirror_attributes(view.resource.attributes()),
                ..mirror::Resource::default()
            }),
            scope_spans: view
                .scope_spans()
                .map(|view| {
                    let view = view.unwrap();
                    mirror::ScopeSpans {
                        scope: Some(mirror::Scope {
                            name: view.scope.name.to_vec(),
                            version: view.scope.version.to_vec(),
                            attributes: mirror_attributes(view.scope.attributes()),
                            dropped_attributes_count: 0,
                        }),
                        spans: view
                            .spans()
                            .map(|span| mirror_span(&span.unwrap()))
                            .collect(),
                        schema_url: view.schema_url.to_vec(),
                    }
                })
                .collect(),
            schema_url: view.schema_url.to_vec(),
        }
    });
    mirror::TracesData {
        resource_spans: resource_spans.collect(),
    }
}

/// Removes the fields that views do not keep, and the difference between an absent message and an empty one.
fn without_ignored_fields(mut traces: mirror::TracesData) -> mirror::TracesData {
    fn attributes(attributes: &mut Vec<mirror::KeyValue>) {
        for attribute in attributes {
            attribute.key_strindex = 0;
            value(attribute.value.get_or_insert_default());
        }
    }
    fn value(any: &mut mirror::AnyValue) {
        match &mut any.value {
            Some(mirror::Value::StringIndex(_)) => any.value = None,
            Some(mirror::Value::Array(array)) => array.values.iter_mut().for_each(value),
            Some(mirror::Value::KvList(list)) => attributes(&mut list.values),
            // A NaN is not equal to itself, so replace it by a number.
            Some(mirror::Value::Double(double)) if double.is_nan() => *double = 0.5,
            _ => {}
        }
    }
    for resource_spans in &mut traces.resource_spans {
        resource_spans.old_scope_spans.clear();
        let resource = resource_spans.resource.get_or_insert_default();
        attributes(&mut resource.attributes);
        resource.dropped_attributes_count = 0;
        resource.entity_refs.clear();
        for scope_spans in &mut resource_spans.scope_spans {
            let scope = scope_spans.scope.get_or_insert_default();
            attributes(&mut scope.attributes);
            scope.dropped_attributes_count = 0;
            for span in &mut scope_spans.spans {
                attributes(&mut span.attributes);
                span.dropped_attributes_count = 0;
                span.dropped_events_count = 0;
                span.dropped_links_count = 0;
                span.flags = 0;
                span.status.get_or_insert_default();
                for event in &mut span.events {
                    attributes(&mut event.attributes);
                    event.dropped_attributes_count = 0;
                }
                for link in &mut span.links {
                    attributes(&mut link.attributes);
                    link.dropped_attributes_count = 0;
                    link.flags = 0;
                }
            }
        }
    }
    traces
}

fn otlp_decode(bytes: &[u8]) -> Result<(), prost::DecodeError> {
    opentelemetry_proto::tonic::trace::v1::TracesData::decode(bytes).map(drop)
}

/// Checks that views and prost agree on the bytes. For invalid UTF-8 prost refuses the whole message.
fn check_against_prost(bytes: &[u8]) -> Result<(), TestCaseError> {
    let read = read_traces(bytes);
    let decoded = mirror::TracesData::decode(bytes);
    prop_assert_eq!(
        read.is_ok(),
        decoded.is_ok(),
        "read {:?}, decoded {:?}",
        read,
        decoded
    );
    let is = |flag: fn(Validity) -> bool| read.is_ok_and(flag);
    // prost does not know the old field.
    let has_old = |message: &mirror::TracesData| {
        let mut resource_spans = message.resource_spans.iter();
        resource_spans.any(|resource_spans| !resource_spans.old_scope_spans.is_empty())
    };
    if !decoded.as_ref().is_ok_and(has_old) && (decoded.is_ok() || otlp_decode(bytes).is_err()) {
        prop_assert_eq!(is(|read| read.utf8), otlp_decode(bytes).is_ok());
    }
    prop_assert!(pdata::decodes(bytes) || !is(|read| read.decodable));
    if let Ok(decoded) = decoded {
        prop_assert_eq!(
            without_ignored_fields(mirror_traces(bytes)),
            without_ignored_fields(decoded)
        );
    }
    Ok(())
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: ProptestConfig::default().cases * 8,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn well_formed_traces_are_read_as_prost_does(bytes in traces(false)) {
        prop_assert!(read_traces(&bytes).unwrap().utf8);
        check_against_prost(&bytes)?;
    }

    #[test]
    fn bad_utf8_is_accepted_and_reported(bytes in traces(true)) {
        prop_assert!(read_traces(&bytes).is_ok());
        check_against_prost(&bytes)?;
    }

    #[test]
    fn mutated_traces_are_accepted_and_refused_as_by_prost(bytes in mutated_traces()) {
        check_against_prost(&bytes)?;
    }

    #[test]
    fn garbage_is_accepted_and_refused_as_by_prost(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        check_against_prost(&bytes)?;
    }

    #[test]
    fn views_of_garbage_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for resource_spans in TracesData::new(&bytes).resource_spans().flatten() {
            let _ = resource_spans.resource.service();
            resource_spans.scope_spans().for_each(drop);
        }
        if let Ok(span) = Span::parse(&bytes) {
            span.attributes().for_each(drop);
            span.events().for_each(drop);
            span.links().for_each(drop);
        }
        values(&bytes).for_each(drop);
        entries(&bytes).for_each(drop);
        let _ = AnyValue::parse(&bytes);
    }
}

// === repairing ===

proptest! {
    #[test]
    fn repaired_traces_are_utf8_and_otherwise_the_same(bytes in traces(true)) {
        let repaired = repair::repair(&bytes).unwrap();
        prop_assert!(read_traces(&repaired).unwrap().utf8);
        prop_assert_eq!(repaired == bytes, read_traces(&bytes).unwrap().utf8);
        prop_assert_eq!(repair::repair(&repaired).unwrap(), repaired);
    }

    #[test]
    fn repair_takes_what_can_be_read(bytes in mutated_traces()) {
        let read = read_traces(&bytes);
        if let Ok(repaired) = repair::repair(&bytes) {
            prop_assert!(read.is_err() || read_traces(&repaired).unwrap().utf8);
        } else {
            prop_assert!(read.is_err());
        }
    }
}

#[test]
fn a_replaced_string_is_marked_where_it_was() {
    let mark = |count: u8| {
        let key = bytes_field(1, repair::REPLACED_STRINGS.as_bytes());
        [key, bytes_field(2, &[0x18, count])].concat()
    };
    let name = |name: &[u8]| {
        let key = bytes_field(1, b"invalid-span-name");
        bytes_field(9, &[key, bytes_field(2, &bytes_field(7, name))].concat())
    };
    let spoilt = in_span(&[bytes_field(5, b"AB\xff\xfe"), bytes_field(3, b"\xff")].concat());
    let fields = [
        bytes_field(5, "AB\u{fffd}\u{fffd}".as_bytes()),
        bytes_field(3, "\u{fffd}".as_bytes()),
        name(b"AB\xff\xfe"),
        bytes_field(9, &mark(2)),
    ];
    assert_eq!(repair::repair(&spoilt).unwrap(), in_span(&fields.concat()));
    let scope = |scope: &[u8]| bytes_field(1, &bytes_field(2, &bytes_field(1, scope)));
    let spoilt = scope(&bytes_field(2, b"1\xff"));
    let fields = [
        bytes_field(2, "1\u{fffd}".as_bytes()),
        bytes_field(3, &mark(1)),
    ];
    assert_eq!(repair::repair(&spoilt).unwrap(), scope(&fields.concat()));
}

// === single rules ===

/// Attributes of spans, events, links, resources and scopes, each around `value`, an encoded `AnyValue`.
fn at_each_level(value: &[u8]) -> [Vec<u8>; 5] {
    let attribute = bytes_field(2, value);
    let in_span = |span: Vec<u8>| bytes_field(1, &bytes_field(2, &bytes_field(2, &span)));
    [
        in_span(bytes_field(9, &attribute)),
        in_span(bytes_field(11, &bytes_field(3, &attribute))),
        in_span(bytes_field(13, &bytes_field(4, &attribute))),
        bytes_field(1, &bytes_field(1, &bytes_field(1, &attribute))),
        bytes_field(
            1,
            &bytes_field(2, &bytes_field(1, &bytes_field(3, &attribute))),
        ),
    ]
}

#[test]
fn values_have_64_levels_at_most() {
    for wrap in [5, 6] {
        for content in [&b""[..], b"\x10\x01", b"\x98\x01\x01", b"\x9b\x01\x9c\x01"] {
            let mut value = content.to_vec();
            for levels in 1..=300 {
                value = match wrap {
                    5 => bytes_field(5, &bytes_field(1, &value)),
                    _ => bytes_field(6, &bytes_field(1, &bytes_field(2, &value))),
                };
                for traces in &at_each_level(&value) {
                    let read = read_traces(traces).unwrap();
                    assert_eq!(read.nesting, levels <= MAX_LEVELS, "{levels}");
                }
                let attribute = bytes_field(2, &value);
                // The attribute and its value, and the messages of each level.
                let messages = 2 + levels * if wrap == 5 { 2 } else { 3 };
                if content == b"\x10\x01" {
                    let fits = messages <= pdata::MAX_NESTED_VALUES;
                    assert_eq!(pdata::decodes_attribute(&attribute), fits, "{levels}");
                }
            }
        }
    }
}

#[test]
fn what_is_deeper_than_values_may_be_is_not_read() {
    // A hundred thousand levels, and an innermost one that is no message.
    let mut reversed = vec![0xff];
    for _ in 0..100_000 {
        for number in [1, 5] {
            let mut outer = Vec::new();
            prost::encoding::encode_varint(number << 3 | 2, &mut outer);
            prost::encoding::encode_varint(reversed.len() as u64, &mut outer);
            reversed.extend(outer.into_iter().rev());
        }
    }
    reversed.reverse();
    for traces in &at_each_level(&reversed) {
        assert!(!read_traces(traces).unwrap().nesting);
    }
}

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

fn check_undecodable(traces: &[u8]) {
    assert!(!read_traces(traces).unwrap().decodable, "{traces:02x?}");
    assert!(!pdata::decodes(traces), "{traces:02x?}");
}

fn check_decodable(traces: &[u8]) {
    assert!(read_traces(traces).unwrap().decodable, "{traces:02x?}");
    assert!(pdata::decodes(traces), "{traces:02x?}");
}

fn in_span(span: &[u8]) -> Vec<u8> {
    bytes_field(1, &bytes_field(2, &bytes_field(2, span)))
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
