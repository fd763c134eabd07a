//! Values of references and constants: V2, V4, V11, V14.

use larder_proto::expression::v1::Expression;
use larder_proto::expression::v1::expression::Term;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

use super::super::trace::{self, resource_attributes, service, status_code};
use super::values::{Operand, Value};
use super::{Context, read};
use crate::otlp::{SpanRef, hex};

/// Returns the field that an argument names.
pub(super) fn field_of(argument: &Expression) -> Option<(&str, &str)> {
    match &argument.term {
        Some(Term::Field(field)) => Some((&field.level, &field.name)),
        _ => None,
    }
}

/// Returns every value of an argument. `beside` is the field on the other side of a comparison.
pub(super) fn operand(
    argument: &Expression,
    beside: Option<(&str, &str)>,
    at: Context<'_>,
) -> Vec<Operand> {
    let stored = |values: Vec<Value>| values.into_iter().map(Operand::Stored).collect();
    match &argument.term {
        Some(Term::Attr(attr)) => stored(attribute(&attr.level, &attr.key, at)),
        Some(Term::Field(field)) => stored(built_in(&field.level, &field.name, at)),
        Some(Term::Scalar(scalar)) => vec![match (beside, &*scalar.r#type) {
            (Some(field), "") => read::as_field(field, &scalar.value),
            (_, kind) => read::as_declared(kind, &scalar.value),
        }],
        other => panic!("{other:?} is no operand"),
    }
}

fn attribute(level: &str, key: &str, at: Context<'_>) -> Vec<Value> {
    if matches!(level, "" | "span") {
        match key {
            "error" => return vec![Value::Truth(status(at.one) == "error")],
            "span.kind" => return built_in("span", "kind", at),
            "span.status" => return built_in("span", "status", at),
            "scope.name" => return built_in("scope", "name", at),
            "scope.version" => return built_in("scope", "version", at),
            _ => {}
        }
    }
    let span = at.one.span;
    let resource = resource_attributes(at.one);
    let scope = at.one.scope.scope.as_ref();
    let maps: Vec<&[KeyValue]> = match level {
        "" => match key.strip_prefix("resource.") {
            Some(key) => return first(resource, key).into_iter().collect(),
            None => vec![&span.attributes, resource],
        },
        "span" => vec![&span.attributes],
        "resource" => vec![resource],
        "scope" => vec![scope.map_or(&[], |scope| &scope.attributes)],
        "event" => at.events().map(|event| &event.attributes[..]).collect(),
        "link" => at.links().map(|link| &link.attributes[..]).collect(),
        level => panic!("{level} is no level"),
    };
    maps.into_iter().filter_map(|map| first(map, key)).collect()
}

fn first(map: &[KeyValue], key: &str) -> Option<Value> {
    Some(match trace::value(trace::attribute(map, key)?) {
        Some(any_value::Value::StringValue(text)) => Value::Text(text.clone()),
        Some(any_value::Value::BoolValue(truth)) => Value::Truth(*truth),
        Some(any_value::Value::IntValue(number)) => Value::Int(*number),
        Some(any_value::Value::DoubleValue(number)) => Value::Double(*number),
        _ => Value::Opaque,
    })
}

impl<'a> Context<'a> {
    fn events(self) -> impl Iterator<Item = &'a Event> {
        let all: &[Event] = self
            .event
            .map_or(&self.one.span.events, std::slice::from_ref);
        all.iter()
    }

    fn links(self) -> impl Iterator<Item = &'a Link> {
        let all: &[Link] = self.link.map_or(&self.one.span.links, std::slice::from_ref);
        all.iter()
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Text that is absent if it is empty.
fn some_text(some: &str) -> Vec<Value> {
    let some = Some(some).filter(|some| !some.is_empty());
    some.map(text).into_iter().collect()
}

/// An id of zeros is no id, like an empty one.
fn id(bytes: &[u8]) -> String {
    let is_zero = bytes.iter().all(|byte| *byte == 0);
    if is_zero { String::new() } else { hex(bytes) }
}

fn nanos(time: u64) -> Value {
    Value::Nanos(i128::from(time))
}

fn since(time: u64, start: u64) -> Value {
    Value::Nanos(i128::from(time) - i128::from(start))
}

/// Returns the word for a span's status.
pub(crate) fn status(one: SpanRef<'_>) -> &'static str {
    match status_code(one) {
        1 => "ok",
        2 => "error",
        _ => "unset",
    }
}

/// Returns the word for a span's kind.
pub(crate) fn kind(one: SpanRef<'_>) -> &'static str {
    match trace::kind(one) {
        "" => "unspecified",
        kind => kind,
    }
}

fn built_in(level: &str, name: &str, at: Context<'_>) -> Vec<Value> {
    let SpanRef {
        resource,
        scope,
        span,
    } = at.one;
    let start = span.start_time_unix_nano;
    match (level, name) {
        ("span", "traceID") => vec![text(&id(&span.trace_id))],
        ("span", "spanID") => vec![text(&id(&span.span_id))],
        ("span", "parentSpanID") => some_text(&id(&span.parent_span_id)),
        ("span", "traceState") => some_text(&span.trace_state),
        ("span", "name") => vec![text(trace::name(at.one))],
        ("span", "kind") => vec![text(kind(at.one))],
        ("span", "status") => vec![text(status(at.one))],
        ("span", "statusMessage") => {
            some_text(span.status.as_ref().map_or("", |status| &status.message))
        }
        ("span", "startTime") => vec![nanos(start)],
        ("span", "endTime") => vec![nanos(span.end_time_unix_nano)],
        ("span", "duration") => vec![since(span.end_time_unix_nano, start)],
        ("resource", "service") => some_text(service(at.one)),
        ("resource", "schemaURL") => some_text(&resource.schema_url),
        ("scope", "name") => some_text(scope.scope.as_ref().map_or("", |scope| &scope.name)),
        ("scope", "version") => some_text(scope.scope.as_ref().map_or("", |scope| &scope.version)),
        ("scope", "schemaURL") => some_text(&scope.schema_url),
        ("event", name) => at
            .events()
            .map(|event| match name {
                "name" => text(&event.name),
                "time" => nanos(event.time_unix_nano),
                _ => since(event.time_unix_nano, start),
            })
            .collect(),
        ("link", name) => at
            .links()
            .flat_map(|link| match name {
                "traceID" => vec![text(&id(&link.trace_id))],
                "spanID" => vec![text(&id(&link.span_id))],
                _ => some_text(&link.trace_state),
            })
            .collect(),
        (level, name) => panic!("{level}.{name} is no field"),
    }
}
