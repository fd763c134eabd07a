//! Queries: Q1 to Q14, and the filter if there is one.

use std::collections::BTreeMap;

use larder_proto::storage::v2::any_value::Value as Asked;
use larder_proto::storage::v2::{self as jaeger, TraceQueryParameters};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;
use prost_types::{Duration, Timestamp};

use super::filter::{self, read};
use super::form::string_form;
use super::trace::{attribute, name, resource_attributes, service, status_code};
use crate::otlp::SpanRef;

/// Returns the most traces that a query gives (Q1).
pub fn depth(query: &TraceQueryParameters) -> usize {
    match query.search_depth {
        ..=0 => 100,
        depth => usize::try_from(depth).unwrap(),
    }
}

/// Returns the start of the newest of these spans that satisfies all of a valid query by itself (Q3), in nanoseconds.
pub fn newest_match(query: &TraceQueryParameters, spans: &[SpanRef<'_>]) -> Option<u64> {
    let matching = spans.iter().filter(|one| matches(query, **one));
    matching.map(|one| one.span.start_time_unix_nano).max()
}

fn matches(query: &TraceQueryParameters, one: SpanRef<'_>) -> bool {
    let start = i128::from(one.span.start_time_unix_nano);
    let duration = i128::from(one.span.end_time_unix_nano) - start;
    (query.service_name.is_empty() || query.service_name == service(one))
        && (query.operation_name.is_empty() || query.operation_name == name(one))
        && time(query.start_time_min).is_none_or(|min| min <= start)
        && time(query.start_time_max).is_none_or(|max| start <= max)
        && length(query.duration_min).is_none_or(|min| min <= duration)
        && length(query.duration_max).is_none_or(|max| duration <= max)
        && attributes(query)
            .iter()
            .all(|(key, asked)| has(one, key, asked))
        && query
            .filter
            .as_ref()
            .is_none_or(|filter| filter::holds(filter, one))
}

/// W1: the year 1 means that there is no bound.
pub(super) fn time(time: Option<Timestamp>) -> Option<i128> {
    let time = time.filter(|time| time.seconds != -62_135_596_800)?;
    Some(i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos))
}

/// W1: zero means that there is no bound.
fn length(length: Option<Duration>) -> Option<i128> {
    let length = length?;
    let nanos = i128::from(length.seconds) * 1_000_000_000 + i128::from(length.nanos);
    (nanos != 0).then_some(nanos)
}

/// W3: a missing or empty value sets no condition; of equal keys the last one that sets a condition counts.
fn attributes(query: &TraceQueryParameters) -> BTreeMap<&str, &Asked> {
    let asked = query.attributes.iter().filter_map(|attribute| {
        let value = attribute.value.as_ref()?.value.as_ref()?;
        Some((&*attribute.key, value))
    });
    asked.collect()
}

/// Q8 to Q14.
fn has(one: SpanRef<'_>, key: &str, asked: &Asked) -> bool {
    let form = string_form(&as_stored(asked));
    let scope = one.scope.scope.as_ref();
    match key {
        "error" => truth(asked) == Some(status_code(one) == 2),
        "span.status" => form.to_uppercase() == filter::status(one).to_uppercase(),
        "span.kind" => form.to_uppercase() == filter::kind(one).to_uppercase(),
        "scope.name" => form == scope.map_or("", |scope| &scope.name),
        "scope.version" => form == scope.map_or("", |scope| &scope.version),
        _ => {
            let has = |attributes: &[KeyValue], key| {
                let found = attribute(attributes, key);
                found.is_some_and(|found| {
                    let value = found.value.clone().unwrap_or_default();
                    string_form(&value) == form
                })
            };
            let resource = resource_attributes(one);
            if let Some(key) = key.strip_prefix("resource.") {
                return has(resource, key);
            }
            let span = one.span;
            has(&span.attributes, key)
                || has(resource, key)
                || scope.is_some_and(|scope| has(&scope.attributes, key))
                || span.events.iter().any(|event| has(&event.attributes, key))
                || span.links.iter().any(|link| has(&link.attributes, key))
        }
    }
}

/// Converts between the two messages, which have the same wire form.
fn as_stored(asked: &Asked) -> AnyValue {
    let asked = jaeger::AnyValue {
        value: Some(asked.clone()),
    };
    AnyValue::decode(&asked.encode_to_vec()[..]).unwrap()
}

/// Q10.
fn truth(asked: &Asked) -> Option<bool> {
    match asked {
        Asked::BoolValue(truth) => Some(*truth),
        Asked::StringValue(text) => read::truth(text),
        _ => None,
    }
}
