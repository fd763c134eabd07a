//! Facts about a whole trace: its times, its summary, and its calls between services.

use std::collections::{BTreeMap, HashMap, HashSet};

use larder_proto::storage::v2::{ServiceSummary, TraceSummary};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;

use crate::otlp::SpanRef;

/// Returns the first attribute of a key.
pub(super) fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a KeyValue> {
    attributes.iter().find(|attribute| attribute.key == key)
}

/// Returns its value, if it has one.
pub(super) fn value(attribute: &KeyValue) -> Option<&Value> {
    let AnyValue { value } = attribute.value.as_ref()?;
    value.as_ref()
}

pub(super) fn resource_attributes(one: SpanRef<'_>) -> &[KeyValue] {
    let resource = one.resource.resource.as_ref();
    resource.map_or(&[], |resource| &resource.attributes)
}

/// Returns a span's service, or the name for one that is absent, empty or not a string (Q4).
pub fn service(one: SpanRef<'_>) -> &str {
    let Some(name) = attribute(resource_attributes(one), "service.name") else {
        return "missing-service-name";
    };
    match value(name) {
        Some(Value::StringValue(name)) if name.is_empty() => "empty-service-name",
        Some(Value::StringValue(name)) => name,
        _ => "service-name-wrong-type",
    }
}

/// Returns a span's name, or the name for an empty one (Q5).
pub(super) fn name(one: SpanRef<'_>) -> &str {
    match &*one.span.name {
        "" => "empty-span-name",
        name => name,
    }
}

/// Returns a span's kind as `GetOperations` spells it (O2).
pub fn kind(one: SpanRef<'_>) -> &'static str {
    match one.span.kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "",
    }
}

pub(super) fn status_code(one: SpanRef<'_>) -> i32 {
    one.span.status.as_ref().map_or(0, |status| status.code)
}

fn is_error(one: SpanRef<'_>) -> bool {
    status_code(one) == 2
}

fn is_root(one: SpanRef<'_>) -> bool {
    matches!(&one.span.parent_span_id[..], [] | [0, 0, 0, 0, 0, 0, 0, 0])
}

/// Returns the earliest start and the latest end of some spans, in nanoseconds. No span ends before it starts (Q16).
pub fn times(spans: &[SpanRef<'_>]) -> (u64, u64) {
    let starts = || spans.iter().map(|one| one.span.start_time_unix_nano);
    let ends = spans.iter().map(|one| one.span.end_time_unix_nano);
    let ends = ends.chain(starts());
    (starts().min().unwrap_or(0), ends.max().unwrap_or(0))
}

/// Returns the spans without copies: those that equal an earlier one in every byte of span, resource and scope (F3).
fn distinct<'a>(spans: &[SpanRef<'a>]) -> Vec<SpanRef<'a>> {
    let mut seen = HashSet::new();
    let content = |one: &SpanRef<'_>| {
        let resource = one.resource.resource.as_ref().map(Message::encode_to_vec);
        let scope = one.scope.scope.as_ref().map(Message::encode_to_vec);
        (resource, scope, one.span.encode_to_vec())
    };
    let spans = spans.iter().copied();
    spans.filter(|one| seen.insert(content(one))).collect()
}

/// Summarizes a trace, given all its spans in the order written (F2, F3).
pub fn summary(spans: &[SpanRef<'_>]) -> TraceSummary {
    let spans = &distinct(spans)[..];
    let count = |count: usize| i32::try_from(count).unwrap();
    let all = || spans.iter().copied();
    let ids: HashSet<&[u8]> = all().map(|one| &one.span.span_id[..]).collect();
    // `min_by_key` returns the first of equal ones, which is the first written.
    let roots = all().filter(|one| is_root(*one));
    let root = roots.min_by_key(|one| one.span.start_time_unix_nano);
    let orphans = all().filter(|one| !is_root(*one) && !ids.contains(&one.span.parent_span_id[..]));
    let mut services: BTreeMap<&str, ServiceSummary> = BTreeMap::new();
    for one in spans {
        let counts = services.entry(service(*one)).or_default();
        service(*one).clone_into(&mut counts.name);
        counts.span_count += 1;
        counts.error_span_count += i32::from(is_error(*one));
    }
    let (start, end) = times(spans);
    TraceSummary {
        trace_id: spans[0].span.trace_id.clone(),
        root_service_name: root.map_or("", service).to_owned(),
        root_operation_name: root.map_or("", name).to_owned(),
        min_start_time_unix_nano: start,
        max_end_time_unix_nano: end,
        span_count: count(spans.len()),
        error_span_count: count(all().filter(|one| is_error(*one)).count()),
        orphan_span_count: count(orphans.count()),
        services: services.into_values().collect(),
    }
}

/// Returns (parent's service, own service) for each span whose parent is in its trace and of another service, given all spans of the
/// trace. If several parents have the same id, one of the child's own service counts, else the first (D3).
pub fn calls<'a>(spans: &[SpanRef<'a>]) -> Vec<(&'a str, &'a str)> {
    let spans = &distinct(spans)[..];
    let mut services: HashMap<&[u8], Vec<&'a str>> = HashMap::new();
    for one in spans {
        let with_id = services.entry(&one.span.span_id).or_default();
        with_id.push(service(*one));
    }
    let children = spans.iter().filter(|one| !is_root(**one));
    children
        .filter_map(|one| {
            let parents = services.get(&one.span.parent_span_id[..])?;
            let own = service(*one);
            (!parents.contains(&own)).then(|| (parents[0], own))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

    use super::*;
    use crate::otlp::{service, span, spans_of};

    /// Three spans: the root fails, one is of another service, one has a missing parent.
    #[test]
    fn a_summary_tells_root_times_failures_orphans_and_services() {
        let at = |id: u64| span([7; 16], id).at(100 + id).lasting(100 - 2 * id);
        let root = at(1).name("root").status(StatusCode::Error);
        let resources = [
            service("b").span(at(2).parent(1)),
            service("a").spans([root, at(3).parent(9)]),
        ];
        let spans: Vec<_> = spans_of(resources.iter().map(|built| &built.0)).collect();
        let service = |name: &str, span_count, error_span_count| ServiceSummary {
            name: name.to_owned(),
            span_count,
            error_span_count,
        };
        let expected = TraceSummary {
            trace_id: vec![7; 16],
            root_service_name: "a".to_owned(),
            root_operation_name: "root".to_owned(),
            min_start_time_unix_nano: 101,
            max_end_time_unix_nano: 199,
            span_count: 3,
            error_span_count: 1,
            orphan_span_count: 1,
            services: vec![service("a", 2, 1), service("b", 1, 0)],
        };
        assert_eq!(summary(&spans), expected);
        assert_eq!(calls(&spans), [("a", "b")]);
    }
}
