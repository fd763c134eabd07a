//! Views and prost accept the same bytes and read the same from them.

use proptest::prelude::*;
use prost::Message;

use super::read_traces;
use crate::otlp::{
    AnyValue, Attributes, KeyValue, Span, TracesData, Validity, entries, pdata, values,
};
use crate::testing::{mirror, mutated_traces, traces};

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

// === comparing ===

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
