//! Random exports. Times are offsets and traces are numbers until they are moved to a place.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::Place;
use super::vocabulary::{
    DOUBLES, EARLIER, INTS, KEYS, LATEST, LENGTHS, NAMES, SCHEMAS, SENTENCES, SPANS, STATES, TEXTS,
    TRACES, VERSIONS,
};
use crate::otlp::{IntoValue, array, key_value, map, span_id};

/// A few exports, of a few resources each.
#[derive(Clone, Debug, Default)]
pub struct Written(Vec<Vec<ResourceSpans>>);

/// Values of different types with equal string forms, in pairs.
fn twins() -> Vec<AnyValue> {
    let mixed = array(["x".into_value(), 1.into_value(), AnyValue { value: None }]);
    let escaped = "Ü<&>\"\n".into_value();
    let twins = [
        (1e21.into_value(), "1e+21"),
        (1e-7.into_value(), "1e-7"),
        (72.5.into_value(), "72.5"),
        ((-0.0).into_value(), "-0"),
        (f64::NAN.into_value(), "NaN"),
        (f64::NEG_INFINITY.into_value(), "-Infinity"),
        (i64::MIN.into_value(), "-9223372036854775808"),
        (b"\x01\x02\x03"[..].into_value(), "AQID"),
        (b"x"[..].into_value(), "eA=="),
        (
            array([b""[..].into_value(), 0.5.into_value()]),
            "[null,0.5]",
        ),
        (array([f64::NAN.into_value()]), ""),
        (
            map([("b", mixed), ("a", escaped)]),
            r#"{"a":"Ü<&>\"\n","b":["x",1,null]}"#,
        ),
    ];
    let twins = twins.into_iter();
    twins
        .flat_map(|(value, form)| [value, form.into_value()])
        .collect()
}

/// Generates one of a few values for the attribute `m n`.
pub(super) fn twin() -> impl Strategy<Value = (&'static str, Option<AnyValue>)> {
    select(twins()).prop_map(|value| ("m n", Some(value)))
}

/// Generates values of every type, and missing ones.
pub(super) fn value() -> impl Strategy<Value = Option<AnyValue>> {
    let others = vec![
        Some(AnyValue { value: None }),
        None,
        Some(b"x"[..].into_value()),
        Some(b""[..].into_value()),
        Some(array(["x".into_value()])),
        Some(array([])),
        Some(map([("k", "x".into_value())])),
    ];
    let common = vec![
        "1".into_value(),
        1.into_value(),
        1.0.into_value(),
        true.into_value(),
        "x".into_value(),
    ];
    let text = |text: &str| Some(text.into_value());
    prop_oneof![
        6 => select(common).prop_map(Some),
        3 => select(&TEXTS[..]).prop_map(text),
        3 => select(&SENTENCES[..]).prop_map(text),
        3 => select(&INTS[..]).prop_map(|number| Some(number.into_value())),
        3 => select(&DOUBLES[..]).prop_map(|number| Some(number.into_value())),
        1 => any::<bool>().prop_map(|truth| Some(truth.into_value())),
        1 => select(others),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let one = prop_oneof![4 => (select(&KEYS[..]), value()), 1 => twin()];
    let one = one.prop_map(|(key, value)| KeyValue {
        value,
        ..key_value(key, "")
    });
    vec(one, 0..4)
}

prop_compose! {
    fn event()(
        name in select(&NAMES[..]),
        time in 0..=LATEST + EARLIER,
        attributes in attributes(),
    ) -> Event {
        Event { name: name.to_owned(), time_unix_nano: time, attributes, ..Event::default() }
    }
}

prop_compose! {
    /// Trace number 0 is an empty id.
    fn link()(
        (trace, id) in (0..=TRACES, 0..=SPANS),
        state in select(&STATES[..]),
        attributes in attributes(),
    ) -> Link {
        Link {
            trace_id: number(trace),
            span_id: if id == 0 { Vec::new() } else { span_id(id) },
            trace_state: state.to_owned(),
            attributes,
            ..Link::default()
        }
    }
}

fn number(trace: u64) -> Vec<u8> {
    if trace == 0 {
        Vec::new()
    } else {
        vec![u8::try_from(trace).unwrap()]
    }
}

/// Generates an existing or a missing parent, or none in either encoding.
fn parent() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (1..=SPANS + 1).prop_map(span_id),
        4 => Just(Vec::new()),
        1 => Just(span_id(0)),
    ]
}

