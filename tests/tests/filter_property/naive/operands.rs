//! What a reference finds and what a constant says: V2, V4, V11, V14.

use larder_proto::expression::v1::Expression;
use larder_proto::expression::v1::expression::Term;
use larder_tests::otlp::hex;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

use super::Seen;
use super::predicates::Bound;
use super::read;
use super::values::{Operand, Value};

/// The field that an argument names.
pub(super) fn field_of(argument: &Expression) -> Option<(&str, &str)> {
    match &argument.term {
        Some(Term::Field(field)) => Some((&field.level, &field.name)),
        _ => None,
    }
}

/// Every value of an argument. `beside` is the field that stands on the other side of a comparison.
pub(super) fn operand(
    argument: &Expression,
    beside: Option<(&str, &str)>,
    seen: Seen<'_>,
    bound: Bound<'_>,
) -> Vec<Operand> {
    let stored = |values: Vec<Value>| values.into_iter().map(Operand::Stored).collect();
    match &argument.term {
        Some(Term::Attr(attr)) => stored(attribute(&attr.level, &attr.key, seen, bound)),
        Some(Term::Field(field)) => stored(built_in(&field.level, &field.name, seen, bound)),
        Some(Term::Scalar(scalar)) => vec![match (beside, &*scalar.r#type) {
            (Some(field), "") => read::as_field(field, &scalar.value),
            (_, kind) => read::as_declared(kind, &scalar.value),
        }],
        other => panic!("{other:?} is no operand"),
    }
}

fn attribute(level: &str, key: &str, seen: Seen<'_>, bound: Bound<'_>) -> Vec<Value> {
    if level.is_empty() || level == "span" {
        let field = match key {
            "error" => return vec![Value::Truth(status(seen) == "error")],
            "span.kind" => Some(("span", "kind")),
            "span.status" => Some(("span", "status")),
            "scope.name" => Some(("scope", "name")),
            "scope.version" => Some(("scope", "version")),
            _ => None,
        };
        if let Some((level, name)) = field {
            return built_in(level, name, seen, bound);
        }
    }
    let resource = seen
        .resource
        .resource
        .as_ref()
        .map_or(&[][..], |it| &it.attributes);
    let scope = seen
        .scope
        .scope
        .as_ref()
        .map_or(&[][..], |it| &it.attributes);
    let maps: Vec<&[KeyValue]> = match level {
        "" => match key.strip_prefix("resource.") {
            Some(key) => return first(resource, key).into_iter().collect(),
            None => vec![&seen.span.attributes, resource],
        },
        "span" => vec![&seen.span.attributes],
        "resource" => vec![resource],
        "scope" => vec![scope],
        "event" => events(seen, bound)
            .into_iter()
            .map(|event| &event.attributes[..])
            .collect(),
        "link" => links(seen, bound)
            .into_iter()
            .map(|link| &link.attributes[..])
            .collect(),
        level => panic!("{level} is no level"),
    };
    maps.into_iter().filter_map(|map| first(map, key)).collect()
}

fn first(map: &[KeyValue], key: &str) -> Option<Value> {
    let found = map.iter().find(|entry| entry.key == key)?;
    let value = found.value.as_ref().and_then(|value| value.value.as_ref());
    Some(match value {
        Some(any_value::Value::StringValue(text)) => Value::Text(text.clone()),
        Some(any_value::Value::BoolValue(truth)) => Value::Truth(*truth),
        Some(any_value::Value::IntValue(number)) => Value::Int(*number),
        Some(any_value::Value::DoubleValue(number)) => Value::Double(*number),
        _ => Value::Opaque,
    })
}

fn events<'a>(seen: Seen<'a>, bound: Bound<'a>) -> Vec<&'a Event> {
    bound
        .event
        .map_or_else(|| seen.span.events.iter().collect(), |event| vec![event])
}

fn links<'a>(seen: Seen<'a>, bound: Bound<'a>) -> Vec<&'a Link> {
    bound
        .link
        .map_or_else(|| seen.span.links.iter().collect(), |link| vec![link])
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Text that is absent when it is empty.
fn some_text(text: &str) -> Vec<Value> {
    if text.is_empty() {
        Vec::new()
    } else {
        vec![Value::Text(text.to_owned())]
    }
}

fn nanos(time: u64) -> Value {
    Value::Nanos(i128::from(time))
}

fn since(time: u64, start: u64) -> Value {
    Value::Nanos(i128::from(time) - i128::from(start))
}

fn status(seen: Seen<'_>) -> &'static str {
    match seen.span.status.as_ref().map_or(0, |status| status.code) {
        1 => "ok",
        2 => "error",
        _ => "unset",
    }
}

fn kind(seen: Seen<'_>) -> &'static str {
    match seen.span.kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "unspecified",
    }
}

fn built_in(level: &str, name: &str, seen: Seen<'_>, bound: Bound<'_>) -> Vec<Value> {
    let span = seen.span;
    let start = span.start_time_unix_nano;
    let scope = seen.scope.scope.clone().unwrap_or_default();
    match (level, name) {
        ("span", "traceID") => vec![text(&hex(&span.trace_id))],
        ("span", "spanID") => vec![text(&hex(&span.span_id))],
        ("span", "parentSpanID") => some_text(&hex(&span.parent_span_id)),
        ("span", "traceState") => some_text(&span.trace_state),
        ("span", "name") => vec![text(&span.name)],
        ("span", "kind") => vec![text(kind(seen))],
        ("span", "status") => vec![text(status(seen))],
        ("span", "statusMessage") => {
            some_text(span.status.as_ref().map_or("", |status| &status.message))
        }
        ("span", "startTime") => vec![nanos(start)],
        ("span", "endTime") => vec![nanos(span.end_time_unix_nano)],
        ("span", "duration") => vec![since(span.end_time_unix_nano, start)],
        ("resource", "service") => match attribute("resource", "service.name", seen, bound).first()
        {
            Some(Value::Text(name)) => some_text(name),
            _ => Vec::new(),
        },
        ("resource", "schemaURL") => some_text(&seen.resource.schema_url),
        ("scope", "name") => some_text(&scope.name),
        ("scope", "version") => some_text(&scope.version),
        ("scope", "schemaURL") => some_text(&seen.scope.schema_url),
        ("event", name) => events(seen, bound)
            .into_iter()
            .map(|event| match name {
                "name" => text(&event.name),
                "time" => nanos(event.time_unix_nano),
                _ => since(event.time_unix_nano, start),
            })
            .collect(),
        ("link", name) => links(seen, bound)
            .into_iter()
            .flat_map(|link| match name {
                "traceID" => vec![text(&hex(&link.trace_id))],
                "spanID" => vec![text(&hex(&link.span_id))],
                _ => some_text(&link.trace_state),
            })
            .collect(),
        (level, name) => panic!("{level}.{name} is no field"),
    }
}
