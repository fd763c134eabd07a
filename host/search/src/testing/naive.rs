//! Answers by brute force over owned spans, written from the semantics alone.

use std::collections::{BTreeMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larder_model::storage::TraceId;
use larder_proto::storage::v2::any_value::Value as Asked;
use larder_proto::storage::v2::{Dependency, ServiceSummary, TraceQueryParameters, TraceSummary};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use super::spans::Row;

/// The rows of each trace, in the order written.
pub(crate) fn by_trace(rows: &[Row]) -> BTreeMap<TraceId, Vec<&Row>> {
    let mut traces: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        traces.entry(row.trace_id()).or_default().push(row);
    }
    traces
}

/// The ids that a search gives, in its order.
pub(crate) fn find(rows: &[Row], query: &TraceQueryParameters) -> Vec<TraceId> {
    let mut found: Vec<_> = by_trace(rows)
        .into_iter()
        .filter_map(|(id, rows)| {
            let matching = rows.into_iter().filter(|row| matches(row, query));
            let newest = matching.map(|row| row.span.start_time_unix_nano).max()?;
            Some((newest, id))
        })
        .collect();
    found.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
    let depth = match query.search_depth {
        ..=0 => 100,
        depth => usize::try_from(depth).unwrap(),
    };
    found.into_iter().take(depth).map(|(_, id)| id).collect()
}

/// Whether this span satisfies the whole query.
fn matches(row: &Row, query: &TraceQueryParameters) -> bool {
    let span = &row.span;
    let start = i128::from(span.start_time_unix_nano);
    let duration = i128::from(span.end_time_unix_nano) - start;
    let time = |t: Option<prost_types::Timestamp>| {
        t.filter(|t| t.seconds != -62_135_596_800)
            .map(|t| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanos))
    };
    let length = |d: Option<prost_types::Duration>| {
        d.map(|d| i128::from(d.seconds) * 1_000_000_000 + i128::from(d.nanos))
            .filter(|d| *d != 0)
    };
    let mut attributes = BTreeMap::new();
    for attribute in &query.attributes {
        if let Some(value) = attribute.value.as_ref().and_then(|v| v.value.as_ref()) {
            attributes.insert(attribute.key.as_str(), value);
        }
    }
    (query.service_name.is_empty() || service(&row.resource) == query.service_name)
        && (query.operation_name.is_empty() || span.name == query.operation_name)
        && time(query.start_time_min).is_none_or(|min| start >= min)
        && time(query.start_time_max).is_none_or(|max| start <= max)
        && length(query.duration_min).is_none_or(|min| duration >= min)
        && length(query.duration_max).is_none_or(|max| duration <= max)
        && attributes
            .into_iter()
            .all(|(key, value)| has(row, key, value))
}

fn has(row: &Row, key: &str, asked: &Asked) -> bool {
    let span = &row.span;
    // The two messages are the same on the wire.
    let sent = larder_proto::storage::v2::AnyValue {
        value: Some(asked.clone()),
    };
    let value = AnyValue::decode(sent.encode_to_vec().as_slice()).unwrap();
    let form = form(value.value.as_ref());
    let upper = form.to_uppercase();
    let code = span.status.as_ref().map_or(0, |status| status.code);
    match key {
        "error" => match asked {
            Asked::BoolValue(error) => (code == 2) == *error,
            Asked::StringValue(word) => match word.as_str() {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => code == 2,
                "0" | "f" | "F" | "FALSE" | "false" | "False" => code != 2,
                _ => false,
            },
            _ => false,
        },
        "span.status" => {
            ["UNSET", "OK", "ERROR"].get(usize::try_from(code).unwrap()) == Some(&upper.as_str())
        }
        "span.kind" => {
            let words = [
                "UNSPECIFIED",
                "INTERNAL",
                "SERVER",
                "CLIENT",
                "PRODUCER",
                "CONSUMER",
            ];
            words.get(usize::try_from(span.kind).unwrap()) == Some(&upper.as_str())
        }
        "scope.name" => row.scope.name == form,
        "scope.version" => row.scope.version == form,
        _ => {
            if let Some(key) = key.strip_prefix("resource.") {
                return get(&row.resource.attributes, key) == Some(form);
            }
            let form = Some(form);
            get(&span.attributes, key) == form
                || get(&row.resource.attributes, key) == form
                || get(&row.scope.attributes, key) == form
                || span
                    .events
                    .iter()
                    .any(|event| get(&event.attributes, key) == form)
                || span
                    .links
                    .iter()
                    .any(|link| get(&link.attributes, key) == form)
        }
    }
}

