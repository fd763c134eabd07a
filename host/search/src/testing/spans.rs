//! Owned spans, and the fragments made of them in the simplest way.

use std::collections::BTreeSet;

use larder_model::digest;
use larder_model::storage::{
    Batch, BatchBuilder, DurationRange, FragmentFacts, Operation, SpanKind, StatusCode, Term,
    TimeRange, TraceId,
};
use larder_model::terms::{self, AttributeKey, Level, Magnitude, NumberKey};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message as _;

use super::naive::service;

/// A span with what stands around it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) resource: Resource,
    pub(crate) scope: InstrumentationScope,
    pub(crate) span: Span,
}

impl Row {
    /// A span of a service, named "op", that lasts from `start` to `end`.
    pub(crate) fn new(trace: u128, id: u64, service: &str, start: u64, end: u64) -> Self {
        Self {
            resource: Resource {
                attributes: vec![attribute("service.name", text(service))],
                ..Resource::default()
            },
            scope: InstrumentationScope::default(),
            span: Span {
                trace_id: trace.to_be_bytes().to_vec(),
                span_id: id.to_be_bytes().to_vec(),
                name: "op".to_owned(),
                start_time_unix_nano: start,
                end_time_unix_nano: end,
                ..Span::default()
            },
        }
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.span.name);
        self
    }

    pub(crate) fn under(mut self, parent: u64) -> Self {
        self.span.parent_span_id = parent.to_be_bytes().to_vec();
        self
    }

    pub(crate) fn with(mut self, key: &str, value: Option<Value>) -> Self {
        self.span.attributes.push(attribute(key, value));
        self
    }

    pub(crate) fn trace_id(&self) -> TraceId {
        TraceId::from_query(&self.span.trace_id)
    }
}

pub(crate) fn attribute(key: &str, value: Option<Value>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: value.map(|value| AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "an attribute may be without a value"
)]
pub(crate) fn text(text: &str) -> Option<Value> {
    Some(Value::StringValue(text.to_owned()))
}

pub(crate) fn array(values: Vec<Option<Value>>) -> Value {
    let values = values.into_iter().map(|value| AnyValue { value });
    Value::ArrayValue(ArrayValue {
        values: values.collect(),
    })
}

pub(crate) fn map(entries: Vec<(&str, Option<Value>)>) -> Value {
    let entries = entries.into_iter();
    Value::KvlistValue(KeyValueList {
        values: entries.map(|(key, value)| attribute(key, value)).collect(),
    })
}

/// One fragment for each trace, in the order of the rows.
pub(crate) fn batch(rows: &[Row]) -> Batch {
    let mut builder = BatchBuilder::default();
    let mut seen = BTreeSet::new();
    for row in rows {
        if seen.insert(row.trace_id()) {
            let of_trace = rows
                .iter()
                .filter(|other| other.trace_id() == row.trace_id());
            push(&mut builder, &of_trace.collect::<Vec<_>>());
        }
    }
    builder.build()
}

