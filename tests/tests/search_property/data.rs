//! Random exports and random queries over one small vocabulary, so that they often meet.

use larder_proto::storage::v2 as jaeger;
use larder_tests::otlp::{
    IntoValue, ResourceBuilder, array, key_value, map, resource, span, span_id,
};
use larder_tests::{Query, Scene};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{Status, span::Link};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;

/// Where offset 0 lies in a scene, so that a span can end before it starts.
pub(crate) const ORIGIN: u64 = 1000;

/// Offsets of starts go up to this.
const LATEST: u64 = 12;

/// What is written, and what is asked then.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) exports: Vec<Vec<ResourceSpec>>,
    pub(crate) questions: Vec<Question>,
    pub(crate) dependencies: (u64, u64),
}

#[derive(Clone, Debug)]
pub(crate) struct ResourceSpec {
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) scopes: Vec<ScopeSpec>,
}

#[derive(Clone, Debug)]
pub(crate) struct ScopeSpec {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) spans: Vec<SpanSpec>,
}

#[derive(Clone, Debug)]
pub(crate) struct SpanSpec {
    pub(crate) trace: u64,
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) name: &'static str,
    pub(crate) kind: i32,
    pub(crate) status: Option<i32>,
    pub(crate) start: u64,
    pub(crate) lasting: i64,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) events: Vec<Vec<KeyValue>>,
    pub(crate) links: Vec<Vec<KeyValue>>,
}

/// A legacy query.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) service: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) attributes: Vec<(&'static str, Option<AnyValue>)>,
    pub(crate) window: (u64, u64),
    pub(crate) shortest: i64,
    pub(crate) longest: i64,
    pub(crate) depth: i32,
}

const KEYS: [&str; 4] = ["k", "l", "m n", "error"];
const NAMES: [&str; 4] = ["x", "X", "GET /", ""];

/// Many of one form in several types.
fn values() -> Vec<AnyValue> {
    let mut values = vec![
        "1".into_value(),
        1_i64.into_value(),
        1.0_f64.into_value(),
        true.into_value(),
        "true".into_value(),
        "".into_value(),
        AnyValue { value: None },
        "AAAwOQ==".into_value(),
        b"\0\x0009"[..].into_value(),
        72.5_f64.into_value(),
        1e21_f64.into_value(),
        1e-7_f64.into_value(),
        (-0.0_f64).into_value(),
        f64::NAN.into_value(),
        f64::NEG_INFINITY.into_value(),
        i64::MIN.into_value(),
        r#"["a",1,null]"#.into_value(),
        "Ünïcode <&> \"\n".into_value(),
    ];
    let mixed = array(["a".into_value(), 1_i64.into_value(), b""[..].into_value()]);
    values.push(map([("b", mixed.clone()), ("a", "<\">".into_value())]));
    values.push(mixed);
    values
}

/// Mostly one of two forms, so that what is asked for is often there.
fn value() -> impl Strategy<Value = AnyValue> {
    let common = vec![
        "1".into_value(),
        1_i64.into_value(),
        1.0_f64.into_value(),
        true.into_value(),
        "true".into_value(),
    ];
    prop_oneof![2 => select(common), 1 => select(values())]
}

/// Each key no more than once: what a second one means is not specified.
fn attributes(keys: &'static [&'static str]) -> impl Strategy<Value = Vec<KeyValue>> {
    vec((select(keys), value()), 0..4).prop_map(|pairs| {
        let mut attributes: Vec<KeyValue> = Vec::new();
        for (key, value) in pairs {
            if attributes.iter().all(|known| known.key != key) {
                attributes.push(key_value(key, value));
            }
        }
        attributes
    })
}

prop_compose! {
    fn a_span()(
        (trace, id, parent) in (1..5_u64, 1..7_u64, option::of(1..9_u64)),
        name in select(&NAMES[..]),
        kind in 0..7,
        status in option::of(0..4),
        start in 0..=LATEST,
        lasting in -3..9_i64,
        attributes in attributes(&KEYS),
        events in vec(attributes(&KEYS), 0..2),
        links in vec(attributes(&KEYS), 0..2),
    ) -> SpanSpec {
        SpanSpec { trace, id, parent, name, kind, status, start, lasting, attributes, events, links }
    }
}

prop_compose! {
    fn a_scope()(
        name in select(vec!["lib", "Lib", ""]),
        version in select(vec!["1", "2", ""]),
        attributes in attributes(&KEYS),
        spans in vec(a_span(), 1..4),
    ) -> ScopeSpec {
        ScopeSpec { name, version, attributes, spans }
    }
}

prop_compose! {
    fn a_resource()(
        service in select(vec![
            Some("a".into_value()), Some("b".into_value()), Some("".into_value()), Some(7_i64.into_value()), None,
        ]),
        mut attributes in attributes(&["k", "l", "resource.k", "scope.name"]),
        scopes in vec(a_scope(), 1..3),
    ) -> ResourceSpec {
        attributes.extend(service.map(|service| key_value("service.name", service)));
        ResourceSpec { attributes, scopes }
    }
}

