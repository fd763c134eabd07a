//! The legacy fields of Jaeger's query as a predicate.
//!
//! Rules: W1 to W4 and Q1 to Q15 of the semantics that Jaeger expects.

use std::collections::HashMap;

use larder_proto::otlp::AnyValue;
use larder_proto::storage::v2::any_value::Value;
use larder_proto::storage::v2::{AnyValue as QueryValue, KeyValue, TraceQueryParameters};
use prost::Message as _;

use super::Limits;
use super::predicate::{Leaf, Levels, Predicate, Range};
use super::time::{instant, length};
use crate::storage::{Error, ErrorKind, SpanKind, StatusCode};
use crate::string_form;
use crate::terms::Level;

/// What to look for, and how many traces of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    /// What one span of a trace has to satisfy.
    pub(crate) predicate: Predicate,
    /// How many traces to give at the most.
    pub(crate) depth: usize,
}

/// The query that these parameters ask.
///
/// # Errors
/// `InvalidArgument` for a malformed time or duration, `InvalidFilter` for a structured filter.
pub(crate) fn query(parameters: &TraceQueryParameters, limits: &Limits) -> Result<Query, Error> {
    if parameters.filter.is_some() {
        return Err(Error::new(
            ErrorKind::InvalidFilter,
            "structured filters are not supported: ask with service_name, operation_name, attributes and durations instead",
        ));
    }
    let mut parts = Vec::new();
    // What is cheapest to judge stands first.
    if let Some(starts) = range(
        instant("start_time_min", parameters.start_time_min.as_ref())?,
        instant("start_time_max", parameters.start_time_max.as_ref())?,
    ) {
        parts.push(Leaf::Start(starts).into());
    }
    if let Some(durations) = range(
        length("duration_min", parameters.duration_min.as_ref())?,
        length("duration_max", parameters.duration_max.as_ref())?,
    ) {
        parts.push(Leaf::Duration(durations).into());
    }
    if !parameters.service_name.is_empty() {
        parts.push(Leaf::Service(parameters.service_name.clone()).into());
    }
    if !parameters.operation_name.is_empty() {
        parts.push(Leaf::SpanName(parameters.operation_name.clone()).into());
    }
    let (plain, special): (Vec<_>, Vec<_>) = last_of_each_key(&parameters.attributes)
        .into_iter()
        .map(|(key, value)| attribute(key, value))
        .partition(|part| matches!(part, Predicate::Leaf(Leaf::Attribute { .. })));
    parts.extend(special);
    parts.extend(plain);
    Ok(Query {
        predicate: Predicate::And(parts),
        depth: depth(parameters.search_depth, limits),
    })
}

/// Zero and less mean the default; more than the most is clamped (Q1).
fn depth(asked: i32, limits: &Limits) -> usize {
    let depth = match u32::try_from(asked) {
        Ok(asked) if asked > 0 => asked,
        _ => limits.default_depth,
    };
    usize::try_from(depth.min(limits.max_depth)).unwrap_or(usize::MAX)
}

fn range(min: Option<i128>, max: Option<i128>) -> Option<Range> {
    (min.is_some() || max.is_some()).then(|| Range {
        min: min.unwrap_or(Range::ALL.min),
        max: max.unwrap_or(Range::ALL.max),
    })
}

/// An attribute without a value is ignored; of those with one, the last of a key counts (W3).
fn last_of_each_key(attributes: &[KeyValue]) -> Vec<(&str, &Value)> {
    let mut kept: Vec<(&str, &Value)> = Vec::new();
    let mut places = HashMap::new();
    for attribute in attributes {
        let Some(value) = attribute.value.as_ref().and_then(|any| any.value.as_ref()) else {
            continue;
        };
        let place = *places.entry(attribute.key.as_str()).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(former) => former.1 = value,
            None => kept.push((&attribute.key, value)),
        }
    }
    kept
}

/// The special keys ask of the span or its scope (Q10 to Q14); a literal attribute of such a name is not consulted (Q15). Any
/// other key is looked for at every level (Q9).
fn attribute(key: &str, value: &Value) -> Predicate {
    if key == "error" {
        return error(value);
    }
    let Some(form) = form_of(value) else {
        return Predicate::NEVER;
    };
    match key {
        "span.status" => status(&form),
        "span.kind" => kind(&form),
        "scope.name" => Leaf::ScopeName(form).into(),
        "scope.version" => Leaf::ScopeVersion(form).into(),
        _ => {
            let (levels, key) = match key.strip_prefix("resource.") {
                Some(key) => (Levels::one(Level::Resource), key),
                None => (Levels::ALL, key),
            };
            let key = key.to_owned();
            Leaf::Attribute { levels, key, form }.into()
        }
    }
}

/// A bool, or a string that Go's `ParseBool` reads; anything else matches nothing (Q10).
fn error(value: &Value) -> Predicate {
    let wanted = match value {
        Value::BoolValue(wanted) => Some(*wanted),
        Value::StringValue(word) => match word.as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
            _ => None,
        },
        _ => None,
    };
    let error = Predicate::from(Leaf::Status(StatusCode::Error));
    match wanted {
        Some(true) => error,
        Some(false) => Predicate::Not(Box::new(error)),
        None => Predicate::NEVER,
    }
}

/// A word for a status in any case; an unknown one matches nothing (Q11).
fn status(word: &str) -> Predicate {
    match word.to_uppercase().as_str() {
        "UNSET" => Leaf::Status(StatusCode::Unset).into(),
        "OK" => Leaf::Status(StatusCode::Ok).into(),
        "ERROR" => Leaf::Status(StatusCode::Error).into(),
        _ => Predicate::NEVER,
    }
}

/// A word for a kind in any case; an unknown one matches nothing (Q12).
fn kind(word: &str) -> Predicate {
    match word.to_uppercase().as_str() {
        "UNSPECIFIED" => Leaf::Kind(SpanKind::Unspecified).into(),
        "INTERNAL" => Leaf::Kind(SpanKind::Internal).into(),
        "SERVER" => Leaf::Kind(SpanKind::Server).into(),
        "CLIENT" => Leaf::Kind(SpanKind::Client).into(),
        "PRODUCER" => Leaf::Kind(SpanKind::Producer).into(),
        "CONSUMER" => Leaf::Kind(SpanKind::Consumer).into(),
        _ => Predicate::NEVER,
    }
}

/// A query's value in the form that stored values are compared by (Q8); the two have one encoding. `None` for a value that nests
/// deeper than any stored one may.
fn form_of(value: &Value) -> Option<String> {
    let value = QueryValue {
        value: Some(value.clone()),
    };
    let encoded = value.encode_to_vec();
    let mut form = Vec::new();
    if let Some(value) = AnyValue::parse(&encoded).ok()? {
        string_form::write(&value, &mut form);
    }
    String::from_utf8(form).ok()
}