/// The rows as an encoded `TracesData`.
pub(crate) fn encode(rows: &[&Row]) -> Vec<u8> {
    let resource_spans = rows.iter().map(|row| ResourceSpans {
        resource: Some(row.resource.clone()),
        scope_spans: vec![ScopeSpans {
            scope: Some(row.scope.clone()),
            spans: vec![row.span.clone()],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    });
    TracesData {
        resource_spans: resource_spans.collect(),
    }
    .encode_to_vec()
}

/// The spans of an encoded `TracesData`, each with what stands around it.
pub(crate) fn decode(bytes: &[u8]) -> Vec<Row> {
    let mut rows = Vec::new();
    for resource_spans in TracesData::decode(bytes).unwrap().resource_spans {
        for scope_spans in resource_spans.scope_spans {
            for span in scope_spans.spans {
                rows.push(Row {
                    resource: resource_spans.resource.clone().unwrap_or_default(),
                    scope: scope_spans.scope.clone().unwrap_or_default(),
                    span,
                });
            }
        }
    }
    rows
}

fn push(builder: &mut BatchBuilder, rows: &[&Row]) {
    let mut spans = Vec::new();
    let services: Vec<_> = rows.iter().map(|row| service(&row.resource)).collect();
    let mut all_terms = BTreeSet::new();
    let mut operations = BTreeSet::new();
    for (row, service) in rows.iter().zip(&services) {
        let span = &row.span;
        let kind = SpanKind::from_wire(u64::from(span.kind.cast_unsigned()));
        let code = span.status.as_ref().map_or(0, |status| status.code);
        spans.push(digest::Span {
            span_id: span.span_id.as_slice().try_into().unwrap(),
            parent: digest::Parent::from_wire(&span.parent_span_id),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            kind,
            status: StatusCode::from_wire(u64::from(code.cast_unsigned())),
            service: service.as_str(),
            name: span.name.as_str(),
        });
        add_terms(&mut all_terms, row, service);
        if !service.is_empty() {
            let operation = Operation {
                service: service.clone(),
                name: span.name.clone(),
                kind,
            };
            operations.insert(builder.operation(&operation));
        }
    }
    builder.terms().extend(all_terms);
    builder.fragment_operations().extend(operations);
    builder.digest().extend(digest::encode(&spans));
    builder.otlp().extend(encode(rows));
    let starts = rows.iter().map(|row| row.span.start_time_unix_nano);
    let durations = rows.iter().map(|row| {
        let span = &row.span;
        span.end_time_unix_nano
            .saturating_sub(span.start_time_unix_nano)
    });
    builder.finish_fragment(FragmentFacts {
        trace_id: rows[0].trace_id(),
        span_count: u32::try_from(rows.len()).unwrap(),
        starts: TimeRange {
            start: starts.clone().min().unwrap(),
            end: starts.max().unwrap(),
        },
        durations: DurationRange {
            shortest: durations.clone().min().unwrap(),
            longest: durations.max().unwrap(),
        },
    });
}

fn add_terms(to: &mut BTreeSet<Term>, row: &Row, service: &str) {
    let span = &row.span;
    let service = service.as_bytes();
    let status = span.status.as_ref().map_or(0, |status| status.code);
    let status = StatusCode::from_wire(u64::from(status.cast_unsigned()));
    let kind = SpanKind::from_wire(u64::from(span.kind.cast_unsigned()));
    to.insert(terms::service(service));
    to.insert(terms::span_name(span.name.as_bytes()));
    to.insert(terms::service_and_span_name(service, span.name.as_bytes()));
    to.insert(terms::kind(kind));
    to.insert(terms::status(status));
    if status == StatusCode::Error {
        to.insert(terms::service_with_error(service));
    }
    if !row.scope.name.is_empty() {
        to.insert(terms::scope_name(row.scope.name.as_bytes()));
    }
    if !row.scope.version.is_empty() {
        to.insert(terms::scope_version(row.scope.version.as_bytes()));
    }
    let mut add = |level, attributes: &[KeyValue]| {
        for attribute in attributes {
            let key = AttributeKey::new(attribute.key.as_bytes());
            let value = attribute.value.as_ref().and_then(|any| any.value.as_ref());
            let magnitude = match value {
                Some(Value::IntValue(int)) => Some(Magnitude::of_int((*int).into())),
                Some(Value::DoubleValue(double)) => Magnitude::of_double(*double),
                _ => None,
            };
            if let Some(magnitude) = magnitude {
                let number = NumberKey::new(attribute.key.as_bytes());
                to.insert(number.present(level));
                to.insert(number.with_magnitude(level, magnitude));
            } else {
                to.insert(key.present(level));
            }
            if !matches!(value, Some(Value::ArrayValue(_) | Value::KvlistValue(_))) {
                to.insert(key.with_value(level, super::naive::form(value).as_bytes()));
            }
        }
    };
    add(Level::Span, &span.attributes);
    add(Level::Resource, &row.resource.attributes);
    add(Level::Scope, &row.scope.attributes);
    for event in &span.events {
        add(Level::Event, &event.attributes);
    }
    for link in &span.links {
        add(Level::Link, &link.attributes);
    }
}