fn asked_attribute() -> impl Strategy<Value = (&'static str, Option<AnyValue>)> {
    let words = |words: &[&str]| -> Vec<Option<AnyValue>> {
        words
            .iter()
            .map(|word| Some((*word).into_value()))
            .collect()
    };
    let own = vec![
        "k",
        "l",
        "m n",
        "resource.k",
        "resource.l",
        "resource.resource.k",
        "service.name",
    ];
    prop_oneof![
        6 => (select(own), option::weighted(0.9, value())),
        1 => (Just("error"), select(words(&["true", "0", "F", "yes", "True"]))),
        1 => (Just("error"), select(vec![Some(true.into_value()), Some(false.into_value()), Some(1_i64.into_value())])),
        1 => (Just("span.status"), select(words(&["ok", "ERROR", "Unset", "none", ""]))),
        1 => (Just("span.kind"), select(words(&["server", "CLIENT", "unspecified", "internal", "none"]))),
        1 => (Just("scope.name"), select(words(&["lib", "Lib", "", "none"]))),
        1 => (Just("scope.version"), select(words(&["1", "2", ""]))),
    ]
}

prop_compose! {
    fn a_question()(
        service in select(vec!["", "", "", "", "a", "a", "b", "c", "7"]),
        operation in select(vec!["", "", "", "", "", "x", "X", "GET /", "y"]),
        attributes in prop_oneof![
            2 => vec(asked_attribute(), 0),
            4 => vec(asked_attribute(), 1),
            2 => vec(asked_attribute(), 2),
        ],
        window in prop_oneof![3 => Just((0, LATEST)), 1 => (0..=LATEST, 0..=LATEST)],
        shortest in select(vec![0, 0, 0, 0, 0, -2, 1, 5]),
        longest in select(vec![0, 0, 0, 0, 0, -1, 4, 8]),
        depth in select(vec![1, 2, 3, 100, 0]),
    ) -> Question {
        Question { service, operation, attributes, window, shortest, longest, depth }
    }
}

/// A few exports of a few resources, and a dozen queries over them.
pub(crate) fn case() -> impl Strategy<Value = Case> {
    let exports = vec(vec(a_resource(), 1..3), 1..4);
    let window = (0..=LATEST / 2, LATEST / 2..=2 * LATEST);
    (exports, vec(a_question(), 12), window).prop_map(|(exports, questions, dependencies)| Case {
        exports,
        questions,
        dependencies,
    })
}

// === impl ResourceSpec ===

impl ResourceSpec {
    /// As it is written in a scene.
    pub(crate) fn build(&self, scene: &Scene) -> ResourceBuilder {
        let mut built = resource();
        let resource = built.0.resource.get_or_insert_default();
        resource.attributes.clone_from(&self.attributes);
        self.scopes.iter().fold(built, |built, scope| {
            built
                .scope(scope.name, scope.version, scope.attributes.clone())
                .spans(scope.spans.iter().map(|span| span.build(scene)))
        })
    }
}

// === impl SpanSpec ===

impl SpanSpec {
    /// When it ends, which may be before offset 0.
    pub(crate) fn end(&self) -> i64 {
        self.start.cast_signed() + self.lasting
    }

    fn build(&self, scene: &Scene) -> larder_tests::otlp::SpanBuilder {
        let mut built = span(scene.trace(self.trace), self.id)
            .name(self.name)
            .at(scene.at(ORIGIN + self.start));
        let span = &mut built.0;
        span.end_time_unix_nano = span.start_time_unix_nano.wrapping_add_signed(self.lasting);
        span.parent_span_id = self.parent.map(span_id).unwrap_or_default();
        span.kind = self.kind;
        span.status = self.status.map(|code| Status {
            code,
            ..Status::default()
        });
        span.attributes.clone_from(&self.attributes);
        built = self
            .events
            .iter()
            .fold(built, |built, event| built.event("e", event.clone()));
        let links = self.links.iter().cloned().map(|attributes| Link {
            attributes,
            ..Link::default()
        });
        built.0.links = links.collect();
        built
    }
}

// === impl Question ===

impl Question {
    /// As it is asked in a scene.
    pub(crate) fn build(&self, scene: &Scene) -> Query {
        let at = |offset| scene.at(ORIGIN + offset);
        let query = Query::default()
            .service(self.service)
            .operation(self.operation)
            .window(at(self.window.0), at(self.window.1))
            .at_least(self.shortest)
            .at_most(self.longest)
            .depth(self.depth);
        self.attributes.iter().fold(query, |query, (key, value)| {
            query.raw_attribute(key, value.as_ref().map(as_asked))
        })
    }
}

/// The two messages have the same wire form.
fn as_asked(value: &AnyValue) -> jaeger::AnyValue {
    jaeger::AnyValue::decode(&value.encode_to_vec()[..]).unwrap()
}