prop_compose! {
    fn span()(
        (trace, id, parent) in (1..=TRACES, 1..=SPANS, parent()),
        (name, state) in (select(&NAMES[..]), select(&STATES[..])),
        kind in 0..7,
        status in option::of((0..4, select(&NAMES[..]))),
        start in 0..=LATEST,
        lasting in select(&LENGTHS[..]),
        attributes in attributes(),
        events in vec(event(), 0..3),
        links in vec(link(), 0..3),
    ) -> Span {
        Span {
            trace_id: number(trace),
            span_id: span_id(id),
            parent_span_id: parent,
            trace_state: state.to_owned(),
            name: name.to_owned(),
            kind,
            start_time_unix_nano: start,
            // Holds the duration until the span is built.
            end_time_unix_nano: lasting.cast_unsigned(),
            attributes,
            events,
            links,
            status: status.map(|(code, message)| Status { code, message: message.to_owned() }),
            ..Span::default()
        }
    }
}

prop_compose! {
    fn scope_spans()(
        scope in option::weighted(0.9, (select(&NAMES[..]), select(&VERSIONS[..]), attributes())),
        schema in select(&SCHEMAS[..]),
        spans in vec(span(), 1..4),
    ) -> ScopeSpans {
        ScopeSpans {
            scope: scope.map(|(name, version, attributes)| InstrumentationScope {
                name: name.to_owned(),
                version: version.to_owned(),
                attributes,
                ..InstrumentationScope::default()
            }),
            spans,
            schema_url: schema.to_owned(),
        }
    }
}

prop_compose! {
    fn resource_spans()(
        service in option::weighted(0.8, select(vec!["a".into_value(), "a".into_value(), "x".into_value(), "".into_value(), 1.into_value()])),
        attributes in option::weighted(0.9, attributes()),
        schema in select(&SCHEMAS[..]),
        scope_spans in vec(scope_spans(), 1..3),
    ) -> ResourceSpans {
        let resource = attributes.map(|mut attributes| {
            attributes.extend(service.map(|service| key_value("service.name", service)));
            Resource { attributes, ..Resource::default() }
        });
        ResourceSpans { resource, scope_spans, schema_url: schema.to_owned() }
    }
}

/// Generates up to four exports, and sometimes one of them again, as from a client that tries again.
pub fn written() -> impl Strategy<Value = Written> {
    let again = option::weighted(0.3, any::<Index>());
    (vec(vec(resource_spans(), 1..3), 0..5), again).prop_map(|(mut exports, again)| {
        if let Some(again) = again
            && !exports.is_empty()
        {
            exports.push(again.get(&exports).clone());
        }
        Written(exports)
    })
}

impl Written {
    /// Returns the exports, moved to a place.
    pub fn at(&self, place: Place) -> Vec<Vec<ResourceSpans>> {
        let mut exports = self.0.clone();
        let scopes = exports.iter_mut().flatten();
        for scope in scopes.flat_map(|resource| &mut resource.scope_spans) {
            for span in &mut scope.spans {
                put(span, place);
            }
        }
        exports
    }
}

fn put(span: &mut Span, place: Place) {
    let trace = |id: &[u8]| {
        let number = id.first().map(|number| u64::from(*number));
        number.map_or_else(Vec::new, |number| place.trace(number).to_vec())
    };
    let lasting = span.end_time_unix_nano.cast_signed();
    span.trace_id = trace(&span.trace_id);
    span.start_time_unix_nano = place.at(span.start_time_unix_nano);
    span.end_time_unix_nano = span.start_time_unix_nano.strict_add_signed(lasting);
    for event in &mut span.events {
        event.time_unix_nano = place.at(event.time_unix_nano) - EARLIER;
    }
    for link in &mut span.links {
        link.trace_id = trace(&link.trace_id);
    }
}