fn get(attributes: &[KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    let value = attribute.value.as_ref().and_then(|any| any.value.as_ref());
    Some(form(value))
}

/// `service.name`, if it is a string.
pub(crate) fn service(resource: &Resource) -> String {
    let mut attributes = resource.attributes.iter();
    let first = attributes.find(|attribute| attribute.key == "service.name");
    match first
        .and_then(|a| a.value.as_ref())
        .and_then(|any| any.value.as_ref())
    {
        Some(Value::StringValue(name)) => name.clone(),
        _ => String::new(),
    }
}

/// The string form, for the few kinds of numbers that tests use.
pub(crate) fn form(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::DoubleValue(number)) if !number.is_finite() => {
            format!("{number}").replace("inf", "Infinity")
        }
        Some(Value::DoubleValue(number)) if number.abs() >= 1e21 => {
            format!("{number:e}").replace('e', "e+")
        }
        Some(Value::DoubleValue(number)) => format!("{number}"),
        Some(Value::BoolValue(is)) => is.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BytesValue(bytes)) => STANDARD.encode(bytes),
        Some(value) => json(Some(value)).unwrap_or_default(),
    }
}

/// None where JSON cannot write it.
fn json(value: Option<&Value>) -> Option<String> {
    Some(match value {
        None => "null".to_owned(),
        Some(Value::StringValue(text)) => format!("\"{text}\""),
        Some(Value::DoubleValue(number)) if !number.is_finite() => return None,
        Some(Value::BytesValue(bytes)) if bytes.is_empty() => "null".to_owned(),
        Some(Value::BytesValue(bytes)) => format!("\"{}\"", STANDARD.encode(bytes)),
        Some(Value::ArrayValue(array)) => {
            let items = array.values.iter().map(|item| json(item.value.as_ref()));
            format!("[{}]", items.collect::<Option<Vec<_>>>()?.join(","))
        }
        Some(Value::KvlistValue(list)) => {
            let mut entries = BTreeMap::new();
            for entry in &list.values {
                let value = entry.value.as_ref().and_then(|any| any.value.as_ref());
                entries.insert(&entry.key, json(value)?);
            }
            let entries = entries
                .iter()
                .map(|(key, value)| format!("\"{key}\":{value}"));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        value => form(value),
    })
}

fn is_root(span: &Span) -> bool {
    span.parent_span_id.is_empty() || span.parent_span_id == [0; 8]
}

/// The summary of one trace.
pub(crate) fn summary(id: TraceId, rows: &[&Row]) -> TraceSummary {
    let is_error = |row: &Row| row.span.status.as_ref().is_some_and(|s| s.code == 2);
    let ids: HashSet<_> = rows.iter().map(|row| &row.span.span_id).collect();
    let roots = rows.iter().filter(|row| is_root(&row.span));
    let root = roots.min_by_key(|row| row.span.start_time_unix_nano);
    let orphans = rows
        .iter()
        .filter(|row| !is_root(&row.span) && !ids.contains(&row.span.parent_span_id));
    let mut services: BTreeMap<String, (i32, i32)> = BTreeMap::new();
    for row in rows {
        let (spans, errors) = services.entry(service(&row.resource)).or_default();
        *spans += 1;
        *errors += i32::from(is_error(row));
    }
    TraceSummary {
        trace_id: id.to_bytes().to_vec(),
        root_service_name: root.map(|row| service(&row.resource)).unwrap_or_default(),
        root_operation_name: root.map(|row| row.span.name.clone()).unwrap_or_default(),
        min_start_time_unix_nano: start(rows),
        max_end_time_unix_nano: end(rows),
        span_count: i32::try_from(rows.len()).unwrap(),
        error_span_count: services.values().map(|(_, errors)| errors).sum(),
        orphan_span_count: i32::try_from(orphans.count()).unwrap(),
        services: services
            .into_iter()
            .map(|(name, (span_count, error_span_count))| ServiceSummary {
                name,
                span_count,
                error_span_count,
            })
            .collect(),
    }
}

/// The earliest start of some spans.
pub(crate) fn start(rows: &[&Row]) -> u64 {
    rows.iter()
        .map(|row| row.span.start_time_unix_nano)
        .min()
        .unwrap()
}

/// The latest end of some spans.
pub(crate) fn end(rows: &[&Row]) -> u64 {
    rows.iter()
        .map(|row| row.span.end_time_unix_nano)
        .max()
        .unwrap()
}

/// The calls in traces that lie within the window.
pub(crate) fn dependencies(rows: &[Row], from: u64, to: u64) -> Vec<Dependency> {
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for rows in by_trace(rows).values() {
        if start(rows) < from || end(rows) > to {
            continue;
        }
        for row in rows.iter().filter(|row| !is_root(&row.span)) {
            let parent = rows
                .iter()
                .find(|other| other.span.span_id == row.span.parent_span_id);
            if let Some(parent) = parent {
                let call = (service(&parent.resource), service(&row.resource));
                *counts.entry(call).or_default() += 1;
            }
        }
    }
    let counts = counts.into_iter();
    counts
        .map(|((parent, child), call_count)| Dependency {
            parent,
            child,
            call_count,
            source: String::new(),
        })
        .collect()
}
